"""Whether a file system has room: by its own account, and by what it takes."""

import asyncio
import errno
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field

from wildloop.flows.errors import InvalidRequest

logger = logging.getLogger("wildloop.disk")

FREE_GB_VARIABLE = "WILDLOOP_DISK_FREE_GB"
FREE_PERCENT_VARIABLE = "WILDLOOP_DISK_FREE_PERCENT"
GB = 1e9
FILES_LEFT = 1000
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
PROBE_BYTES = 64 * 1024
PAUSE_SECONDS = 2.0
# SQLite, or PostgreSQL, or wherever a link of the user's leads.
DATABASES = ("prefect", "postgres")

T = TypeVar("T")


class DiskLimits(BaseModel):
    """What is to be left: the smaller of both, so that neither a small nor a large disk counts as
    full for its size alone."""

    model_config = ConfigDict(frozen=True)

    free_gb: float = Field(default=1.0, ge=0)
    free_percent: float = Field(default=2.0, ge=0, le=100)

    @classmethod
    def from_environment(cls) -> "DiskLimits":
        """By WILDLOOP_DISK_FREE_GB and WILDLOOP_DISK_FREE_PERCENT.

        Raises:
            InvalidRequest: one of them is no number in its range.
        """
        given = {"free_gb": FREE_GB_VARIABLE, "free_percent": FREE_PERCENT_VARIABLE}
        told = {field: os.environ[name] for field, name in given.items() if os.environ.get(name)}
        try:
            return cls.model_validate(told)
        except ValueError as error:
            raise InvalidRequest(
                f"{FREE_GB_VARIABLE} and {FREE_PERCENT_VARIABLE} must be numbers from 0 on "
                f"(percent: to 100), not {' and '.join(told.values())}"
            ) from error


def disk_fault(path: Path, limits: DiskLimits, *, probe: bool = False) -> str | None:
    """What is the matter with the file system of a folder, in a line; None: it has room.

    Args:
        path: a folder; what is not there yet is looked at by its nearest parent.
        limits: what is to be left.
        probe: also write and remove 64 KiB: a quota shows in no other way.
    """
    folder = next((one for one in (path, *path.parents) if one.is_dir()), Path("/"))
    space = os.statvfs(folder)
    total, free = space.f_blocks * space.f_frsize, space.f_bavail * space.f_frsize
    if total and free < min(limits.free_gb * GB, limits.free_percent / 100 * total):
        return f"disk full: {_size(free)} left of {_size(total)} at {path}: make room there"
    if folder == path and space.f_flag & os.ST_RDONLY:
        return f"nothing can be written at {path}: mounted read-only (`dmesg` tells why)"
    files = min(FILES_LEFT, limits.free_percent / 100 * space.f_files)
    if space.f_files and space.f_favail < files:
        return f"disk full: {space.f_favail} files (inodes) left at {path}: remove some there"
    return _write_fault(folder) if probe and os.access(folder, os.W_OK) else None


def home_folders(home: Path) -> list[Path]:
    """The folders of the home that may be file systems of their own: itself, its databases."""
    return [home, *(home / name for name in DATABASES if (home / name).is_dir())]


def home_fault(home: Path, limits: DiskLimits, *, probe: bool = False) -> str | None:
    """As `disk_fault`, of the home and of the databases in it."""
    found = (disk_fault(folder, limits, probe=probe) for folder in home_folders(home))
    return next((fault for fault in found if fault), None)


async def when_there_is_room(work: Callable[[], T], place: Path) -> T:
    """Do what writes to a disk, in a thread; as long as the disk is full, do it again and again.

    Raises:
        OSError: it fails by something else.
    """
    told = False
    while True:
        try:
            done = await asyncio.to_thread(work)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            if not told:
                logger.warning("%s at %s: waiting until there is room", error.strerror, place)
            told = True
            await asyncio.sleep(PAUSE_SECONDS)
        else:
            if told:
                logger.warning("there is room again at %s", place)
            return done


def is_for_want_of_room(error: Exception) -> bool:
    """Whether something failed since a disk is full or a quota spent, by what it says."""
    return (isinstance(error, OSError) and error.errno in NO_ROOM) or any(
        os.strerror(number) in str(error) for number in NO_ROOM
    )


async def room_again(place: Path) -> None:
    """Wait until the file system of a folder has room."""
    limits = DiskLimits.from_environment()
    logger.warning("no room at %s: waiting until there is", place)
    while await asyncio.to_thread(disk_fault, place, limits, probe=True):  # noqa: ASYNC110
        await asyncio.sleep(PAUSE_SECONDS)
    logger.warning("there is room again at %s", place)


def full_note(path: Path) -> str:
    """For the end of a command that has failed: that its disk is full, if it is; else empty."""
    free = shutil.disk_usage(path).free if path.is_dir() else PROBE_BYTES
    return f"; the disk is full: {_size(free)} left at {path}" if free < PROBE_BYTES else ""


def _write_fault(folder: Path) -> str | None:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(PROBE_BYTES))
            file.flush()
    except OSError as error:
        if error.errno == errno.EDQUOT:
            return f"disk quota spent at {folder}: remove something, or ask for more"
        return f"nothing can be written at {folder}: {error.strerror}"
    return None


def _size(count: float) -> str:
    return f"{count / GB:.1f} GB" if count >= GB / 10 else f"{count / 1e6:.1f} MB"
