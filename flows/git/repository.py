"""Git, by its own command line: branches, commits that leave out what does not belong."""

import os
import re
from pathlib import Path

from pydantic import BaseModel, Field

from wildloop.flows.errors import Conflict, InvalidRequest
from wildloop.flows.git.index import feed, index_copy, read_changes, shown
from wildloop.flows.git.place import (
    current_branch,
    empty_tree,
    git_dir_of,
    head_commit,
    is_repository,
    prefix_of,
    top_of,
)
from wildloop.flows.git.process import (
    IDENTITY,
    NO_HOOKS,
    GitError,
    git_answer,
    git_line,
    git_names,
    run_git,
    run_git_locking,
)
from wildloop.flows.git.rules import SIZE_LIMIT_BYTES, refusal_reason

PATCH_LIMIT_BYTES = 20 * 1024 * 1024
UNDER_WAY = {
    "MERGE_HEAD": "merge",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
}
_IDENTITY_KEYS = "|".join(f"^{re.escape(key)}$" for key in IDENTITY)
_FROM_STDIN = ("--pathspec-from-file=-", "--pathspec-file-nul")
HOOKS = ("pre-commit", "prepare-commit-msg", "commit-msg")


class CommitResult(BaseModel):
    """A commit, the files it holds, and those left out with the reason."""

    commit: str
    files: list[str] = Field(default_factory=list)
    skipped: list[str] = Field(default_factory=list)


class LogEntry(BaseModel):
    """A commit of a branch. `time` is Unix seconds."""

    commit: str
    time: float
    author: str
    subject: str


async def start_branch(path: Path, name: str, base: str | None = None) -> None:
    """Switch to branch `name`; changes come along. It is created if it does not exist.

    Args:
        path: the repository.
        name: the branch.
        base: where a new branch begins (default: HEAD, also before the first commit).

    Raises:
        Conflict: a merge, rebase or the like is under way, or git refuses to switch.
        InvalidRequest: `name` cannot be the name of a branch.
    """
    try:
        await run_git(path, "check-ref-format", "--branch", name)
    except GitError as error:
        raise InvalidRequest(f"branch '{name}' is no name that git takes: {error}") from error
    if fault := await in_the_way(path):
        raise Conflict(fault)
    if await current_branch(path) == name:
        return
    try:
        known = await git_answer(path, "show-ref", "--verify", "-q", f"refs/heads/{name}")
        if known is not None:
            await run_git_locking(path, *NO_HOOKS, "switch", "-q", name)
        elif base is None and await head_commit(path) is None:
            await run_git(path, "symbolic-ref", "HEAD", f"refs/heads/{name}")
        else:
            await run_git_locking(
                path,
                *NO_HOOKS,
                "switch",
                "-q",
                "--no-track",
                "-c",
                name,
                *([base] if base else []),
            )
    except GitError as error:
        raise Conflict(
            f"cannot switch to branch '{name}': {error}; commit or stash what is in the way"
        ) from error


async def under_way(path: Path) -> str | None:
    """What has begun and not ended: merge, rebase, cherry-pick, revert; else None."""
    folder = await git_dir_of(path)
    return next((doing for marker, doing in UNDER_WAY.items() if (folder / marker).exists()), None)


async def in_the_way(path: Path) -> str | None:
    """Why no session can begin here, and what the user does about it; None if one can."""
    if doing := await under_way(path):
        return f"a {doing} is under way in '{path}': finish or abort it first"
    unmerged = await git_names(path, "diff", "--name-only", "--diff-filter=U", "-z")
    if unmerged:
        names = ", ".join(shown(name) for name in dict.fromkeys(unmerged[:10]))
        return f"unmerged files in '{path}' ({names}): resolve and `git add` them first"
    return None


async def ensure_ignored(path: Path, pattern: str) -> None:
    """Add `pattern`, as seen from `path`, to .git/info/exclude; .gitignore stays as it is."""
    exclude = path / await git_line(path, "rev-parse", "--git-path", "info/exclude")
    prefix = await prefix_of(path)
    rule = (re.sub(r"([\\*?\[!# ])", r"\\\1", prefix) + pattern).encode("utf-8", "surrogateescape")
    text = exclude.read_bytes() if exclude.exists() else b""
    if rule in text.splitlines():
        return
    exclude.parent.mkdir(parents=True, exist_ok=True)
    with exclude.open("ab") as file:
        file.write((b"" if text.endswith(b"\n") or not text else b"\n") + rule + b"\n")


async def diff_patch(path: Path) -> str:
    """The uncommitted changes of tracked files, as a patch that `git apply` takes.

    Above 20 MB files are left out, and a note at the end says so. Files of secrets and `.wild`
    are never in it.
    """
    if await head_commit(path) is None:
        return ""
    root = await top_of(path)
    changed = await git_names(root, "diff", "--name-only", "--no-renames", "-z", "HEAD")
    if not changed:
        return ""
    large = [name for name in changed if _size(root / name) > PATCH_LIMIT_BYTES]
    left_out = [f":(exclude,glob)**/{name}" for name in (".wild/**", ".env", ".env.*")]
    left_out += [f":(exclude,literal){name}" for name in large]
    options = ("--binary", "--no-color", "--no-ext-diff", "--no-textconv", "--submodule=short")
    prefixes = ("--src-prefix=a/", "--dst-prefix=b/")
    out = await run_git(root, "diff", *options, *prefixes, "HEAD", "--", ".", *left_out)
    note = "".join(f"# capped: the changes of {shown(name)} are left out\n" for name in large)
    if len(out) > PATCH_LIMIT_BYTES:
        whole = out.rfind(b"\ndiff --git ", 0, PATCH_LIMIT_BYTES) + 1
        note += f"# capped: {len(out) - whole} of {len(out)} bytes of changes are left out\n"
        out = out[:whole]
    return out.decode("utf-8", "surrogateescape") + note


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return 0


async def changed_files(path: Path, since_commit: str) -> list[str]:
    """The files that differ between a commit and HEAD, relative to the repository."""
    commit = await _commit_of(path, since_commit)
    return await git_names(path, "diff", "--name-only", "--no-renames", "-z", commit, "HEAD")


async def _commit_of(path: Path, name: str) -> str:
    return await git_line(path, "rev-parse", "--verify", "--end-of-options", name + "^{commit}")


async def log_for_branch(path: Path, branch: str = "HEAD", limit: int = 100) -> list[LogEntry]:
    """The latest commits of a branch, newest first; none before the first one."""
    if branch == "HEAD" and await head_commit(path) is None:
        return []
    options = ("--no-show-signature", f"--max-count={limit}", "--format=%H%x1f%ct%x1f%an%x1f%s")
    entries = await git_names(path, "log", "-z", *options, await _commit_of(path, branch))
    fields = (entry.split("\x1f", 3) for entry in entries)
    return [
        LogEntry(commit=id, time=float(time), author=shown(author), subject=shown(subject))
        for id, time, author, subject in fields
    ]


async def commit_all(
    path: Path,
    message: str,
    author: str | None = None,
    allow_empty: bool = True,
    hooks: bool = False,
) -> CommitResult:
    """Commit every change of the repository that belongs in git.

    The commit is made on a copy of the index, so that nothing staged is lost: what does not
    belong stays staged, and where a file differs from what is staged of it, that becomes a
    commit of its own before. `.wild/sessions` is committed even where .gitignore leaves out
    `.wild`.

    Args:
        path: the project, in the repository.
        message: the commit's message.
        author: "Name <mail>" (default: the repository's user, else Wildloop).
        allow_empty: commit also where nothing has changed; else HEAD is returned.
        hooks: run the repository's hooks, which may refuse the commit or add to it.

    Raises:
        GitError: git refused: a hook, a lock that stays, a merge or rebase under way.
    """
    root = await top_of(path)
    if doing := await under_way(root):
        raise GitError(f"a {doing} is under way in '{root}': finish or abort it, then commit")
    before = await head_commit(root)
    async with index_copy(root) as env:
        changes = await read_changes(root, path, env)
        await feed(root, env, ["reset", "-q", *_FROM_STDIN], changes.refused)
        if changes.partly_staged:
            await _commit(root, f"As staged before: {message}", author, env, hooks)
        update = ("update-index", "-z", "--add", "--remove", "--replace")
        await feed(root, env, [*update, "--force-remove", "--stdin"], changes.gone)
        await feed(root, env, [*update, "--stdin"], changes.wanted)
        if allow_empty or before is None or await _staged(root, env):
            await _commit(root, message, author, env, hooks)
    commit = await head_commit(root)
    if commit is None:
        raise GitError(f"git commit made no commit in '{root}'")
    files = await _committed(root, before, commit)
    await _sync_index(root, {*files, *changes.wanted, *changes.gone})
    return CommitResult(
        commit=commit, files=[shown(name) for name in files], skipped=changes.skipped
    )


async def _staged(root: Path, env: dict[str, str]) -> bool:
    options = ("--cached", "--name-only", "--no-ext-diff", "-z")
    return bool(await git_names(root, "diff", *options, env=env))


async def _committed(root: Path, before: str | None, commit: str) -> list[str]:
    """What has been committed: a hook may have added to it."""
    since = before or await empty_tree(root)
    options = ("-r", "-z", "--name-only", "--no-renames")
    return await git_names(root, "diff-tree", *options, since, commit)


async def _commit(
    root: Path, message: str, author: str | None, env: dict[str, str], hooks: bool
) -> None:
    options = ["-q", "--allow-empty", "--allow-empty-message", "--cleanup=whitespace"]
    # A commit made without the user at hand is not signed in the user's name.
    options += ["--no-gpg-sign", *([f"--author={author}"] if author else []), "-F", "-"]
    text = message.replace("\0", "").encode("utf-8", "replace")
    settings = ["-c", "i18n.commitEncoding=UTF-8", *await _identity(root)]
    settings += () if hooks else NO_HOOKS
    try:
        await run_git_locking(root, *settings, "commit", *options, stdin=text, env=env)
    except GitError as error:
        if hooks and (found := await _hooks(root)):
            raise GitError(f"{error} (hooks in place: {', '.join(found)})") from error
        raise


async def _hooks(root: Path) -> list[str]:
    """The hooks that may refuse a commit here."""
    folder = root / await git_line(root, "rev-parse", "--git-path", "hooks")
    return [name for name in HOOKS if os.access(folder / name, os.X_OK)]


async def _identity(root: Path) -> list[str]:
    """The options that stand in for the parts of an identity that nobody has set."""
    listed = await git_answer(root, "config", "--name-only", "--get-regexp", _IDENTITY_KEYS)
    known = {name.lower() for name in (listed or "").splitlines()}
    return [
        word
        for key, value in IDENTITY.items()
        if key not in known
        for word in ("-c", f"{key}={value}")
    ]


async def _sync_index(root: Path, names: set[str]) -> None:
    """Bring the user's index up to the commit; what else is staged there stays."""
    if names:
        listed = b"\0".join(os.fsencode(name) for name in names)
        reset = ("reset", "-q", *_FROM_STDIN)
        await run_git_locking(root, "--literal-pathspecs", *reset, stdin=listed)


__all__ = [
    "PATCH_LIMIT_BYTES",
    "SIZE_LIMIT_BYTES",
    "CommitResult",
    "GitError",
    "LogEntry",
    "changed_files",
    "commit_all",
    "current_branch",
    "diff_patch",
    "ensure_ignored",
    "head_commit",
    "in_the_way",
    "is_repository",
    "log_for_branch",
    "refusal_reason",
    "start_branch",
    "under_way",
]
