"""The working tree as a commit that no branch knows: what a run is to execute."""

from collections.abc import Sequence
from pathlib import Path

from wildloop.flows.git import repository
from wildloop.flows.git.index import feed, index_copy, read_changes
from wildloop.flows.git.place import top_of
from wildloop.flows.git.process import IDENTITY, GitError, git_line, run_git, run_git_locking
from wildloop.flows.models.run import Checkout

REFS = "refs/wildloop/snapshots"
PATCH_LIMIT_BYTES = repository.PATCH_LIMIT_BYTES
# Of the record of a session no run is told by its code; a snapshot gets it as a link.
LEFT_OUT = (":(top,glob)**/.wild/sessions/**", ":(top,glob)**/.wild/runs/**")
_IDENTITY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", IDENTITY["user.name"]), ("EMAIL", IDENTITY["user.email"]))
}


class NoCommit(GitError):
    """The repository has no commit yet, so nothing can be put into a worktree."""


async def take_snapshot(path: Path) -> Checkout:
    """Make the working tree a commit on top of HEAD; HEAD, branch and index stay as they are.

    It holds what `commit_all` would commit, untracked files too: not what git ignores, secrets,
    caches, and files above 5 MB. The same tree on the same HEAD gives the same commit. It stays
    reachable by a ref of its own, which is not pushed.

    Raises:
        NoCommit: there is none.
        GitError: `path` is in no repository, a merge is not resolved, or the index stays locked.
    """
    root = await top_of(path)
    head = await repository.head_commit(root)
    if head is None:
        raise NoCommit(f"the repository '{root}' has no commit yet: commit once")
    tree = await tree_of_files(root, path, LEFT_OUT)
    when = await git_line(root, "show", "-s", "--format=@%ct +0000", head)
    commit = await commit_tree(root, tree, [head], "Wildloop snapshot", when)
    await run_git_locking(root, "update-ref", f"{REFS}/{commit}", commit)
    return Checkout(git_commit=head, snapshot=commit)


async def snapshot_of_tree(path: Path, tree: str, head: str) -> Checkout:
    """A tree that is known to git as a commit on top of `head`, as `take_snapshot` makes one.

    Raises:
        GitError: the tree or the commit is gone.
    """
    root = await top_of(path)
    when = await git_line(root, "show", "-s", "--format=@%ct +0000", head)
    commit = await commit_tree(root, tree, [head], "Wildloop snapshot", when)
    await run_git_locking(root, "update-ref", f"{REFS}/{commit}", commit)
    return Checkout(git_commit=head, snapshot=commit)


async def tree_of_files(root: Path, path: Path, left_out: Sequence[str] = ()) -> str:
    """The working tree as a tree object: what `commit_all` would commit, untracked files too.

    Args:
        root: the top of the repository.
        path: the project, in the repository.
        left_out: pathspecs of what is left out, from the top.

    Raises:
        GitError: a merge is not resolved, or the index stays locked.
    """
    async with index_copy(root) as env:
        changes = await read_changes(root, path, env)
        reset = ["reset", "-q", "--pathspec-from-file=-", "--pathspec-file-nul"]
        await feed(root, env, reset, changes.refused)
        update = ("update-index", "-z", "--add", "--remove", "--replace")
        await feed(root, env, [*update, "--force-remove", "--stdin"], changes.gone)
        await feed(root, env, [*update, "--stdin"], changes.wanted)
        if left_out:
            # Without -f each file is compared with that of HEAD, which is looked for from the top.
            remove = ("rm", "-r", "-f", "-q", "--cached", "--ignore-unmatch", "--")
            await run_git(root, *remove, *left_out, env=env)
        return (await run_git(root, "write-tree", env=env)).decode().strip()


async def commit_tree(
    root: Path, tree: str, parents: Sequence[str], message: str, when: str | None = None
) -> str:
    """Make a commit of a tree that no branch knows yet; return its id.

    Args:
        root: the repository.
        tree: the tree object.
        parents: commits, the first one first.
        message: of the commit.
        when: git's date of author and committer (default: now).
    """
    dates = {} if when is None else {"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
    links = [word for parent in parents for word in ("-p", parent)]
    make = ("commit-tree", "--no-gpg-sign", tree, *links, "-F", "-")
    made = await run_git(root, *make, stdin=message.encode(), env=_IDENTITY | dates)
    return made.decode().strip()


async def working_tree(path: Path) -> str:
    """The working tree as a tree object of git: what `take_snapshot` makes a commit of.

    Raises:
        GitError: `path` is in no repository, a merge is not resolved, or the index stays locked.
    """
    root = await top_of(path)
    return await tree_of_files(root, path, LEFT_OUT)


async def snapshot_patch(path: Path, checkout: Checkout) -> str:
    """What a snapshot has changed on top of its commit, for `git apply`; cut at 20 MB with a note.

    New files are in it, other than in the patch of a run without a snapshot.
    """
    assert checkout.snapshot is not None
    options = ("--binary", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames")
    prefixes = ("--src-prefix=a/", "--dst-prefix=b/")
    scope = (":(top)", ":(top,exclude,glob)**/.wild/sessions/**")
    out = await run_git(
        path, "diff", *options, *prefixes, checkout.git_commit, checkout.snapshot, "--", *scope
    )
    note = ""
    if len(out) > PATCH_LIMIT_BYTES:
        whole = out.rfind(b"\ndiff --git ", 0, PATCH_LIMIT_BYTES) + 1
        note = f"# capped: {len(out) - whole} of {len(out)} bytes of changes are left out\n"
        out = out[:whole]
    return out.decode("utf-8", "surrogateescape") + note
