"""A command of the project's or the user's own, beside the runs: it ends with all that it began."""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from wildloop.blocks.proof import KEY_VARIABLE
from wildloop.flows.settings import TOKEN_VARIABLE

# They are the agent's and the server's: neither checks nor hooks have a use for them.
HIDDEN = (
    TOKEN_VARIABLE,
    KEY_VARIABLE,
    "PREFECT_API_AUTH_STRING",
    "PREFECT_SERVER_API_AUTH_STRING",
)


def without_secrets() -> dict[str, str]:
    """This process's environment without the server's secrets."""
    return {name: value for name, value in os.environ.items() if name not in HIDDEN}


async def carry_out(
    words: Sequence[str],
    folder: str | Path,
    env: Mapping[str, str],
    seconds: float,
    output: IO[bytes],
    told: bytes = b"",
) -> int | None:
    """Run a command in a session of its own, which is killed whole when it ends.

    Args:
        words: the program and its arguments.
        folder: where.
        env: its whole environment.
        seconds: how long it may take.
        output: where it says what it says; a file, since what it leaves running would keep a pipe
            open.
        told: what its standard input has.

    Returns:
        Its exit code; None where it took longer.

    Raises:
        OSError: it could not be started.
    """
    with TemporaryFile() as given:
        given.write(told)
        given.seek(0)
        process = await asyncio.create_subprocess_exec(
            *words,
            cwd=folder,
            env=env,
            stdin=given,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        return await asyncio.wait_for(process.wait(), seconds)
    except TimeoutError:
        return None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
