"""Checks of what a request names on this machine."""

from pathlib import Path

from wildloop.flows.errors import InvalidRequest


def check_folder(field: str, path: str | None) -> None:
    """Refuse a folder that is not there; None stands for the default.

    Raises:
        InvalidRequest: there is no such folder.
    """
    if path is not None and ("\x00" in path or not Path(path).is_dir()):
        raise InvalidRequest(f"{field} {path!r} does not exist: create it or give another")
