"""The project's checks on one commit of the new branch, in a worktree of its own."""

import asyncio
from pathlib import Path

from wildloop.flows.git.scratch import scratch_worktree
from wildloop.flows.project import ChecksConfig
from wildloop.flows.run.checkout import link_all
from wildloop.flows.run.project_checks import failed_check


async def failed_on(root: Path, workdir: Path, commit: str, checks: ChecksConfig) -> str | None:
    """Run checks on a commit, in a checkout of it that is taken away afterwards.

    What git does not hold and `[isolation] link` names is linked there, as for isolated runs.

    Args:
        root: the top of the repository.
        workdir: the project, in the repository.
        commit: what is checked.
        checks: the project's.

    Returns:
        What the first that fails says; None where all pass.

    Raises:
        GitError: the commit cannot be checked out.
    """
    if not checks.commands:
        return None
    inner = workdir.resolve().relative_to(root.resolve())
    async with scratch_worktree(root, commit, outside=True) as tree:
        await asyncio.to_thread(link_all, root, workdir, tree)
        return await failed_check(checks, tree / inner)
