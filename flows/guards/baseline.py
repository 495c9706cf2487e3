"""The protected files as they were when a session began, and private copies of them."""

import os
import stat
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field

from wildloop.flows.guards import places
from wildloop.flows.guards.patterns import matching

COPY_BYTES = 64 * 1024 * 1024
COPIES_BYTES = 512 * 1024 * 1024
HASHED_BYTES = 8 * 1024 * 1024 * 1024
KEEP_DAYS = 30
CONFIG = "wildloop.toml"


class ProtectedFile(BaseModel):
    """One file or link as it has to stay. `sha256` is None where only size and time are known."""

    model_config = ConfigDict(frozen=True)

    path: str
    kind: Literal["file", "link"] = "file"
    size: int = 0
    mode: int = 0
    mtime_ns: int = 0
    sha256: str | None = None
    target: str | None = None


class Baseline(BaseModel):
    """The protected files of a session. `notes` say what cannot be watched or put back."""

    session_id: str
    root: str
    patterns: list[str]
    files: list[ProtectedFile] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)


def copies_folder(home: Path) -> Path:
    """Where the private copies lie, named by their SHA-256, shared by all sessions."""
    return home / "protected"


def take_baseline(root: Path, session_id: str, patterns: Sequence[str], copies: Path) -> Baseline:
    """Record the protected files, wildloop.toml among them, and copy what is small enough.

    Files up to 64 MiB are copied, 512 MiB in all, the smallest first; a larger one can be put
    back from nowhere, but its change is found. Of the first 8 GiB the content is compared, beyond
    that size and time of the last change.

    Raises:
        TooManyFiles: the patterns name too many.
        OSError: a file cannot be read, or a copy not be written.
    """
    found = Baseline(session_id=session_id, root=str(root), patterns=list(patterns))
    named = {pattern: matching(root, [pattern]) for pattern in patterns}
    found.notes += [
        f"the pattern '{pattern}' names no file" for pattern, names in named.items() if not names
    ]
    # Who may edit the list of what is protected has nothing protected.
    names = set(matching(root, [*patterns, CONFIG])) if patterns else set()
    states = {name: state for name in names if (state := places.look(root, name)) is not None}
    copies.mkdir(parents=True, exist_ok=True, mode=0o700)
    _prune(copies)
    copied = hashed = 0
    for name in sorted(states, key=lambda name: states[name].st_size):
        state = states[name]
        if not _storable(name):
            found.notes.append(f"{name!r} is not watched: its name is not UTF-8")
        elif stat.S_ISLNK(state.st_mode):
            found.files.append(
                ProtectedFile(path=name, kind="link", target=places.link_target(root, name))
            )
            if _leads_out(root, name):
                found.notes.append(
                    f"'{name}' is a link out of the project: the link is watched, not what it "
                    "points to"
                )
        elif stat.S_ISREG(state.st_mode):
            hashed += state.st_size
            is_copied = state.st_size <= COPY_BYTES and copied + state.st_size <= COPIES_BYTES
            copied += state.st_size if is_copied else 0
            found.files.append(
                _record(root, name, state, copies if is_copied else None, hashed <= HASHED_BYTES)
            )
            if not is_copied:
                found.notes.append(f"'{name}' is too large to be copied: it cannot be put back")
    found.files.sort(key=lambda file: file.path)
    return found


def _record(
    root: Path, name: str, state: os.stat_result, copies: Path | None, hashed: bool
) -> ProtectedFile:
    value: str | None = None
    if copies is not None:
        draft = copies / f".{uuid4().hex}"
        value, state = places.digest(root, name, draft)
        draft.chmod(0o600)
        draft.replace(copies / value)
    elif hashed:
        value, state = places.digest(root, name)
    return ProtectedFile(
        path=name,
        size=state.st_size,
        mode=stat.S_IMODE(state.st_mode),
        mtime_ns=state.st_mtime_ns,
        sha256=value,
    )


def _prune(copies: Path) -> None:
    """Remove copies that no session has taken for a month."""
    oldest = time.time() - KEEP_DAYS * 86_400
    for path in copies.iterdir():
        if path.stat().st_mtime < oldest:
            path.unlink(missing_ok=True)


def _storable(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _leads_out(root: Path, name: str) -> bool:
    return not (root / name).resolve().is_relative_to(root.resolve())
