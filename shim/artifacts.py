"""The files of a run's folder: listed, and opened with no way out of it."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from wildloop.flows.errors import NotFound
from wildloop.shim.models import ArtifactFile, RunArtifacts

MOST_FILES = 10_000
CHUNK_BYTES = 256 * 1024


def list_artifacts(run_id: str, run_dir: Path) -> RunArtifacts:
    """The regular files below a run's folder, by path; links that lead out of it are left out."""
    root = run_dir.resolve()
    files: list[ArtifactFile] = []
    notes = []
    nameless = 0
    for path in _walk(root):
        if len(files) >= MOST_FILES:
            notes.append(f"there are more than {MOST_FILES} files: the others are left out")
            break
        relative = path.relative_to(root).as_posix()
        if not _is_text(relative):
            nameless += 1
            continue
        with suppress(OSError):
            # Gone meanwhile, or not to be read: it is no artifact then.
            info = path.stat()
            if stat.S_ISREG(info.st_mode) and path.resolve(strict=True).is_relative_to(root):
                files.append(
                    ArtifactFile(
                        path=relative, name=path.name, size=info.st_size, modified=info.st_mtime
                    )
                )
    if nameless:
        notes.append(f"{nameless} files whose names are not UTF-8 are left out")
    return RunArtifacts(run_id=run_id, run_dir=str(run_dir), files=files, notes=notes)


def _walk(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            yield Path(folder) / name


@dataclass(frozen=True)
class OpenArtifact:
    """An open file of a run, closed at the end of its content or when it is dropped."""

    file: BinaryIO
    name: str
    size: int

    @property
    def headers(self) -> dict[str, str]:
        """For the download: never shown in the browser as a page of this site."""
        return {
            "Content-Length": str(self.size),
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(self.name, safe='')}",
            "X-Content-Type-Options": "nosniff",
        }

    async def content(self) -> AsyncIterator[bytes]:
        """The file's bytes up to the size it had when it was opened; it may still grow."""
        left = self.size
        with self.file:
            while left > 0:
                data = await asyncio.to_thread(self.file.read, min(CHUNK_BYTES, left))
                if not data:
                    return
                left -= len(data)
                yield data


def open_artifact(run_id: str, run_dir: Path, path: str) -> OpenArtifact:
    """Open a file below a run's folder.

    Links are resolved first; then each folder on the way is opened in the one before it, following
    no link, so that what is exchanged in between leads nowhere else.

    Raises:
        NotFound: there is no such file, it is no regular file, or it lies outside the folder.
    """
    root = run_dir.resolve()
    try:
        if path.startswith("/") or ".." in Path(path).parts:
            raise NotFound(f"artifact of run '{run_id}'", path)
        parts = (root / path).resolve(strict=True).relative_to(root).parts
        descriptor = _open_inside(root, parts)
    except (OSError, ValueError, RuntimeError) as error:
        raise NotFound(f"artifact of run '{run_id}'", path) from error
    info = os.fstat(descriptor)
    if not stat.S_ISREG(info.st_mode):
        os.close(descriptor)
        raise NotFound(f"artifact of run '{run_id}'", path)
    return OpenArtifact(file=os.fdopen(descriptor, "rb"), name=parts[-1], size=info.st_size)


def _open_inside(root: Path, parts: tuple[str, ...]) -> int:
    """A descriptor of `root/*parts`, where no part is a link."""
    if not parts:
        raise ValueError("the folder itself")
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parts[:-1]:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        # Without O_NONBLOCK a named pipe would block until somebody writes to it.
        return os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    finally:
        os.close(folder)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
