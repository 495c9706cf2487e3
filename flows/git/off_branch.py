"""Bringing work back that an agent did off the session's branch, or after rewriting it.

An agent may detach HEAD, switch to another branch, delete or reset the session's own. Nothing of
that is undone behind its back: what lies in the working tree becomes a commit on the session's
branch, on top of all that was there before, and HEAD points to that branch again.
"""

from pathlib import Path

from pydantic import BaseModel

from wildloop.flows.git import repository
from wildloop.flows.git.place import top_of
from wildloop.flows.git.process import (
    NO_HOOKS,
    WILDLOOP,
    GitError,
    git_answer,
    git_line,
    git_names,
    run_git,
    run_git_locking,
)
from wildloop.flows.git.records import check_out_tree, with_records
from wildloop.flows.git.restore import resolve
from wildloop.flows.git.scratch import scratch_worktree
from wildloop.flows.git.snapshot import commit_tree, tree_of_files

SHOWN = 5


class BroughtBack(BaseModel):
    """What was brought back.

    `commit` is the branch's new tip, `told` says in a sentence or two what had happened.
    """

    commit: str
    told: str


async def is_off(path: Path, branch: str, tip: str | None) -> bool:
    """Whether HEAD is not on `branch`, or `branch` no longer holds the commit `tip`."""
    # A branch without the project, if that lies below the top, has not even its folder.
    path = _existing(path)
    if await repository.current_branch(path) != branch:
        return True
    head = await repository.head_commit(path)
    if tip is None or head is None or head == tip:
        return False
    return not await _holds(path, head, tip)


async def bring_back(path: Path, branch: str, tip: str | None) -> BroughtBack | None:
    """Put HEAD on `branch` again with all that lies in the working tree; None if it never left.

    Work off the branch is merged into it; where both have changed the same lines, the working
    tree's are taken. A branch that was reset, amended or rebased gets its history back, with the
    files as they lie in the working tree now. The records in `.wild/sessions` are never taken back.

    Args:
        path: the project.
        branch: the session's branch.
        tip: the last commit that is known to be on it.

    Raises:
        GitError: a merge or rebase is under way, or git refuses; the files are as they were.
    """
    if not await is_off(path, branch, tip):
        return None
    root = await top_of(_existing(path))
    if doing := await repository.under_way(root):
        raise GitError(
            f"a {doing} is under way in '{root}' and HEAD is not on '{branch}': finish or abort "
            f"it, then `git switch {branch}`"
        )
    away = await repository.current_branch(root)
    head = await repository.head_commit(root)
    there = await resolve(root, f"refs/heads/{branch}")
    onto = there if there and (tip is None or await _holds(root, there, tip)) else tip
    if onto is None or head is None:
        raise GitError(f"branch '{branch}' is gone from '{root}', and with it what it held")
    seen = await commit_tree(
        root, await tree_of_files(root, path), [head], f"wild: files found off {branch}"
    )
    merged = await _merged(root, onto, seen)
    rewritten = away == branch
    if rewritten:
        merged = await with_records(root, path, seen, merged)
    told = await _told(root, branch, away, head, onto, rewritten=rewritten, gone=there is None)
    parents = [onto] if await _holds(root, onto, seen) or rewritten else [onto, seen]
    message = f"wild: brought back onto {branch}\n\n{told}"
    made = await commit_tree(root, merged, parents, message)
    await _check_out(root, branch, made, seen)
    return BroughtBack(commit=made, told=told)


def _existing(path: Path) -> Path:
    return next(one for one in (path, *path.parents) if one.is_dir())


async def _holds(root: Path, commit: str, other: str) -> bool:
    """Whether `other` is an ancestor of `commit`, or the same."""
    return await git_answer(root, "merge-base", "--is-ancestor", other, commit) is not None


async def _merged(root: Path, ours: str, theirs: str) -> str:
    """The tree of a merge; where both sides have changed the same, theirs is taken."""
    async with scratch_worktree(root, ours) as tree:
        options = ("--no-ff", "--no-commit", "-q", "-X", "theirs", "--allow-unrelated-histories")
        try:
            await run_git(tree, *NO_HOOKS, *WILDLOOP, "merge", *options, theirs)
        except GitError:
            if not (names := await _unmerged(tree)):
                raise
            await _take(tree, theirs, names)
        return await git_line(tree, "write-tree")


async def _unmerged(tree: Path) -> list[str]:
    found = await git_names(tree, "diff", "--name-only", "--diff-filter=U", "-z")
    return list(dict.fromkeys(found))


async def _take(tree: Path, commit: str, names: list[str]) -> None:
    """Settle unmerged files: as they are in `commit`; one deleted there stays as it was here."""
    known = set(await git_names(tree, "ls-tree", "-r", "-z", "--name-only", "--full-tree", commit))
    for name in names:
        source = commit if name in known else "HEAD"
        await run_git(tree, "--literal-pathspecs", "checkout", "-q", source, "--", name)


async def _check_out(root: Path, branch: str, commit: str, seen: str) -> None:
    """Make `branch` point to `commit` and check it out; the working tree holds `seen` now."""
    await check_out_tree(root, seen, commit)
    await run_git_locking(
        root, "update-ref", "-m", "wildloop: brought back", f"refs/heads/{branch}", commit
    )
    await run_git(
        root, "symbolic-ref", "-m", "wildloop: brought back", "HEAD", f"refs/heads/{branch}"
    )


async def _told(
    root: Path,
    branch: str,
    away: str | None,
    head: str,
    onto: str,
    *,
    rewritten: bool,
    gone: bool,
) -> str:
    """What had happened, for the agent and the user."""
    if rewritten:
        lost = await git_line(root, "rev-list", "--count", f"{head}..{onto}")
        return (
            f"the history of the session's branch {branch} was rewritten (reset, amend or rebase): "
            f"{lost} commits were no longer on it. They are there again, and the files are as you "
            "left them. To undo a change, use `git revert` or edit the files."
        )
    where = f"on branch {away}" if away else f"on a detached HEAD at {head[:12]}"
    said = f"HEAD was {where} instead of the session's branch {branch}"
    said += ", which had been deleted" if gone else ""
    said += (
        ": your files were merged into it and it is checked out again. Do not switch branches: "
        "read another commit by `git show` or in a `git worktree`."
    )
    names = await _own_commits(root, head, onto)
    if away and names:
        said += (
            f" {away} holds commits that were made meanwhile ({', '.join(names)}); they are on "
            f"{branch} too, and {away} was left as it is."
        )
    return said


async def _own_commits(root: Path, head: str, onto: str) -> list[str]:
    """The latest commits of `head` that `onto` does not hold."""
    options = ("--max-count", str(SHOWN), "--format=%h")
    return (await git_line(root, "log", *options, f"{onto}..{head}")).split()
