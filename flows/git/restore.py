"""Taking changes back by git: as a new commit, with every commit still reachable."""

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from wildloop.flows.git import repository
from wildloop.flows.git.place import prefix_of, top_of
from wildloop.flows.git.process import git_answer, git_line, git_names, run_git, run_git_locking

OWN_FOLDER = ".wild"
DIFF_LIMIT_BYTES = 2_000_000


async def project_changes(path: Path, since: str, until: str = "HEAD") -> list[str]:
    """The files that differ between two commits, relative to the repository, `.wild` left out.

    `.wild` is left out wherever it lies: a repository may hold several projects.
    """
    options = ("--name-only", "--no-renames", "--no-ext-diff", "-z")
    names = await git_names(path, "diff", *options, since, until, "--")
    return [name for name in names if OWN_FOLDER not in PurePosixPath(name).parts]


async def project_diff(path: Path, since: str, until: str) -> str:
    """The lines that differ between two commits, `.wild` left out; cut at 2 MB."""
    options = ("--unified=0", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color")
    prefixes = ("--src-prefix=a/", "--dst-prefix=b/")
    scope = (":(top)", f":(top,exclude,glob)**/{OWN_FOLDER}/**")
    out = await run_git(path, "diff", *options, *prefixes, since, until, "--", *scope)
    return out[:DIFF_LIMIT_BYTES].decode("utf-8", "replace")


async def take_back(
    path: Path, base: str, upto: str, message: str, spared: Sequence[str] = ()
) -> str | None:
    """Bring the files that changed from `base` to `upto` back to `base`, in a new commit.

    What has been changed since `upto`, committed or not, is committed first: it is in the history,
    and in files that `upto` did not touch it stays. Doing it again changes nothing.

    Args:
        path: the project.
        base: the commit to go back to.
        upto: the last commit of the change.
        message: of the new commit.
        spared: files and folders that stay, relative to the project.

    Returns:
        The new commit; None where no file is to be brought back.

    Raises:
        GitError: a merge or the like is under way, or git refuses; the change is still there.
    """
    root = await top_of(path)
    prefix = await prefix_of(path)
    changed = await project_changes(path, base, upto)
    names = [name for name in changed if not is_spared(name, prefix, spared)]
    if not names:
        return None
    await repository.commit_all(
        path, f"{message}\n\nWhat was changed since, first.", allow_empty=False
    )
    there = set(await project_changes(path, base))
    wanted = [name for name in names if name in there]
    if not wanted:
        return None
    await _restore(root, base, wanted)
    return (await repository.commit_all(path, message, allow_empty=False)).commit


async def bring_code(
    path: Path,
    commit: str,
    message: str,
    changes: Sequence[tuple[str, str]],
    spared: Sequence[str] = (),
) -> str | None:
    """Make files what they were in `commit`, in a new commit: those that these changes touched.

    What lies about uncommitted is committed first; what others have put there stays, as `.wild`
    does. Doing it again changes nothing.

    Args:
        path: the project.
        commit: whose files are brought.
        message: of the new commit.
        changes: the first and the last commit of each.
        spared: files and folders that stay, relative to the project.

    Returns:
        The new commit; None where the files are those already.

    Raises:
        GitError: a file that git does not hold is in the way, a merge or the like is under way,
            or git refuses; nothing is changed.
    """
    root, prefix = await top_of(path), await prefix_of(path)
    await repository.commit_all(
        path, f"{message}\n\nWhat was changed since, first.", allow_empty=False
    )
    touched = {name for one in changes for name in await project_changes(path, *one)}
    differing = [name for name in await project_changes(path, commit) if name in touched]
    names = [name for name in differing if not is_spared(name, prefix, spared)]
    if not names:
        return None
    if lost := await _not_in_git(root, names):
        raise repository.GitError(
            f"'{lost[0]}' has content that no commit holds: move it away, or commit it"
        )
    await _restore(root, commit, names)
    return (await repository.commit_all(path, message, allow_empty=False)).commit


async def _not_in_git(root: Path, names: Sequence[str]) -> list[str]:
    """Of these files, those with content that HEAD does not have: ignored, or left out of it."""
    held = set(await git_names(root, "ls-tree", "-r", "--name-only", "--full-tree", "-z", "HEAD"))
    options = ("--name-only", "--no-renames", "--no-ext-diff", "-z")
    edited = set(await git_names(root, "diff", *options, "HEAD"))
    return [
        name
        for name in names
        if name in edited or (name not in held and os.path.lexists(root / name))
    ]


async def _restore(root: Path, source: str, names: Sequence[str]) -> None:
    """Bring files, in the index and where they lie, to what they are in a commit."""
    listed = b"\0".join(os.fsencode(name) for name in names)
    restore = ("restore", "--staged", "--worktree", f"--source={source}")
    await run_git_locking(
        root,
        "--literal-pathspecs",
        *restore,
        "--pathspec-from-file=-",
        "--pathspec-file-nul",
        stdin=listed,
    )


def is_spared(name: str, prefix: str, spared: Sequence[str]) -> bool:
    """Whether a file of the repository is one of those that stay, or lies below one.

    Args:
        name: from the top of the repository.
        prefix: the project's folder there, as `sub/`.
        spared: files and folders, relative to the project.
    """
    inside = name.removeprefix(prefix)
    return any(inside == one or inside.startswith(f"{one.rstrip('/')}/") for one in spared)


async def find_commit(path: Path, since: str, text: str) -> str | None:
    """The latest commit after `since` whose message has `text`; None where there is none."""
    options = ("--max-count=1", "--fixed-strings", f"--grep={text}", "--format=%H")
    return await git_line(path, "log", *options, f"{since}..HEAD") or None


async def resolve(path: Path, name: str) -> str | None:
    """The commit behind a name; None where there is none."""
    return await git_answer(path, "rev-parse", "--verify", "-q", f"{name}^{{commit}}")
