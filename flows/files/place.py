"""Which folder this is: a project's own, or another clone or copy of it under the same path.

Hosts that share storage see one mark; a clone has none, since git does not hold it, and that of a
copy says whose it was: a file keeps its inode number on shared storage and no copy has the same.
"""

import os
import secrets
from pathlib import Path

from wildloop.flows.files.paths import make_ignored


def place_of(workdir: Path) -> str | None:
    """The mark of a folder; None where it has none of its own."""
    try:
        with _file(workdir).open("rb") as file:
            inode = os.fstat(file.fileno()).st_ino
            name, _, said = file.read().decode("ascii").strip().partition(" ")
    except (OSError, UnicodeDecodeError):
        return None
    return name if name and said == str(inode) else None


def is_another(workdir: Path, mark: str | None) -> bool:
    """Whether a folder is not the one that bears this mark; without a mark it may be."""
    return mark is not None and place_of(workdir) != mark


def mark_place(workdir: Path) -> str | None:
    """The mark of a folder, made if it has none; None where nothing can be written there."""
    if (known := place_of(workdir)) is not None:
        return known
    if not workdir.is_dir():
        return None
    file = _file(workdir)
    draft = file.with_name(f".{secrets.token_hex(8)}")
    try:
        make_ignored(file.parent)
        with draft.open("x", encoding="ascii") as made:
            made.write(f"{secrets.token_hex(8)} {os.fstat(made.fileno()).st_ino}\n")
        _put(draft, file)
    except OSError:
        return None
    return place_of(workdir)


def _put(draft: Path, file: Path) -> None:
    """Put the mark in place; where two do so at once, the first one's stays."""
    try:
        os.link(draft, file)
    except FileExistsError:
        # A copy's: what it says is not of this folder.
        if place_of(file.parent.parent.parent) is None:
            draft.replace(file)
    except OSError:
        # There are no hard links here.
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


def _file(workdir: Path) -> Path:
    return workdir / ".wild" / "place" / "mark"
