"""The git command line as a subprocess: no prompts, no secrets, no endless hooks."""

import asyncio
import os
import re
import signal
from pathlib import Path

from wildloop.blocks.proof import KEY_VARIABLE
from wildloop.flows.errors import WildloopError
from wildloop.flows.settings import TOKEN_VARIABLE

LOCK_TRIES = 30
LOCK_PAUSE_S = 0.1
TIMEOUT_S = 600.0
GRACE_S = 5.0
# Set by a git hook that Wildloop is started from, these would point git at another repository.
_LOCATION = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR")
NO_HOOKS = ("-c", "core.hooksPath=/dev/null")
"""Wildloop's own commits and switches do not depend on the hooks of the user."""
IDENTITY = {"user.name": "Wildloop", "user.email": "wildloop@localhost"}
"""Whose commits they are where nobody else's."""
WILDLOOP = tuple(word for key, value in IDENTITY.items() for word in ("-c", f"{key}={value}"))
_LOCKED = re.compile(r"\.lock'?: File exists")


class GitError(WildloopError):
    """A git command failed; the text is what it said. `returncode` is None where it never ran."""

    def __init__(self, text: str, returncode: int | None = None) -> None:
        super().__init__(text)
        self.returncode = returncode


async def run_git(
    path: Path, *arguments: str, stdin: bytes = b"", env: dict[str, str] | None = None
) -> bytes:
    """Run git in `path`, ended after 600 s, and return its output.

    Raises:
        GitError: it failed, or is not installed.
    """
    verb = next((word for word in arguments if not word.startswith("-") and "=" not in word), "")
    try:
        process = await asyncio.create_subprocess_exec(
            "git",
            "-C",
            str(path),
            *arguments,
            # A pipe that git does not read ends in an error on some event loops.
            stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=_environment() | (env or {}),
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise GitError("git is not installed: install it and put it on PATH") from error
    try:
        async with asyncio.timeout(TIMEOUT_S):
            out, err = await process.communicate(stdin or None)
    except TimeoutError as error:
        await _end(process)
        raise GitError(f"git {verb} in {path} took over {TIMEOUT_S:g} s and was ended") from error
    except asyncio.CancelledError:
        await _end(process)
        raise
    if process.returncode != 0:
        said = (err or out).decode(errors="replace").strip() or "it gave no reason"
        raise GitError(f"git {verb} failed in {path}: {said[-2000:]}", process.returncode)
    return out


def _environment() -> dict[str, str]:
    """Ours without what misleads git, and without secrets that a hook has no use for."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in (*_LOCATION, TOKEN_VARIABLE, KEY_VARIABLE)
        and not name.startswith("PREFECT_")
    }
    # By a replacement ref a commit would have other contents than its own.
    own = {"GIT_NO_REPLACE_OBJECTS": "1"}
    return kept | own | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}


async def _end(process: asyncio.subprocess.Process) -> None:
    """End git and its hooks: TERM first, on which git removes its lock files."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, how)
        except ProcessLookupError:
            break
        try:
            async with asyncio.timeout(GRACE_S):
                await process.wait()
            break
        except TimeoutError:
            continue


async def git_line(path: Path, *arguments: str) -> str:
    """The output of a command that prints one path or name."""
    return os.fsdecode((await run_git(path, *arguments)).removesuffix(b"\n"))


async def git_answer(path: Path, *arguments: str) -> str | None:
    """The output of a command that answers a question; None where it says no by exit code 1.

    Raises:
        GitError: any other end.
    """
    try:
        return await git_line(path, *arguments)
    except GitError as error:
        if error.returncode == 1:
            return None
        raise


async def git_names(path: Path, *arguments: str, env: dict[str, str] | None = None) -> list[str]:
    """The output of a command with -z."""
    out = await run_git(path, *arguments, env=env)
    return [os.fsdecode(name) for name in out.split(b"\0") if name]


async def run_git_locking(
    root: Path, *arguments: str, stdin: bytes = b"", env: dict[str, str] | None = None
) -> None:
    """Run a command that takes a lock, again while another process holds it."""
    for attempt in range(1, LOCK_TRIES + 1):
        try:
            await run_git(root, *arguments, stdin=stdin, env=env)
            return
        except GitError as error:
            if not _LOCKED.search(str(error)) or attempt == LOCK_TRIES:
                raise
            await asyncio.sleep(LOCK_PAUSE_S)
