"""What git says of the code that the best ran."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from wildloop.flows.evidence.account import Account
from wildloop.flows.evidence.configuration import Configuration
from wildloop.flows.files.manifest import read_manifest
from wildloop.flows.files.paths import RunPaths
from wildloop.flows.git.code import code_digest, code_of_tree, differing_files
from wildloop.flows.git.lines import Lines, lines_between
from wildloop.flows.git.process import GitError


async def lines_of_the_best(account: Account, skipped: Sequence[str]) -> Lines | None:
    """By how many lines its code differs from the baseline's; None where that cannot be told."""
    best, base = account.best, account.baseline
    if best is None or base is None or best is base or not (best.measured and base.measured):
        return None
    run = best.measured[0]
    try:
        before, after = await _tree(base), await _tree(best)
        names = await differing_files(Path(run.workdir), before, after, run.command, skipped)
        return await lines_between(Path(run.workdir), before, after, names)
    except (OSError, ValidationError, GitError):
        return None


async def is_at_head(account: Account, branch: str | None, skipped: Sequence[str]) -> bool | None:
    """Whether the branch's head has the very files that the best ran; None: it cannot be told."""
    best = account.best
    if best is None or branch is None or best.code is None or not best.measured:
        return None
    run = best.measured[0]
    try:
        files = await code_of_tree(Path(run.workdir), branch, run.command, skipped)
    except (OSError, GitError):
        return None
    return code_digest(files) == best.code


async def _tree(one: Configuration) -> str:
    run = one.measured[0]
    manifest = await asyncio.to_thread(read_manifest, RunPaths(Path(run.run_dir)))
    if manifest.tree is None:
        raise GitError(f"the files that run '{run.id}' executed were not noted")
    return manifest.tree
