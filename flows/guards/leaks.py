"""The token in files that an agent or a run has written: masked before anybody reads them."""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from wildloop.blocks.agents.masking import SHORTEST, mask_file
from wildloop.flows.git.place import top_of
from wildloop.flows.git.process import GitError, git_line, run_git

SEARCHED_BYTES = 64 * 1024 * 1024
MOST_COMMITS = 50
NO_MATCH = 1


def mask_token(root: Path, names: Iterable[str], token: str | None) -> list[str]:
    """Overwrite the token in these files with asterisks; return the names of those that held it.

    Links, and files over 64 MiB, are left alone.
    """
    if token is None or len(token) < SHORTEST:
        return []
    return [name for name in names if _held(root / name, token)]


def _held(path: Path, token: str) -> bool:
    try:
        state = path.lstat()
        if not stat.S_ISREG(state.st_mode) or state.st_size > SEARCHED_BYTES:
            return False
        found = mask_file(path, [token])
    except OSError:
        # Gone, or not ours to read: what Wildloop cannot read it does not send either.
        return False
    return found


async def changed_in_worktree(workdir: Path) -> list[str]:
    """The new and changed files of a repository, as full paths; ignored ones are not among them.

    Raises:
        GitError: git failed.
    """
    root = await top_of(workdir)
    status = ("status", "--porcelain=v1", "-z", "-uall", "--no-renames")
    entries = (await run_git(workdir, *status)).split(b"\0")
    return [str(root / os.fsdecode(entry[3:])) for entry in entries if len(entry) > 3]


async def commits_with_token(workdir: Path, since: str, token: str) -> list[str]:
    """The commits after `since`, at most 50, in whose files the token stands.

    Raises:
        GitError: git failed.
    """
    listed = await git_line(workdir, "rev-list", f"--max-count={MOST_COMMITS}", f"{since}..HEAD")
    found = []
    for commit in listed.split():
        try:
            # By stdin: the token is not to be seen in the process list.
            await run_git(
                workdir, "grep", "-q", "-F", "-f", "-", commit, stdin=token.encode() + b"\n"
            )
        except GitError as error:
            if error.returncode != NO_MATCH:
                raise
        else:
            found.append(commit)
    return found


def files_below(folder: Path) -> list[str]:
    """The files in a folder, relative to it."""
    found = []
    for place, _, names in os.walk(folder):
        found += [os.path.relpath(Path(place) / name, folder) for name in names]
    return found
