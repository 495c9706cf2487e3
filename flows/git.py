"""Git, by its own command line: branches, commits that leave out what does not belong."""

import asyncio
import os
import re
import shutil
import stat
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import BaseModel, Field

from flows.errors import Conflict, InvalidRequest
from flows.git_process import (
    LOCK_PAUSE_S,
    LOCK_TRIES,
    GitError,
    git_answer,
    git_line,
    git_names,
    run_git,
    run_git_locking,
)
from flows.git_rules import SIZE_LIMIT_BYTES, UNTOLD, refusal_reason, refused_part

PATCH_LIMIT_BYTES = 20 * 1024 * 1024
UNDER_WAY = {
    "MERGE_HEAD": "merge",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
}
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


async def is_repository(path: Path) -> bool:
    """Whether `path` lies in a git work tree."""
    try:
        return await git_line(path, "rev-parse", "--is-inside-work-tree") == "true"
    except GitError as error:
        if error.returncode is None:
            raise
        return False


async def head_commit(path: Path) -> str | None:
    """The commit checked out; None before the first one.

    Raises:
        GitError: `path` is in no repository.
    """
    return await git_answer(path, "rev-parse", "--verify", "-q", "HEAD")


async def current_branch(path: Path) -> str | None:
    """The branch checked out; None where HEAD is detached."""
    return await git_answer(path, "symbolic-ref", "--short", "-q", "HEAD")


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
    if doing := await under_way(path):
        raise Conflict(f"a {doing} is under way in '{path}': finish or abort it first")
    if await current_branch(path) == name:
        return
    try:
        known = await git_answer(path, "show-ref", "--verify", "-q", f"refs/heads/{name}")
        if known is not None:
            await run_git_locking(path, "switch", "-q", name)
        elif base is None and await head_commit(path) is None:
            await run_git(path, "symbolic-ref", "HEAD", f"refs/heads/{name}")
        else:
            await run_git_locking(
                path, "switch", "-q", "--no-track", "-c", name, *([base] if base else [])
            )
    except GitError as error:
        # A post-checkout hook fails after the switch, which stands all the same.
        if await current_branch(path) != name:
            raise Conflict(
                f"cannot switch to branch '{name}': {error}; commit or stash what is in the way"
            ) from error


async def under_way(path: Path) -> str | None:
    """What has begun and not ended: merge, rebase, cherry-pick, revert; else None."""
    folder = Path(await git_line(path, "rev-parse", "--absolute-git-dir"))
    return next((doing for marker, doing in UNDER_WAY.items() if (folder / marker).exists()), None)


async def ensure_ignored(path: Path, pattern: str) -> None:
    """Add `pattern`, as seen from `path`, to .git/info/exclude; .gitignore stays as it is."""
    exclude = path / await git_line(path, "rev-parse", "--git-path", "info/exclude")
    prefix = await git_line(path, "rev-parse", "--show-prefix")
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
    root = Path(await git_line(path, "rev-parse", "--show-toplevel"))
    changed = await git_names(root, "diff", "--name-only", "--no-renames", "-z", "HEAD")
    large = [name for name in changed if _size(root / name) > PATCH_LIMIT_BYTES]
    left_out = [f":(exclude,glob)**/{name}" for name in (".wild/**", ".env", ".env.*")]
    left_out += [f":(exclude,literal){name}" for name in large]
    options = ("--binary", "--no-color", "--no-ext-diff", "--no-textconv", "--submodule=short")
    prefixes = ("--src-prefix=a/", "--dst-prefix=b/")
    out = await run_git(root, "diff", *options, *prefixes, "HEAD", "--", ".", *left_out)
    note = "".join(f"# capped: the changes of {_shown(name)} are left out\n" for name in large)
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
        LogEntry(commit=id, time=float(time), author=_shown(author), subject=_shown(subject))
        for id, time, author, subject in fields
    ]


async def commit_all(
    path: Path, message: str, author: str | None = None, allow_empty: bool = True
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

    Raises:
        GitError: git refused: a hook, a lock that stays, a merge or rebase under way.
    """
    root = Path(await git_line(path, "rev-parse", "--show-toplevel"))
    if doing := await under_way(root):
        raise GitError(f"a {doing} is under way in '{root}': finish or abort it, then commit")
    before = await head_commit(root)
    async with _index_copy(root) as env:
        changes = await _changes(root, path, env)
        await _feed(root, env, ["reset", "-q", *_FROM_STDIN], changes.refused)
        if changes.partly_staged:
            await _commit(root, f"As staged before: {message}", author, env)
        update = ("update-index", "-z", "--add", "--remove", "--replace")
        await _feed(root, env, [*update, "--force-remove", "--stdin"], changes.gone)
        await _feed(root, env, [*update, "--stdin"], changes.wanted)
        if allow_empty or before is None or await _staged(root, env):
            await _commit(root, message, author, env)
    commit = await head_commit(root)
    if commit is None:
        raise GitError(f"git commit made no commit in '{root}'")
    files = await _committed(root, before, commit)
    await _sync_index(root, {*files, *changes.wanted, *changes.gone})
    return CommitResult(
        commit=commit, files=[_shown(name) for name in files], skipped=changes.skipped
    )


@dataclass(frozen=True)
class _Changes:
    """What has changed since HEAD: paths to add, to remove, and staged ones to leave out."""

    wanted: list[str]
    gone: list[str]
    refused: list[str]
    partly_staged: bool
    skipped: list[str]


async def _staged(root: Path, env: dict[str, str]) -> bool:
    options = ("--cached", "--name-only", "--no-ext-diff", "-z")
    return bool(await git_names(root, "diff", *options, env=env))


async def _committed(root: Path, before: str | None, commit: str) -> list[str]:
    """What has been committed: a hook may have added to it."""
    since = before or await git_line(root, "hash-object", "-t", "tree", "--stdin")
    options = ("-r", "-z", "--name-only", "--no-renames")
    return await git_names(root, "diff-tree", *options, since, commit)


@asynccontextmanager
async def _index_copy(root: Path) -> AsyncIterator[dict[str, str]]:
    """The environment that makes git work on a copy of the index.

    Raises:
        GitError: another process keeps the index locked.
    """
    index = root / await git_line(root, "rev-parse", "--git-path", "index")
    lock = index.with_name(index.name + ".lock")
    for _ in range(LOCK_TRIES):
        if not lock.exists():
            break
        await asyncio.sleep(LOCK_PAUSE_S)
    else:
        raise GitError(
            f"the index of '{root}' is locked ({lock}): wait for the other git to end, or remove "
            "the file if none runs"
        )
    try:
        temporary = TemporaryDirectory(prefix="wildloop-", dir=index.parent)
    except OSError as error:
        raise GitError(f"cannot write to '{index.parent}': {error.strerror}") from error
    with temporary as folder:
        copy = Path(folder) / "index"
        if index.exists():
            shutil.copy2(index, copy)
        yield {"GIT_INDEX_FILE": str(copy)}


async def _changes(root: Path, path: Path, env: dict[str, str]) -> _Changes:
    """Sort what has changed into what belongs in git and what does not."""
    status = ("status", "--porcelain=v1", "-z", "-uall", "--no-renames", "--ignore-submodules=none")
    entries = {name[3:]: name[:2] for name in await git_names(root, *status, env=env)}
    if conflicts := [name for name, code in entries.items() if "U" in code or code in ("AA", "DD")]:
        raise GitError(f"unmerged files: {', '.join(conflicts[:10])}: resolve and `git add` them")
    sessions = os.path.relpath(path.resolve() / ".wild" / "sessions", root.resolve())
    ignored = ("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--")
    for name in await git_names(root, "--literal-pathspecs", *ignored, sessions, env=env):
        entries.setdefault(name, "!!")
    # A deletion brings nothing in, so it is committed whatever the file was.
    gone = [name for name, code in entries.items() if "D" in code]
    reasons = {name: _refusal(root, name) for name, code in entries.items() if "D" not in code}
    counts = Counter(reason for reason in reasons.values() if reason is not None)
    wanted = [name for name, reason in reasons.items() if reason is None]
    return _Changes(
        wanted=wanted,
        gone=gone,
        refused=[name for name, reason in reasons.items() if reason and entries[name][0] in "AMT"],
        partly_staged=any(
            entries[name][0] in "AMT" and entries[name][1] in "MDT" for name in (*wanted, *gone)
        ),
        skipped=[
            f"{_shown(what)}: {why}" + (f" ({count} files)" if count > 1 else "")
            for (what, why), count in counts.items()
            if why not in UNTOLD
        ],
    )


def _refusal(root: Path, name: str) -> tuple[str, str] | None:
    """(what is left out, why) of a new or changed path; None if it belongs in git."""
    if refused := refused_part(name):
        return refused
    if name.endswith("/"):
        return name, "a git repository of its own"
    try:
        found = (root / name).lstat()
    except (FileNotFoundError, NotADirectoryError):
        # Gone since git has looked: the next step leaves it out by itself.
        return None
    except OSError as error:
        return name, f"cannot be read ({error.strerror})"
    if stat.S_ISREG(found.st_mode):
        if not os.access(root / name, os.R_OK):
            return name, "cannot be read"
        reason = refusal_reason(name, found.st_size)
        return (name, reason) if reason else None
    # A folder that git names without a slash is a submodule, recorded by its commit.
    if stat.S_ISLNK(found.st_mode) or stat.S_ISDIR(found.st_mode):
        return None
    return name, "no regular file"


async def _feed(
    root: Path, env: dict[str, str], arguments: Sequence[str], names: Iterable[str]
) -> None:
    """Run a command on names given by stdin, taken literally; nothing where there are none."""
    listed = b"\0".join(os.fsencode(name) for name in names)
    if listed:
        await run_git(root, "--literal-pathspecs", *arguments, stdin=listed + b"\0", env=env)


async def _commit(root: Path, message: str, author: str | None, env: dict[str, str]) -> None:
    options = ["-q", "--allow-empty", "--allow-empty-message", "--cleanup=whitespace"]
    # A commit made without the user at hand is not signed in the user's name.
    options += ["--no-gpg-sign", *([f"--author={author}"] if author else []), "-F", "-"]
    text = message.replace("\0", "").encode("utf-8", "replace")
    settings = ["-c", "i18n.commitEncoding=UTF-8", *await _identity(root)]
    try:
        await run_git_locking(root, *settings, "commit", *options, stdin=text, env=env)
    except GitError as error:
        if hooks := await _hooks(root):
            raise GitError(f"{error} (hooks in place: {', '.join(hooks)})") from error
        raise


async def _hooks(root: Path) -> list[str]:
    """The hooks that may refuse a commit here."""
    folder = root / await git_line(root, "rev-parse", "--git-path", "hooks")
    return [name for name in HOOKS if os.access(folder / name, os.X_OK)]


async def _identity(root: Path) -> list[str]:
    """The options that stand in for the parts of an identity that nobody has set."""
    options = []
    for key, value in (("user.name", "Wildloop"), ("user.email", "wildloop@localhost")):
        if await git_answer(root, "config", key) is None:
            options += ["-c", f"{key}={value}"]
    return options


async def _sync_index(root: Path, names: set[str]) -> None:
    """Bring the user's index up to the commit; what else is staged there stays."""
    if names:
        listed = b"\0".join(os.fsencode(name) for name in names)
        reset = ("reset", "-q", *_FROM_STDIN)
        await run_git_locking(root, "--literal-pathspecs", *reset, stdin=listed)


def _shown(name: str) -> str:
    """A name as text: bytes that are no UTF-8 become question marks."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


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
    "is_repository",
    "log_for_branch",
    "refusal_reason",
    "start_branch",
    "under_way",
]
