"""The devices given to a run, noted in its folder before its command starts.

A worker that finds its predecessor killed reads here which devices are in use, even where the
predecessor died between the launch and the first word about it to the Prefect server.
"""

import socket

from pydantic import BaseModel, ValidationError

from wildloop.flows.files.paths import RunPaths


class Reservation(BaseModel):
    """Contents of devices.json. `devices` None: the host has none to divide.

    `compute` is where it was launched, of a worker with several.
    """

    host: str
    devices: tuple[str, ...] | None
    compute: str | None = None


def write_reservation(
    paths: RunPaths, devices: tuple[str, ...] | None, compute: str | None = None
) -> None:
    """Note the devices, and the compute, of a run that is about to be launched by this host."""
    note = Reservation(host=socket.gethostname(), devices=devices, compute=compute)
    temporary = paths.devices.with_suffix(".tmp")
    temporary.write_text(note.model_dump_json() + "\n", encoding="utf-8")
    temporary.replace(paths.devices)


def read_reservation(paths: RunPaths) -> Reservation | None:
    """What was noted on this host; None if nothing was, or by another host."""
    try:
        note = Reservation.model_validate_json(paths.devices.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None
    return note if note.host == socket.gethostname() else None
