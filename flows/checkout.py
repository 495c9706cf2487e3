"""A commit and its patch in a worktree of their own, for a run that is to be exactly as before."""

import asyncio
from pathlib import Path

from flows import git
from flows.errors import WildloopError
from flows.git_process import GitError, git_line, run_git, run_git_locking
from flows.models.run import Checkout
from flows.paths import make_ignored


class CheckoutFailed(WildloopError):
    """The commit or patch cannot be put in place; the text says what to do."""


async def prepare(workdir: Path, checkout: Checkout, folder: Path) -> Path:
    """Check `checkout` out into `folder`, once; return the folder that stands for `workdir`.

    Raises:
        CheckoutFailed: the commit is gone, or the patch does not apply.
    """
    try:
        root = Path(await git_line(workdir, "rev-parse", "--show-toplevel"))
        inside = folder / workdir.resolve().relative_to(root.resolve())
        done = folder.with_name(folder.name + ".done")
        if not done.exists():
            await _discard(root, folder)
            make_ignored(folder.parent)
            commit = checkout.git_commit
            await run_git_locking(root, "worktree", "add", "--detach", str(folder), commit)
            if checkout.patch is not None:
                await run_git(folder, "apply", "--binary", "--whitespace=nowarn", checkout.patch)
            done.touch()
    except (GitError, ValueError) as error:
        raise CheckoutFailed(
            f"commit {checkout.git_commit[:12]} cannot be checked out with its changes: {error}"
        ) from error
    if not await asyncio.to_thread(inside.is_dir):
        raise CheckoutFailed(f"'{workdir}' does not exist in commit {checkout.git_commit[:12]}")
    return inside


async def _discard(root: Path, folder: Path) -> None:
    """Remove what an interrupted check-out has left."""
    if folder.exists() and await git.is_repository(folder):
        await run_git_locking(root, "worktree", "remove", "--force", str(folder))
