"""Files below a folder, reached without following a symbolic link that somebody has put there."""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from uuid import uuid4

CHUNK_BYTES = 1024 * 1024
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
# O_NONBLOCK: a pipe in place of a file must not hold us up.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK


@contextmanager
def parent(root: Path, name: str, aside: Path | None = None) -> Iterator[tuple[int, str]]:
    """(descriptor of the folder, last part) of `root/name`.

    Args:
        root: where names count from; itself it may be a link.
        name: relative, with slashes.
        aside: create missing folders, and move what stands in their place to this folder; None:
            raise instead.

    Raises:
        OSError: a folder on the way is missing, or is none.
    """
    *folders, last = PurePosixPath(name).parts
    here = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in folders:
            try:
                below = os.open(part, _FOLDER, dir_fd=here)
            except OSError:
                if aside is None:
                    raise
                below = _made_folder(here, part, aside)
            os.close(here)
            here = below
        yield here, last
    finally:
        os.close(here)


def look(root: Path, name: str) -> os.stat_result | None:
    """What stands at `root/name`; None for nothing, also where a link is on the way."""
    try:
        with parent(root, name) as (folder, last):
            return os.stat(last, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return None


def link_target(root: Path, name: str) -> str:
    """Where a symbolic link points."""
    with parent(root, name) as (folder, last):
        return os.readlink(last, dir_fd=folder)


def digest(root: Path, name: str, copy_to: Path | None = None) -> tuple[str, os.stat_result]:
    """SHA-256 of a regular file, and its state; a copy is made on the way if wanted.

    Raises:
        OSError: it is gone, no regular file, or unreadable.
    """
    with parent(root, name) as (folder, last):
        source = os.open(last, _READ, dir_fd=folder)
    with os.fdopen(source, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(f"'{name}' is no regular file")
        value = hashlib.sha256()
        copy = copy_to.open("xb") if copy_to is not None else None
        try:
            while chunk := file.read(CHUNK_BYTES):
                value.update(chunk)
                if copy is not None:
                    copy.write(chunk)
        finally:
            if copy is not None:
                copy.close()
    return value.hexdigest(), found


def move_aside(folder: int, name: str, aside: Path) -> None:
    """Move an entry of an open folder out of the project's way.

    Raises:
        OSError: it cannot be moved.
    """
    aside.mkdir(parents=True, exist_ok=True)
    os.rename(name, aside / f"{uuid4().hex[:8]}-{name}", src_dir_fd=folder)


def _made_folder(here: int, part: str, aside: Path) -> int:
    try:
        os.stat(part, dir_fd=here, follow_symlinks=False)
    except FileNotFoundError:
        pass
    else:
        move_aside(here, part, aside)
    os.mkdir(part, dir_fd=here)
    return os.open(part, _FOLDER, dir_fd=here)
