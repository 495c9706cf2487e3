"""Commits carried from one clone to another, without a remote that both know."""

import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from wildloop.flows.git.place import top_of
from wildloop.flows.git.process import GitError, git_answer, run_git, run_git_locking
from wildloop.flows.git.snapshot import REFS

MOST_TIPS = 50
COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


async def has_commit(path: Path, commit: str) -> bool:
    """Whether the repository at `path` holds a commit.

    Raises:
        GitError: there is no repository.
    """
    try:
        return await git_answer(path, "cat-file", "-e", f"{commit}^{{commit}}") is not None
    except GitError as error:
        # git's word for an id that it does not know.
        if error.returncode == 128 and "ot a valid object name" in str(error):
            return False
        raise


async def tips(path: Path) -> list[str]:
    """Commits that a clone has: its latest branches and tags, and what is checked out.

    Raises:
        GitError: there is no repository.
    """
    options = ("--sort=-creatordate", f"--count={MOST_TIPS}", "--format=%(objectname)")
    root = await top_of(path)
    listed = (await run_git(root, "for-each-ref", *options)).decode().split()
    head = await git_answer(root, "rev-parse", "--verify", "-q", "HEAD^{commit}")
    return list(dict.fromkeys([*([head] if head else []), *listed]))


async def write_bundle(path: Path, commit: str, have: Sequence[str], target: Path) -> None:
    """Write what it takes to have a commit, for a clone that has others.

    Args:
        path: of the repository.
        commit: the full id; a ref of Wildloop's own keeps it.
        have: what the other clone has; ids that are not known here are passed over.
        target: the file.

    Raises:
        GitError: the commit is not here, or git refuses.
    """
    root, ref = await top_of(path), f"{REFS}/{commit}"
    await run_git_locking(root, "update-ref", ref, commit)
    known = [one for one in have if COMMIT.fullmatch(one) and await has_commit(root, one)]
    # A bundle of nothing is an error of git's: of the commit itself something is always told.
    known = [one for one in known if one != commit]
    without = "".join(f"^{one}\n" for one in known)
    await run_git(
        root, "bundle", "create", str(target), "--stdin", stdin=f"{ref}\n{without}".encode()
    )


async def fetch_commit(path: Path, source: str, commit: str) -> None:
    """Fetch a commit that Wildloop's ref names from a bundle's file or a remote.

    Raises:
        GitError: it is not to be had there, or git refuses.
    """
    root, ref = await top_of(path), f"{REFS}/{commit}"
    quiet = ("--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", "--no-auto-gc")
    await run_git_locking(root, "fetch", *quiet, "--", source, f"{ref}:{ref}")
    if not await has_commit(root, commit):
        raise GitError(f"commit {commit[:12]} did not come from '{source}'")


def draft_bundle() -> Path:
    """A new file for a bundle, for its user alone; whoever asks for it removes it."""
    descriptor, name = tempfile.mkstemp(prefix="wildloop-", suffix=".bundle")
    os.close(descriptor)
    return Path(name)
