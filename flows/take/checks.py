"""The project's checks on one commit of the new branch, in a worktree of its own."""

import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from wildloop.blocks.proof import KEY_VARIABLE
from wildloop.flows.git.scratch import scratch_worktree
from wildloop.flows.run.checkout import link_all
from wildloop.flows.settings import TOKEN_VARIABLE
from wildloop.flows.text.redaction import redact

SAID_LINES = 5
SAID_LENGTH = 500
HIDDEN = (TOKEN_VARIABLE, KEY_VARIABLE, "PREFECT_API_AUTH_STRING")


async def failed_on(
    root: Path, workdir: Path, commit: str, commands: Sequence[str], seconds: float
) -> str | None:
    """Run checks on a commit, in a checkout of it that is taken away afterwards.

    What git does not hold and `[isolation] link` names is linked there, as for isolated runs.

    Args:
        root: the top of the repository.
        workdir: the project, in the repository.
        commit: what is checked.
        commands: shell commands, run one after the other in the project's folder.
        seconds: for each of them.

    Returns:
        What the first that fails says; None where all pass.

    Raises:
        GitError: the commit cannot be checked out.
    """
    if not commands:
        return None
    inner = workdir.resolve().relative_to(root.resolve())
    async with scratch_worktree(root, commit, outside=True) as tree:
        await asyncio.to_thread(link_all, root, workdir, tree)
        for command in commands:
            failed = await _failed(command, tree / inner, seconds)
            if failed is not None:
                return redact(f"`{command}` {failed}")
    return None


async def _failed(command: str, folder: Path, seconds: float) -> str | None:
    if not folder.is_dir():
        return "has no folder to run in: the project is not in this commit"
    env = {name: value for name, value in os.environ.items() if name not in HIDDEN}
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        command,
        cwd=folder,
        env=env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), seconds)
    except TimeoutError:
        return f"was not done after {seconds:g} s"
    finally:
        # What it has left behind would hold on to a folder that is taken away.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    if process.returncode == 0:
        return None
    lines = [one for one in output.decode("utf-8", "replace").splitlines() if one.strip()]
    told = " / ".join(lines[-SAID_LINES:])[-SAID_LENGTH:]
    return f"failed ({told})" if told else f"failed with exit code {process.returncode}"
