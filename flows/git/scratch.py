"""A worktree for a moment, to try things in that the user's must not see."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from wildloop.flows.git.process import NO_HOOKS, WILDLOOP, git_line, run_git, run_git_locking


@asynccontextmanager
async def scratch_worktree(
    root: Path, commit: str, *, outside: bool = False
) -> AsyncIterator[Path]:
    """A worktree of its own at a commit, taken away at the end.

    Args:
        root: the top of the repository.
        commit: what is checked out.
        outside: not below `.git`, where linters look at nothing, but among the temporary files.
    """
    common = None if outside else root / await git_line(root, "rev-parse", "--git-common-dir")
    with TemporaryDirectory(prefix="wildloop-", dir=common) as folder:
        tree = Path(folder) / (root.name if outside else "tree")
        add = ("worktree", "add", "-q", "--detach", str(tree), commit)
        await run_git_locking(root, *NO_HOOKS, *add)
        try:
            yield tree
        finally:
            await run_git(root, "worktree", "remove", "--force", str(tree))


async def try_hooks(path: Path) -> None:
    """Make an empty commit as a session's are, with the repository's hooks, and forget it.

    Raises:
        GitError: a hook refuses it; the text is what it said.
    """
    async with scratch_worktree(path, "HEAD") as tree:
        message = "wild: iteration-01: a trial of the hooks"
        options = ("-q", "--allow-empty", "--no-gpg-sign", "-m", message)
        await run_git(tree, *WILDLOOP, "commit", *options)
