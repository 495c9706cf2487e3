"""Git, by its own command line: branches, commits that leave out what does not belong."""

import asyncio
import os
import re
from pathlib import Path

from pydantic import BaseModel, Field

from flows.errors import Conflict

SIZE_LIMIT_BYTES = 5 * 1024 * 1024
PATCH_LIMIT_BYTES = 20 * 1024 * 1024
LOCK_TRIES = 20
_BUILD_DIRS = frozenset(
    {
        "__pycache__",
        "build",
        "dist",
        "node_modules",
        ".venv",
        "venv",
        ".tox",
        ".nox",
        ".eggs",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        ".ipynb_checkpoints",
        "target",
    }
)
_ENV_FILE = re.compile(r"^\.env(\..+)?$")
_ENV_SAMPLES = frozenset({".env.example", ".env.sample", ".env.template"})
_IDENTITY = ("-c", "user.name=Wildloop", "-c", "user.email=wildloop@localhost")


class GitError(Exception):
    """A git command failed; the text is what it said."""


class CommitResult(BaseModel):
    """A commit, the files it holds, and those left out with the reason."""

    commit: str
    files: list[str] = Field(default_factory=list)
    skipped: list[str] = Field(default_factory=list)


async def run_git(path: Path, *arguments: str, stdin: bytes | None = None) -> bytes:
    """Run git in `path` and return its output.

    Raises:
        GitError: it failed.
    """
    process = await asyncio.create_subprocess_exec(
        "git",
        "-C",
        str(path),
        *arguments,
        stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"},
    )
    try:
        out, err = await process.communicate(stdin)
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        said = (err or out).decode(errors="replace").strip()
        verb = next(
            (word for word in arguments if not word.startswith("-") and "=" not in word), ""
        )
        raise GitError(f"git {verb} failed in {path}: {said[-2000:]}")
    return out


async def is_repository(path: Path) -> bool:
    """Whether `path` lies in a git work tree."""
    try:
        return (await run_git(path, "rev-parse", "--is-inside-work-tree")).strip() == b"true"
    except GitError:
        return False


async def head_commit(path: Path) -> str | None:
    """The commit checked out; None before the first one."""
    try:
        return (await run_git(path, "rev-parse", "--verify", "-q", "HEAD")).decode().strip()
    except GitError:
        return None


async def current_branch(path: Path) -> str | None:
    """The branch checked out; None where HEAD is detached."""
    try:
        return (await run_git(path, "symbolic-ref", "--short", "-q", "HEAD")).decode().strip()
    except GitError:
        return None


async def start_branch(path: Path, name: str) -> None:
    """Switch to branch `name`, created from HEAD if it does not exist; changes come along.

    Raises:
        Conflict: a merge or rebase is under way.
    """
    for marker in ("MERGE_HEAD", "rebase-merge", "rebase-apply", "CHERRY_PICK_HEAD"):
        place = (await run_git(path, "rev-parse", "--git-path", marker)).decode().strip()
        if (path / place).exists():
            raise Conflict(
                f"a merge or rebase is under way in '{path}' ({marker}): finish or abort it first"
            )
    if await current_branch(path) == name:
        return
    if await head_commit(path) is None:
        await run_git(path, "symbolic-ref", "HEAD", f"refs/heads/{name}")
        return
    known = await run_git(path, "branch", "--list", name)
    await run_git(path, "switch", *([name] if known.strip() else ["-c", name]))


async def ensure_ignored(path: Path, pattern: str) -> None:
    """Add `pattern` to .git/info/exclude; the user's .gitignore stays as it is."""
    place = (await run_git(path, "rev-parse", "--git-path", "info/exclude")).decode().strip()
    exclude = path / place
    text = exclude.read_text(encoding="utf-8") if exclude.exists() else ""
    if pattern not in text.splitlines():
        exclude.parent.mkdir(parents=True, exist_ok=True)
        exclude.write_text(text.rstrip("\n") + f"\n{pattern}\n" if text else f"{pattern}\n")


async def diff_patch(path: Path) -> str:
    """The uncommitted changes of tracked files, as a patch that `git apply` takes."""
    if await head_commit(path) is None:
        return ""
    out = await run_git(path, "diff", "--binary", "HEAD", "--", ":(top)", ":(top,exclude).wild")
    if len(out) > PATCH_LIMIT_BYTES:
        return f"# left out: the uncommitted changes are {len(out)} bytes\n"
    return out.decode("utf-8", "surrogateescape")


async def changed_files(path: Path, since_commit: str) -> list[str]:
    """The files that differ between a commit and HEAD."""
    out = await run_git(path, "diff", "--name-only", "-z", since_commit, "HEAD")
    return [os.fsdecode(name) for name in out.split(b"\0") if name]


def refusal_reason(path: str, size: int) -> str | None:
    """Why a file is not committed; None if it is. `path` is relative to the repository."""
    parts = path.rstrip("/").split("/")
    if any(parts[i : i + 2] == [".wild", "runs"] for i in range(len(parts))):
        return "run folder"
    if any(part in _BUILD_DIRS or part.endswith(".egg-info") for part in parts):
        return "build output"
    if parts[-1].endswith((".pyc", ".pyo")):
        return "build output"
    if _ENV_FILE.match(parts[-1]) and parts[-1] not in _ENV_SAMPLES:
        return "may hold secrets"
    if size > SIZE_LIMIT_BYTES:
        return f"larger than 5 MB ({size} bytes)"
    return None


async def commit_all(path: Path, message: str) -> CommitResult:
    """Commit every change that belongs in git; an empty commit if there is none.

    `.wild/sessions` is committed even where the user's .gitignore leaves out `.wild`.

    Raises:
        GitError: git refused (a hook, a lock that stays).
    """
    root = Path(os.fsdecode((await run_git(path, "rev-parse", "--show-toplevel")).rstrip(b"\n")))
    names = await _changed(root)
    wanted, skipped = [], []
    for name in names:
        reason = refusal_reason(name, _size(root / name))
        if reason is None:
            wanted.append(name)
        elif reason != "run folder":
            skipped.append(f"{name}: {reason}")
    await _stage(root, path, wanted)
    files = await run_git(root, "diff", "--cached", "--name-only", "-z")
    for staged in (os.fsdecode(raw) for raw in files.split(b"\0") if raw):
        if refusal_reason(staged, _size(root / staged)) is not None:
            await run_git(root, "reset", "-q", "--", staged)
    files = await run_git(root, "diff", "--cached", "--name-only", "-z")
    identity = [] if await _has_identity(root) else list(_IDENTITY)
    await _locked(root, *identity, "commit", "-q", "--allow-empty", "-F", "-", stdin=message)
    commit = await head_commit(root)
    assert commit is not None
    return CommitResult(
        commit=commit,
        files=[os.fsdecode(name) for name in files.split(b"\0") if name],
        skipped=skipped,
    )


async def _changed(root: Path) -> list[str]:
    """Every path that differs from HEAD or is untracked, relative to the root."""
    out = await run_git(root, "status", "--porcelain=v1", "-z", "-uall", "--no-renames")
    return [os.fsdecode(entry[3:]) for entry in out.split(b"\0") if entry]


async def _stage(root: Path, path: Path, names: list[str]) -> None:
    if names:
        listed = b"\0".join(os.fsencode(f":(top,literal){name}") for name in names)
        await _locked(
            root, "add", "-A", "--pathspec-from-file=-", "--pathspec-file-nul", stdin=listed
        )
    sessions = path / ".wild" / "sessions"
    if sessions.is_dir():
        await _locked(root, "add", "-A", "-f", "--", str(sessions))


async def _locked(root: Path, *arguments: str, stdin: str | bytes = b"") -> None:
    """Run a command that takes the index lock, again while another process holds it."""
    data = stdin.encode("utf-8", "surrogateescape") if isinstance(stdin, str) else stdin
    for attempt in range(1, LOCK_TRIES + 1):
        try:
            await run_git(root, *arguments, stdin=data)
            return
        except GitError as error:
            if "index.lock" not in str(error) or attempt == LOCK_TRIES:
                raise
            await asyncio.sleep(0.1)


async def _has_identity(root: Path) -> bool:
    try:
        await run_git(root, "var", "GIT_COMMITTER_IDENT")
    except GitError:
        return False
    return True


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0
