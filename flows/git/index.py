"""A copy of git's index to work on, and what has changed, sorted by whether it belongs in git."""

import asyncio
import os
import shutil
import stat
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from wildloop.flows.git.place import index_of
from wildloop.flows.git.process import (
    LOCK_PAUSE_S,
    LOCK_TRIES,
    GitError,
    git_names,
    run_git,
)
from wildloop.flows.git.rules import UNTOLD, refusal_reason, refused_part

NESTED = "a git repository of its own, too large to take in"
UNCOMMITTED = (
    "changes in this submodule that are not committed there: commit them in it, or no other "
    "checkout has them"
)
NESTED_FILES = 2000
NESTED_BYTES = 50 * 1024 * 1024


@dataclass(frozen=True)
class Changes:
    """What has changed since HEAD: paths to add, to remove, and staged ones to leave out."""

    wanted: list[str]
    gone: list[str]
    refused: list[str]
    partly_staged: bool
    skipped: list[str]


@asynccontextmanager
async def index_copy(root: Path) -> AsyncIterator[dict[str, str]]:
    """The environment that makes git work on a copy of the index.

    Raises:
        GitError: another process keeps the index locked.
    """
    index = await index_of(root)
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


async def read_changes(root: Path, path: Path, env: dict[str, str]) -> Changes:
    """Sort what has changed into what belongs in git and what does not."""
    status = ("status", "--porcelain=v1", "-z", "-uall", "--no-renames", "--ignore-submodules=none")
    entries = {name[3:]: name[:2] for name in await git_names(root, *status, env=env)}
    if conflicts := [name for name, code in entries.items() if "U" in code or code in ("AA", "DD")]:
        raise GitError(f"unmerged files: {', '.join(conflicts[:10])}: resolve and `git add` them")
    for name in [name for name in entries if name.endswith("/")]:
        if (inside := await nested_files(root, name)) is not None:
            del entries[name]
            entries |= dict.fromkeys(inside, "??")
    sessions = os.path.relpath(path.resolve() / ".wild" / "sessions", root.resolve())
    ignored = ("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--")
    for name in await git_names(root, "--literal-pathspecs", *ignored, sessions, env=env):
        entries.setdefault(name, "!!")
    # A deletion brings nothing in, so it is committed whatever the file was.
    gone = [name for name, code in entries.items() if "D" in code]
    reasons = {name: _refusal(root, name) for name, code in entries.items() if "D" not in code}
    counts = Counter(reason for reason in reasons.values() if reason is not None)
    submodules = [name for name in reasons if await _has_uncommitted(root, name)]
    wanted = [name for name, reason in reasons.items() if reason is None]
    return Changes(
        wanted=wanted,
        gone=gone,
        refused=[name for name, reason in reasons.items() if reason and entries[name][0] in "AMT"],
        partly_staged=any(
            entries[name][0] in "AMT" and entries[name][1] in "MDT" for name in (*wanted, *gone)
        ),
        skipped=[
            f"{shown(what)}: {why}" + (f" ({count} files)" if count > 1 else "")
            for (what, why), count in counts.items()
            if why not in UNTOLD
        ]
        + [f"{shown(name)}: {UNCOMMITTED}" for name in submodules],
    )


async def nested_files(root: Path, name: str) -> list[str] | None:
    """The files of a repository inside this one, which git itself would leave out unsaid.

    Their contents are taken in as plain files, so that what runs there is what is recorded.
    None where there are over 2,000 files or 50 MB, or nothing git can read.
    """
    try:
        found = await git_names(
            root / name, "ls-files", "-z", "--cached", "--others", "--exclude-standard"
        )
    except GitError:
        return None
    inside = [f"{name}{one}" for one in dict.fromkeys(found) if not one.endswith("/")]
    if len(inside) > NESTED_FILES:
        return None
    size = 0
    for one in inside:
        try:
            size += (root / one).lstat().st_size
        except (FileNotFoundError, NotADirectoryError):
            continue
    return inside if size <= NESTED_BYTES else None


async def _has_uncommitted(root: Path, name: str) -> bool:
    """Whether a changed path is a submodule with more than other commits in it."""
    if name.endswith("/") or not (root / name / ".git").exists():
        return False
    return bool(await git_names(root / name, "status", "--porcelain=v1", "-z"))


def _refusal(root: Path, name: str) -> tuple[str, str] | None:
    """(what is left out, why) of a new or changed path; None if it belongs in git."""
    if refused := refused_part(name):
        return refused
    if name.endswith("/"):
        return name, NESTED
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


async def feed(
    root: Path, env: dict[str, str], arguments: Sequence[str], names: Iterable[str]
) -> None:
    """Run a command on names given by stdin, taken literally; nothing where there are none."""
    listed = b"\0".join(os.fsencode(name) for name in names)
    if listed:
        await run_git(root, "--literal-pathspecs", *arguments, stdin=listed + b"\0", env=env)


def shown(name: str) -> str:
    """A name as text: bytes that are no UTF-8 become question marks."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
