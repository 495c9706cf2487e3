"""The files of one skill's folder. No path leads out of it: links are never followed."""

import base64
import errno
import os
import secrets
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wildloop.flows.errors import Conflict, InvalidRequest, NotFound, Unavailable
from wildloop.flows.models.skill import MAX_FILE_BYTES, MAX_FILES, SkillFile, SkillFileContent
from wildloop.flows.skills.document import printable

FILE = "SKILL.md"
MAX_DEPTH = 8
MAX_NAME_BYTES = 200
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A named pipe would block the open for ever.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def check_path(path: str) -> tuple[str, ...]:
    """The parts of a file's path inside its skill.

    Raises:
        InvalidRequest: it leads out, is hidden, or has characters that look like others.
    """
    parts = tuple(path.split("/"))
    fault = next((said for part in parts if (said := _fault(part))), None)
    if fault is None and len(parts) > MAX_DEPTH:
        fault = f"is deeper than {MAX_DEPTH} folders"
    if fault is None and parts[-1].casefold() == FILE.casefold() and path != FILE:
        fault = f"could be taken for {FILE}"
    if fault is not None:
        raise InvalidRequest(
            f"path '{printable(path)}' {fault}: give one inside the skill's folder, as "
            "'notes/setup.md'"
        )
    return parts


def _fault(part: str) -> str | None:
    if not part:
        return "is empty, absolute, or has an empty part"
    if part.startswith("."):
        return "has a part that begins with '.'"
    if (
        not part.isprintable()
        or part != part.strip()
        or {"\\", "\N{REPLACEMENT CHARACTER}"} & {*part}
    ):
        return "has a backslash, a character that cannot be shown, or blanks around a part"
    # Full-width dots and their like turn into plain ones on some file systems.
    if unicodedata.normalize("NFKC", part) != part:
        return "has characters that stand for others"
    if len(part.encode("utf-8", "replace")) > MAX_NAME_BYTES:
        return f"has a part longer than {MAX_NAME_BYTES} bytes"
    return None


def read_bytes(folder: Path, path: str) -> bytes:
    """A file of a skill.

    Args:
        folder: the skill's folder; must not be a link itself.
        path: relative to it.

    Raises:
        NotFound: there is no such regular file without links on the way.
        InvalidRequest: the path is bad, or the file is larger than 1 MB.
    """
    return _read(folder, path)[0]


def _read(folder: Path, path: str) -> tuple[bytes, float]:
    """Content, and time of the last change."""
    parts = check_path(path)
    try:
        with _folder(folder, parts[:-1]) as parent:
            descriptor = os.open(parts[-1], _READ, dir_fd=parent)
    except OSError as error:
        raise NotFound("file of the skill", path) from error
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise NotFound("file of the skill", path)
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise InvalidRequest(
            f"file '{path}' is larger than {MAX_FILE_BYTES} bytes: make it smaller"
        )
    return content, status.st_mtime


def list_files(folder: Path) -> list[SkillFile]:
    """The files of a skill that can be read, by path; hidden ones and links are none."""
    found = []
    for path, entry in _walk(folder, ()):
        status = entry.stat(follow_symlinks=False)
        found.append(SkillFile(path=path, size=status.st_size, modified_at=status.st_mtime))
    return sorted(found, key=lambda file: file.path)


def read_file(folder: Path, path: str) -> SkillFileContent:
    """A file of a skill as the API shows it; raises what `read_bytes` raises."""
    content, modified_at = _read(folder, path)
    try:
        text, encoding = content.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        text, encoding = base64.b64encode(content).decode("ascii"), "base64"
    return SkillFileContent.model_validate(
        {
            "path": path,
            "size": len(content),
            "modified_at": modified_at,
            "content": text,
            "encoding": encoding,
        }
    )


def write_bytes(folder: Path, path: str, content: bytes, *, executable: bool = False) -> None:
    """Write a file by rename: a reader sees the old one or the new one, whole.

    Raises:
        InvalidRequest: the path is bad, a link or a folder stands there, the file is larger than
            1 MB, or the skill would have more than 100 files.
        Unavailable: the file system refuses.
    """
    parts = check_path(path)
    if len(content) > MAX_FILE_BYTES:
        raise InvalidRequest(
            f"file '{path}' has {len(content)} bytes, more than {MAX_FILE_BYTES}: make it smaller"
        )
    names = {file.path for file in list_files(folder)}
    if path not in names and len(names) >= MAX_FILES:
        raise InvalidRequest(f"the skill has {MAX_FILES} files already: remove one first")
    temporary = f".{secrets.token_hex(8)}.tmp"
    mode = 0o755 if executable else 0o644
    with refusals(path), _folder(folder, parts[:-1], make=True) as parent:
        try:
            with os.fdopen(os.open(temporary, _WRITE, mode, dir_fd=parent), "wb") as file:
                file.write(content)
            os.replace(temporary, parts[-1], src_dir_fd=parent, dst_dir_fd=parent)
        except BaseException:
            _discard(temporary, parent)
            raise


@contextmanager
def refusals(path: str) -> Iterator[None]:
    """Turn what the file system refuses into an answer for the user.

    Raises:
        InvalidRequest: a link, a file or a folder is in the way.
        Conflict: another request was faster.
        Unavailable: not permitted, or no room.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.EISDIR, errno.ELOOP):
            raise InvalidRequest(
                f"path '{path}' cannot be written: a link, or a file or folder of this name, is "
                "in the way"
            ) from error
        if error.errno in (errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY):
            raise Conflict(
                f"'{path}' was changed by another request, or a folder of this name is in the "
                "way: look at it, then try again"
            ) from error
        raise Unavailable(
            f"'{path}' cannot be written ({error.strerror}): see that the server may write there"
        ) from error


@contextmanager
def _folder(root: Path, parts: tuple[str, ...], *, make: bool = False) -> Iterator[int]:
    """An open folder inside `root`, reached part by part so that no link is followed."""
    descriptor = os.open(root, _FOLDER)
    try:
        for part in parts:
            if make:
                _make(part, descriptor)
            below = os.open(part, _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


def _make(part: str, parent: int) -> None:
    try:
        os.mkdir(part, 0o755, dir_fd=parent)
    except FileExistsError:
        return


def _discard(name: str, parent: int) -> None:
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return


def _walk(folder: Path, above: tuple[str, ...]) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            parts = (*above, entry.name)
            if _fault(entry.name) or len(parts) > MAX_DEPTH:
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path), parts)
            elif entry.is_file(follow_symlinks=False):
                yield "/".join(parts), entry
