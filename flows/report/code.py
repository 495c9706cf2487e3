"""Which runs ran the same code: by the project's files, not by the commit's name."""

import asyncio
import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from prefect.logging import get_logger

from flows.errors import WildloopError
from flows.git_process import GitError, git_names
from flows.models.run import Run
from flows.paths import RunPaths

# Plans, logs and notes that an iteration commits beside the code do not change what a run does.
_NOTES = re.compile(r"(?:\.wild/|exp/).*|.*\.md", re.DOTALL)
_FILE = re.compile(r'^diff --git "?a/(.*?)"? "?b/', re.MULTILINE)


async def code_digests(project: Path, runs: Sequence[Run]) -> dict[str, str]:
    """A digest of the code of each run that has a commit, by run id.

    It covers the files of the commit, without notes, and the uncommitted changes that the run was
    started with.
    """
    commits = sorted({run.git_commit for run in runs if run.git_commit})
    trees = {commit: await _tree(project, commit) for commit in commits}
    patches = await asyncio.to_thread(_patches, [run for run in runs if run.git_commit])
    return {
        run.id: _digest([trees[run.git_commit], patches[run.id]]) for run in runs if run.git_commit
    }


async def _tree(folder: Path, commit: str) -> str:
    """The files of a commit with their contents' hashes; the commit's name if it cannot be read."""
    try:
        lines = await git_names(folder, "ls-tree", "-r", "-z", commit)
    except (GitError, WildloopError, OSError) as error:
        get_logger(__name__).warning("commit %s of %s cannot be read: %s", commit, folder, error)
        return commit
    return _digest(line for line in lines if not _NOTES.fullmatch(line.partition("\t")[2]))


def _patches(runs: Sequence[Run]) -> dict[str, str]:
    found = {}
    for run in runs:
        try:
            text = RunPaths(Path(run.run_dir)).patch.read_text("utf-8", "surrogateescape")
        except OSError:
            text = ""
        parts = re.split(r"(?m)^(?=diff --git )", text)
        found[run.id] = "".join(part for part in parts if not _is_note(part))
    return found


def _is_note(part: str) -> bool:
    match = _FILE.match(part)
    return match is not None and _NOTES.fullmatch(match[1]) is not None


def _digest(lines: Iterable[str]) -> str:
    text = "\0".join(lines).encode("utf-8", "surrogateescape")
    return hashlib.sha256(text).hexdigest()[:16]
