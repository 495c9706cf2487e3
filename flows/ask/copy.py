"""A copy of a session's code and record, which the agent that is asked may read and spoil."""

import asyncio
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

from wildloop.flows.git.process import run_git
from wildloop.flows.models.run import Run
from wildloop.flows.models.session import Session

RUNS = "runs.jsonl"


async def make_copy(session: Session, runs: Sequence[Run], folder: Path) -> None:
    """Lay the session's last commit into a folder, and a line for each run beside it.

    Raises:
        GitError: the commit cannot be read.
    """
    workdir = Path(session.workdir)
    archive = folder.parent / "tree.tar"
    await run_git(workdir, "archive", "--format=tar", "-o", str(archive), session.branch or "HEAD")
    await asyncio.to_thread(_unpack, archive, folder)
    text = "".join(json.dumps(line_of(run), default=str) + "\n" for run in runs)
    (folder / RUNS).write_text(text, encoding="utf-8")


def line_of(run: Run) -> dict[str, object]:
    """What is told of a run in a line."""
    return {
        "id": run.id,
        "name": run.name,
        "status": run.status.value,
        "command": run.command,
        "parameters": run.parameters,
        "seed": run.seed,
        "metrics": run.metrics,
        "error": run.error,
        "commit": run.git_commit,
    }


def _unpack(archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as tar:
        # Its links may lead out of the copy: the filter refuses these, and nothing else is lost.
        for member in tar:
            try:
                tar.extract(member, folder, filter="data")
            except (tarfile.FilterError, OSError):
                continue
    archive.unlink()
