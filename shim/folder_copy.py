"""The API's copy of a run's folder that lies on another host's own disk."""

import os
import socket
import time
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from wildloop.blocks.launchers.record import open_to_read
from wildloop.flows.errors import Conflict
from wildloop.flows.files.paths import make_ignored
from wildloop.flows.models.copy import NOTE, FilePart, FolderNote, FolderState, FolderStep
from wildloop.flows.models.run import Run

PATIENCE_SECONDS = 600.0
"""How long after a run's end the rest of its files may still come."""
NOTE_BYTES = 1024 * 1024


def take_step(run: Run, step: FolderStep) -> FolderState:
    """Write what a worker sends of a run's folder; nothing where the folder is the same one.

    Raises:
        Conflict: a part begins behind the end of its file, or a link stands in its way.
    """
    root = Path(run.run_dir)
    if step.mark is not None and (root / f".{step.mark}").exists():
        return FolderState(is_same_folder=True)
    known = read_note(root)
    if known is None and (root / "process.json").exists():
        # A command was begun in this very folder: what comes would be written over it.
        raise Conflict(f"the folder of run '{run.id}' is this host's own: there is nothing to send")
    make_ignored(root.parent)
    root.mkdir(exist_ok=True, mode=0o700)
    if known is None:
        # First: by it alone a later step knows that the files are not this host's own.
        _note(root, FolderNote(host=step.host))
    sizes = _sizes(root) if step.mark is not None and known and known.host == step.host else {}
    sizes |= {part.path: _write(root, part) for part in step.parts}
    note = FolderNote(host=step.host, is_complete=step.is_complete, left_out=step.left_out)
    if note != known:
        _note(root, note)
    return FolderState(is_same_folder=False, sizes=sizes)


def _sizes(root: Path) -> dict[str, int]:
    """How much of a run's growing files is here, for a worker that has forgotten it."""
    names = [path for path in root.iterdir() if path.is_file() and not path.is_symlink()]
    return {path.name: path.lstat().st_size for path in names if not path.name.startswith(".")}


def _note(root: Path, note: FolderNote) -> None:
    draft = root / f".{NOTE}"
    draft.write_text(note.model_dump_json() + "\n", encoding="utf-8")
    draft.replace(root / NOTE)


def read_note(root: Path) -> FolderNote | None:
    """Whose copy a run's folder is; None where it is none."""
    try:
        with open_to_read(root / NOTE) as file:
            return FolderNote.model_validate_json(file.read(NOTE_BYTES))
    except (OSError, ValidationError):
        return None


def is_whole(run: Run) -> bool:
    """Whether all of an ended run's files are here, or no more are to be waited for."""
    root = Path(run.run_dir)
    note = read_note(root)
    missing = _lies_elsewhere(run, root) if note is None else not note.is_complete
    return not missing or time.time() - (run.finished_at or 0.0) > PATIENCE_SECONDS


def notes_of(run: Run, only: str | None = None) -> list[str]:
    """What to say of files that are not here; `only`: of this one among them."""
    root = Path(run.run_dir)
    note = read_note(root)
    if note is None:
        return [_elsewhere(run)] if _lies_elsewhere(run, root) else []
    left_out = [name for name in note.left_out if only in (None, name)]
    said = [f"{name} is too large to be sent: it lies on '{note.host}'" for name in left_out]
    if not note.is_complete:
        said.append(f"more may come from '{note.host}'")
    return said


def _lies_elsewhere(run: Run, root: Path) -> bool:
    return run.started_at is not None and run.host != socket.gethostname() and not root.is_dir()


def _elsewhere(run: Run) -> str:
    return (
        f"its files lie on host '{run.host}' in {run.run_dir}, which is not shared with this one: "
        "give the worker there WILDLOOP_SERVER_URL and WILDLOOP_AUTH_TOKEN, so that it sends them"
    )


def _write(root: Path, part: FilePart) -> int:
    """Write a part; return the size that the file has then."""
    *folders, name = part.path.split("/")
    try:
        descriptor = _open_inside(root, folders, name)
    except OSError as error:
        raise Conflict(f"'{part.path}' cannot be written to ({error.strerror})") from error
    with os.fdopen(descriptor, "r+b") as file:
        size = os.fstat(file.fileno()).st_size
        if part.offset > size:
            raise Conflict(f"'{part.path}' has {size} bytes: send it from there, or from 0")
        file.seek(part.offset)
        file.truncate()
        file.write(part.content)
        return part.offset + len(part.content)


def _open_inside(root: Path, folders: list[str], name: str) -> int:
    """A descriptor of a file below `root`, made if need be; no link is followed."""
    here = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        for part in folders:
            with suppress(FileExistsError):
                os.mkdir(part, 0o700, dir_fd=here)
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
            os.close(here)
            here = inner
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        return os.open(name, flags, 0o600, dir_fd=here)
    finally:
        os.close(here)
