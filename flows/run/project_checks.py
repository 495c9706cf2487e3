"""The project's own checks, `[checks]` in wildloop.toml: shell commands that have to pass."""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from wildloop.blocks.proof import KEY_VARIABLE
from wildloop.flows.project import ChecksConfig
from wildloop.flows.settings import TOKEN_VARIABLE
from wildloop.flows.text.redaction import redact

SAID_LINES = 5
SAID_LENGTH = 500
READ_BYTES = 64 * 1024
# They are the agent's and the server's: a project's checks have no use for them.
HIDDEN = (TOKEN_VARIABLE, KEY_VARIABLE, "PREFECT_API_AUTH_STRING")


async def failed_check(config: ChecksConfig, folder: Path) -> str | None:
    """Run the checks one after the other in a folder, without the server's secrets.

    What a check leaves running ends with it.

    Returns:
        What the first one that fails says; None where all pass.
    """
    for command in config.commands:
        failed = await _failed(command, folder, config.timeout_seconds)
        if failed is not None:
            return redact(f"`{command}` {failed}")
    return None


async def _failed(command: str, folder: Path, seconds: float) -> str | None:
    if not folder.is_dir():
        return "has no folder to run in: the project is not in this commit"
    env = {name: value for name, value in os.environ.items() if name not in HIDDEN}
    # A file, not a pipe: what a check leaves running would keep that open.
    with TemporaryFile() as output:
        process = await asyncio.create_subprocess_exec(
            "bash",
            "-c",
            command,
            cwd=folder,
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            await asyncio.wait_for(process.wait(), seconds)
        except TimeoutError:
            return f"was not done after {seconds:g} s"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        if process.returncode == 0:
            return None
        told = _last_lines(output)
    return f"failed ({told})" if told else f"failed with exit code {process.returncode}"


def _last_lines(output: IO[bytes]) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - READ_BYTES))
    lines = output.read().decode("utf-8", "replace").splitlines()
    return " / ".join([one for one in lines if one.strip()][-SAID_LINES:])[-SAID_LENGTH:]
