"""Changes of several worktrees on one branch: merged beside it, then put on it, one at a time."""

import os
from pathlib import Path

from pydantic import BaseModel, Field

from wildloop.flows.git import repository
from wildloop.flows.git.place import top_of
from wildloop.flows.git.process import (
    NO_HOOKS,
    GitError,
    git_answer,
    git_line,
    git_names,
    run_git,
    run_git_locking,
)
from wildloop.flows.git.records import check_out_tree
from wildloop.flows.git.restore import OWN_FOLDER, project_changes
from wildloop.flows.git.scratch import scratch_worktree
from wildloop.flows.git.snapshot import REFS, commit_tree


class Merged(BaseModel):
    """A change on top of another commit than it was made on.

    `commit` is that one itself where nothing is changed, and None where `conflicts` names files.
    """

    commit: str | None
    conflicts: list[str] = Field(default_factory=list)


async def merge_onto(path: Path, onto: str, base: str, upto: str) -> Merged:
    """What changed from `base` to `upto`, `.wild` left out, on top of `onto`: a commit of its own.

    The same change on the same commit gives the same commit. No branch and no file is touched.

    Raises:
        GitError: git refuses.
    """
    root = await top_of(path)
    options = ("--binary", "--full-index", "--no-renames", "--no-ext-diff", "--no-textconv")
    prefixes = ("--src-prefix=a/", "--dst-prefix=b/")
    scope = (":(top)", f":(top,exclude,glob)**/{OWN_FOLDER}/**")
    patch = await run_git(root, "diff", *options, *prefixes, base, upto, "--", *scope)
    if not patch:
        return Merged(commit=onto)
    async with scratch_worktree(root, onto) as tree:
        try:
            await run_git(tree, "apply", "--3way", "--whitespace=nowarn", "-", stdin=patch)
        except GitError:
            unmerged = await git_names(tree, "diff", "--name-only", "--diff-filter=U", "-z")
            changed = await project_changes(root, base, upto)
            return Merged(commit=None, conflicts=list(dict.fromkeys(unmerged)) or changed)
        made = await git_line(tree, "write-tree")
    if made == await git_line(root, "rev-parse", f"{onto}^{{tree}}"):
        return Merged(commit=onto)
    when = await git_line(root, "show", "-s", "--format=@%ct +0000", onto)
    commit = await commit_tree(root, made, [onto], f"Wildloop: merged {upto}", when)
    await run_git_locking(root, "update-ref", f"{REFS}/{commit}", commit)
    return Merged(commit=commit)


async def put_on_branch(path: Path, onto: str, merged: str, message: str) -> str:
    """Bring what `merged` has changed on `onto` into the files of `path`, and commit it there.

    Doing it again changes nothing.

    Returns:
        The commit that the branch is at.

    Raises:
        GitError: a merge or the like is under way, or git refuses.
    """
    root = await top_of(path)
    there = set(await git_names(root, "ls-tree", "-r", "-z", "--name-only", "--full-tree", merged))
    names = await project_changes(path, onto, merged)
    for name in names:
        if name not in there:
            (root / name).unlink(missing_ok=True)
    listed = b"\0".join(os.fsencode(name) for name in names if name in there)
    if listed:
        restore = ("restore", "--staged", "--worktree", f"--source={merged}")
        await run_git_locking(
            root,
            "--literal-pathspecs",
            *restore,
            "--pathspec-from-file=-",
            "--pathspec-file-nul",
            stdin=listed,
        )
    return (await repository.commit_all(path, message, allow_empty=False)).commit


async def begin_worktree(path: Path, folder: Path, branch: str, start: str) -> None:
    """Have a worktree of `branch` in `folder`; the branch begins at `start` if it is new.

    Raises:
        GitError: git refuses.
    """
    root = await top_of(path)
    if (folder / ".git").exists() and await repository.head_commit(folder) is not None:
        return
    await run_git(root, "worktree", "prune", "--expire", "now")
    known = await git_answer(root, "show-ref", "--verify", "-q", f"refs/heads/{branch}")
    add = ("worktree", "add", "-q", "-f")
    if known is not None:
        await run_git_locking(root, *NO_HOOKS, *add, str(folder), branch)
    else:
        await run_git_locking(root, *NO_HOOKS, *add, "-b", branch, str(folder), start)


async def end_worktree(path: Path, folder: Path, message: str) -> None:
    """Commit what lies uncommitted in a worktree on its branch, and take the worktree away.

    Raises:
        GitError: git refuses.
    """
    if (folder / ".git").exists():
        await repository.commit_all(folder, message, allow_empty=False)
        root = await top_of(path)
        await run_git_locking(root, "worktree", "remove", "--force", str(folder))


async def take_over(folder: Path, head: str, message: str) -> str:
    """Bring a worktree to the files of `head`, on top of all that its branch held; its new commit.

    What lies uncommitted there is committed first.

    Raises:
        GitError: git refuses.
    """
    found = (
        await repository.commit_all(folder, f"{message}: files found", allow_empty=False)
    ).commit
    if found == head:
        return head
    root = await top_of(folder)
    await check_out_tree(root, found, head)
    is_behind = await git_answer(root, "merge-base", "--is-ancestor", found, head) is not None
    tree = await git_line(root, "rev-parse", f"{head}^{{tree}}")
    commit = head if is_behind else await commit_tree(root, tree, [found, head], message)
    await run_git_locking(root, "update-ref", "-m", "wildloop: took over", "HEAD", commit)
    return commit
