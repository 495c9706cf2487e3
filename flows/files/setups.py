"""Environments of a clone: a worktree for each set-up and lock file, and when it was last used."""

from collections.abc import Iterator
from pathlib import Path

NAME_LENGTH = 16


def setups_of(workdir: Path) -> Path:
    """The folder of a project's environments."""
    return workdir / ".wild" / "setup"


def mark_of(tree: Path) -> Path:
    """What is there once an environment is complete; its time is that of the last use."""
    return tree.with_name(f"{tree.name}.done")


def unused_since(workdir: Path, before: float) -> Iterator[Path]:
    """The environments that no run has been given since (Unix seconds), also incomplete ones."""
    home = setups_of(workdir)
    if not home.is_dir():
        return
    for tree in sorted(home.iterdir()):
        if len(tree.name) != NAME_LENGTH or tree.is_symlink() or not tree.is_dir():
            continue
        mark = mark_of(tree)
        if (mark if mark.exists() else tree).stat().st_mtime < before:
            yield tree
