"""Which code a run executed: noted when it begins, and looked at again when it has ended."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from prefect.logging import get_logger

from wildloop.flows.errors import WildloopError
from wildloop.flows.files.manifest import Manifest, read_manifest
from wildloop.flows.git import repository
from wildloop.flows.git.code import changed_files, code_digest, code_of_tree
from wildloop.flows.git.filters import filtered_files
from wildloop.flows.git.lines import lines_of_tree
from wildloop.flows.git.process import GitError
from wildloop.flows.git.snapshot import working_tree
from wildloop.flows.models.run import Checkout
from wildloop.flows.project import load_project
from wildloop.flows.run.checkout import worktree_of
from wildloop.flows.run.execution import Execution

SHOWN = 3
logger = get_logger(__name__)


class Code(NamedTuple):
    """A tree of git, digest and lines of those of its files that matter; None where not known."""

    tree: str | None = None
    digest: str | None = None
    lines: int | None = None
    note: str = ""


async def code_at_start(execution: Execution) -> Code:
    """The code of a run as it begins; unknown outside a repository."""
    spec, workdir = execution.spec, execution.workdir
    try:
        if not await repository.is_repository(workdir):
            return Code()
        tree = await _tree(workdir, spec.checkout, execution.run_id)
        files = await code_of_tree(workdir, tree, spec.command, _not_code(workdir))
        lines = await lines_of_tree(workdir, tree, files)
        worktree = worktree_of(workdir, execution.run_id) if spec.checkout else None
        other = await filtered_files(worktree, files) if worktree is not None else []
    except (GitError, OSError) as error:
        logger.warning("the code of run %s was not noted: %s", execution.run_id, error)
        return Code()
    return Code(tree, code_digest(files), lines, _filtered(other))


async def why_unknown(execution: Execution) -> str:
    """Why it cannot be told what a run executed; empty where it can.

    A run in a tree of its own has what it was given. One in the project's folder may have read a
    file before or after somebody changed it; files that came meanwhile are mostly its own.
    """
    spec, workdir = execution.spec, execution.workdir
    manifest: Manifest = read_manifest(execution.paths)
    if spec.checkout is not None or manifest.tree is None:
        return manifest.code_note
    try:
        tree = await working_tree(workdir)
        if tree == manifest.tree:
            return ""
        skipped = _not_code(workdir)
        before = await code_of_tree(workdir, manifest.tree, spec.command, skipped)
        after = await code_of_tree(workdir, tree, spec.command, skipped)
    except (GitError, OSError) as error:
        logger.warning("the code of run %s was not looked at: %s", execution.run_id, error)
        return ""
    changed = changed_files(before, after)
    if not changed:
        return ""
    return f"{_some(changed)} changed while it ran"


def _filtered(names: Sequence[str]) -> str:
    if not names:
        return ""
    return f"{_some(names)} in its worktree is not what its commit has: a git filter changed it"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


async def _tree(workdir: Path, checkout: Checkout | None, run_id: str) -> str:
    if checkout is None:
        return await working_tree(workdir)
    if checkout.snapshot is not None:
        return checkout.snapshot
    worktree = worktree_of(workdir, run_id)
    return checkout.git_commit if worktree is None else await working_tree(worktree)


def _not_code(workdir: Path) -> list[str]:
    try:
        project = load_project(workdir)
    except WildloopError:
        return []
    return project.project.not_code if project is not None else []
