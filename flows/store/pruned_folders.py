"""The folders of old runs and sessions on this machine: which may go, and their going."""

import asyncio
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from wildloop.flows.files.paths import RunPaths, SessionPaths
from wildloop.flows.files.setups import mark_of, unused_since
from wildloop.flows.git.process import GitError, run_git
from wildloop.flows.models.prune import PruneFolder
from wildloop.flows.models.run import Run


async def folders_of(
    runs: Sequence[Run], sessions: Mapping[str, str]
) -> tuple[list[PruneFolder], list[str]]:
    """The folders that lie here, and what of them stays, with the reason.

    Args:
        runs: whose folders are meant.
        sessions: the project's folder of each session, by its id.
    """
    found = [folder for run in runs if (folder := _folder_of(run)) is not None]
    left = []
    for id, workdir in sessions.items():
        paths = SessionPaths.of(workdir, id)
        found.append(paths.processes)
        if await _is_tracked(paths.workdir, paths.root):
            left.append(f"{paths.root}: git tracks it, so it is the user's to remove")
        else:
            found.append(paths.root)
    there = [path for path in dict.fromkeys(found) if path.is_dir() and not path.is_symlink()]
    return await asyncio.to_thread(_measured, there), left


async def setups_of_clones(workdirs: Iterable[str], before: float) -> list[PruneFolder]:
    """The environments of clones on this machine that no run has been given since.

    Args:
        workdirs: the projects' folders.
        before: Unix seconds.
    """

    def look() -> list[PruneFolder]:
        places = {Path(one).resolve() for one in workdirs if Path(one).is_absolute()}
        return _measured(tree for one in sorted(places) for tree in unused_since(one, before))

    return await asyncio.to_thread(look)


async def remove_folders(folders: Iterable[PruneFolder]) -> None:
    """Remove them; one that is gone already is no error.

    Raises:
        OSError: one cannot be removed.
    """
    for folder in folders:
        # Of an environment first: without it, none counts as complete.
        mark_of(Path(folder.path)).unlink(missing_ok=True)
        if Path(folder.path).is_dir():
            await asyncio.to_thread(shutil.rmtree, folder.path)


def _folder_of(run: Run) -> Path | None:
    """A run's folder; None where what is noted is not a folder of Wildloop's own making."""
    folder = Path(run.run_dir)
    is_own = folder == RunPaths.of(folder.parent.parent.parent, run.id).root
    return folder if is_own and folder.is_absolute() else None


async def _is_tracked(workdir: Path, folder: Path) -> bool:
    """Whether the checkout that lies there has files of a folder."""
    if not folder.is_dir():
        return False
    try:
        return bool((await run_git(workdir, "ls-files", "--", str(folder))).strip())
    except GitError:
        return False


def _measured(folders: Iterable[Path]) -> list[PruneFolder]:
    return [PruneFolder(path=str(path), size=_bytes(path)) for path in folders]


def _bytes(folder: Path) -> int:
    """What it takes on disk; links are not followed."""
    total = 0
    for root, names, files in os.walk(folder):
        for name in [*names, *files]:
            total += (Path(root) / name).lstat().st_blocks * 512
    return total
