"""The files that a launch leaves in its record folder."""

import errno
import logging
import os
import stat
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, ValidationError

logger = logging.getLogger(__name__)
RECORD = "process.json"
EXIT_CODE = "exit_code"
LEFT = "left"
CPU_TIMES = "cpu_times"
PEAK_MEMORY = "peak_memory"
OOM_KILLS = "oom_kills"
"""What bash says of the time that its children have used."""


class ProcessRecord(BaseModel):
    """process.json: written by the wrapper itself, before the command starts.

    `start` is the wrapper's start mark (see `launchers.processes`), `boot` the machine's boot id,
    `marker` the value of WILDLOOP_LAUNCH_ID in every process of the launch.
    """

    model_config = ConfigDict(frozen=True)

    pid: int
    start: float
    boot: str
    host: str
    marker: str
    started_at: float


def read_record(folder: Path) -> ProcessRecord | None:
    """The record of the launch in `folder`; None where nothing was launched.

    Raises:
        ValueError: the record is there but damaged.
    """
    path = folder / RECORD
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return ProcessRecord.model_validate_json(content)
    except ValidationError as error:
        raise ValueError(f"process record '{path}' is damaged") from error


def cpu_seconds(folder: Path) -> float | None:
    """The CPU time of a command and all that it has waited for; None where it was not measured."""
    try:
        spent = (folder / CPU_TIMES).read_text(encoding="ascii").replace(",", ".").splitlines()[1]
        parts = [one.rstrip("s").split("m") for one in spent.split()]
        return sum(60 * float(minutes) + float(seconds) for minutes, seconds in parts)
    except (OSError, ValueError, IndexError):
        return None


def peak_memory(folder: Path) -> int | None:
    """Bytes that the largest process of a command had at its peak; None where that is not known."""
    return _number(folder / PEAK_MEMORY)


def write_peak_memory(folder: Path, size: int) -> None:
    """Note it; a folder that cannot be written to loses no more than the note."""
    try:
        (folder / PEAK_MEMORY).write_text(f"{size}\n", encoding="ascii")
    except OSError as error:
        logger.warning("the peak memory of '%s' was not noted: %s", folder, error)


def oom_kills(folder: Path) -> int | None:
    """How many processes the kernel ended for want of memory while a command ran that was killed.

    None where nothing killed it, or the kernel does not say.
    """
    return _number(folder / OOM_KILLS)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def read_left(folder: Path) -> list[tuple[int, float]]:
    """Pid and start mark of each child that the wrapper still had when the command had ended."""
    try:
        lines = (folder / LEFT).read_text(encoding="ascii").splitlines()
        return [(int(pid), float(start)) for pid, start in map(str.split, lines)]
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return []


def read_exit_code(folder: Path) -> tuple[int, float] | None:
    """Exit code and time of the end; None while there is none, or it was lost in a power cut."""
    try:
        with open_to_read(folder / EXIT_CODE) as file:
            return int(file.read().decode("ascii")), os.fstat(file.fileno()).st_mtime
    except (FileNotFoundError, NotADirectoryError, NotRegular, ValueError):
        return None


def write_exit_code(folder: Path, code: int) -> None:
    """Put the exit code in place, whatever stands there; one that is right stays as old as it is.

    Raises:
        OSError: the folder cannot be written to.
    """
    path = folder / EXIT_CODE
    known = read_exit_code(folder)
    if known is not None and known[0] == code and not path.is_symlink():
        return
    draft = folder / f".{uuid4().hex}"
    draft.write_text(f"{code}\n", encoding="ascii")
    draft.replace(path)


class NotRegular(OSError):
    """A link, pipe or device stands where a file should."""


def open_to_read(path: Path) -> BinaryIO:
    """A file that a run may have put in its place: no link is followed, no pipe waited for.

    Raises:
        NotRegular: it is no regular file.
        OSError: it cannot be opened.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise NotRegular(errno.ELOOP, "it is a link: write the file itself", str(path)) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotRegular(errno.EINVAL, "it is no regular file", str(path))
    return os.fdopen(descriptor, "rb")


def open_to_append(path: Path) -> int:
    """A descriptor of a file of Wildloop's own, for its user alone, opened for appending.

    Where a link stands in its place, or the file has another name as well, what is appended would
    land in a file of somebody else's choice: a new file is made instead.

    Raises:
        OSError: it cannot be opened.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        state = path.lstat()
        if not stat.S_ISREG(state.st_mode) or state.st_nlink > 1:
            path.unlink()
    except FileNotFoundError:
        pass
    return os.open(path, flags, 0o600)
