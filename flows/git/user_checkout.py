"""What the user had checked out before a session, and giving it back at its end."""

from pathlib import Path

from wildloop.flows.git import repository
from wildloop.flows.git.index import index_copy
from wildloop.flows.git.place import top_of
from wildloop.flows.git.process import git_answer, git_line, run_git, run_git_locking
from wildloop.flows.git.records import SESSIONS, check_out_tree, leave_out_again, with_records
from wildloop.flows.git.restore import resolve
from wildloop.flows.git.snapshot import commit_tree, tree_of_files
from wildloop.flows.models.session_record import UserCheckout

REFS = "refs/wildloop/before"


async def remember(path: Path, session_id: str) -> UserCheckout | None:
    """Note the branch, the files and the index of the user; None before the first commit.

    Files that are not committed yet stay reachable by a ref of their own.

    Raises:
        GitError: a merge is not resolved, or the index stays locked.
    """
    root = await top_of(path)
    head = await repository.head_commit(root)
    if head is None:
        return None
    async with index_copy(root) as env:
        index = (await run_git(root, "write-tree", env=env)).decode().strip()
    tree = await tree_of_files(root, path, (f":(top,glob)**/{SESSIONS}/**",))
    files = head
    if tree != await git_line(root, "rev-parse", f"{head}^{{tree}}"):
        files = await commit_tree(root, tree, [head], "Wildloop: as it was before the session")
        await run_git_locking(root, "update-ref", f"{REFS}/{session_id}", files)
    branch = await repository.current_branch(root)
    return UserCheckout(branch=branch, commit=head, files=files, index=index)


async def give_back(path: Path, before: UserCheckout, session_branch: str) -> str:
    """Check out what the user had, uncommitted changes too; say what was done.

    The record of the session (`.wild/sessions`) stays in the folder, ignored by git there. Where
    HEAD is not on the session's branch any more, somebody has moved it, and it stays.

    Raises:
        GitError: git refuses; the session's branch stays checked out.
    """
    root = await top_of(path)
    now = await repository.current_branch(root)
    if now != session_branch or now == before.branch:
        return f"HEAD stays on {now or 'a detached commit'}"
    name = before.branch or before.commit[:12]
    target = await _target(root, before)
    if target is None:
        return f"branch {name} is gone, so {session_branch} stays checked out"
    is_moved = target != before.commit
    files = target if is_moved else before.files
    await repository.ensure_ignored(path, f"{SESSIONS}/")
    current = await tree_of_files(root, path)
    wanted = await with_records(root, path, files, current)
    await check_out_tree(root, current, wanted)
    if before.branch is not None:
        await run_git(root, "symbolic-ref", "-m", "wildloop: given back", "HEAD", _ref(before))
    else:
        await run_git(root, "update-ref", "--no-deref", "HEAD", before.commit)
    await run_git_locking(root, "read-tree", target if is_moved else before.index)
    await leave_out_again(root)
    await run_git(root, "update-index", "-q", "--refresh")
    if is_moved and await _differs(root, before):
        return (
            f"{name} is checked out again; it has moved on since, so what was not committed before "
            f"the session is in {before.files[:12]}: git checkout {before.files[:12]} -- ."
        )
    return f"{name} is checked out again, as it was before the session"


def _ref(before: UserCheckout) -> str:
    return f"refs/heads/{before.branch}"


async def _target(root: Path, before: UserCheckout) -> str | None:
    return before.commit if before.branch is None else await resolve(root, _ref(before))


async def _differs(root: Path, before: UserCheckout) -> bool:
    """Whether something was not committed when the session began."""
    trees = (before.commit, before.files)
    return await git_answer(root, "diff", "--quiet", *trees, "--") is None
