"""Checking a tree out, with the records of sessions: they go along with whatever is checked out."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from wildloop.flows.git.process import git_answer, run_git, run_git_locking

SESSIONS = ".wild/sessions"


async def with_records(root: Path, path: Path, files: str, records: str) -> str:
    """The tree of `files` with `.wild/sessions` as it is in the tree `records`.

    Args:
        root: the top of the repository.
        path: the project, in the repository.
        files: a commit or tree.
        records: another.

    Returns:
        The new tree object.
    """
    folder = os.path.relpath(path.resolve() / SESSIONS, root.resolve())
    with TemporaryDirectory(prefix="wildloop-") as temporary:
        env = {"GIT_INDEX_FILE": str(Path(temporary) / "index")}
        await run_git(root, "read-tree", files, env=env)
        remove = ("rm", "-r", "-f", "-q", "--cached", "--ignore-unmatch", "--", folder)
        await run_git(root, "--literal-pathspecs", *remove, env=env)
        if await git_answer(root, "rev-parse", "--verify", "-q", f"{records}:{folder}"):
            await run_git(root, "read-tree", f"--prefix={folder}/", f"{records}:{folder}", env=env)
        return (await run_git(root, "write-tree", env=env)).decode().strip()


async def check_out_tree(root: Path, current: str, wanted: str) -> None:
    """Change working tree and index from one tree to another; HEAD stays where it is.

    Args:
        root: the top of the repository.
        current: commit or tree of the files as they lie there now.
        wanted: commit or tree of what is to lie there.

    Raises:
        GitError: a file that no tree knows is in the way; nothing is overwritten.
    """
    await run_git_locking(root, "read-tree", current)
    await run_git(root, "update-index", "-q", "--refresh", "--really-refresh")
    await run_git_locking(root, "read-tree", "-m", "-u", current, wanted)
    await leave_out_again(root)


async def leave_out_again(root: Path) -> None:
    """Mark in a new index what the user has left out of the working tree (`sparse-checkout`).

    Without the mark git takes those files for deleted.
    """
    if await git_answer(root, "config", "--bool", "core.sparseCheckout") == "true":
        await run_git_locking(root, "sparse-checkout", "reapply")
