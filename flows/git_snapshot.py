"""The working tree as a commit that no branch knows: what a run is to execute."""

from pathlib import Path

from flows import git
from flows.git_index import feed, index_copy, read_changes
from flows.git_process import GitError, git_line, run_git, run_git_locking
from flows.models.run import Checkout

REFS = "refs/wildloop/snapshots"
PATCH_LIMIT_BYTES = git.PATCH_LIMIT_BYTES
# Of the record of a session no run is told by its code; a snapshot gets it as a link.
LEFT_OUT = (":(top,glob)**/.wild/sessions/**", ":(top,glob)**/.wild/runs/**")
_IDENTITY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Wildloop"), ("EMAIL", "wildloop@localhost"))
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
    root = Path(await git_line(path, "rev-parse", "--show-toplevel"))
    head = await git.head_commit(root)
    if head is None:
        raise NoCommit(f"the repository '{root}' has no commit yet: commit once")
    async with index_copy(root) as env:
        changes = await read_changes(root, path, env)
        await feed(
            root,
            env,
            ["reset", "-q", "--pathspec-from-file=-", "--pathspec-file-nul"],
            changes.refused,
        )
        update = ("update-index", "-z", "--add", "--remove", "--replace")
        await feed(root, env, [*update, "--force-remove", "--stdin"], changes.gone)
        await feed(root, env, [*update, "--stdin"], changes.wanted)
        remove = ("rm", "-r", "-q", "--cached", "--ignore-unmatch", "--")
        await run_git(root, *remove, *LEFT_OUT, env=env)
        tree = (await run_git(root, "write-tree", env=env)).decode().strip()
    when = await git_line(root, "show", "-s", "--format=@%ct +0000", head)
    dates = {"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
    made = await run_git(
        root,
        "commit-tree",
        "--no-gpg-sign",
        tree,
        "-p",
        head,
        "-m",
        "Wildloop snapshot",
        env=_IDENTITY | dates,
    )
    commit = made.decode().strip()
    await run_git_locking(root, "update-ref", f"{REFS}/{commit}", commit)
    return Checkout(git_commit=head, snapshot=commit)


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
