"""Whether a tool is installed, and which version."""

import asyncio
import os
import signal
from pathlib import Path

from wildloop.blocks.agents.base import AgentUnavailable
from wildloop.blocks.agents.live import shorten

VERSION_SECONDS = 30.0


async def tool_version(program: str, workdir: Path, env: dict[str, str]) -> str:
    """The tool's name and version, as it tells them.

    Raises:
        AgentUnavailable: it does not start, fails, or does not answer in time.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            "--version",
            cwd=workdir,
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise AgentUnavailable(f"'{program}' does not start in '{workdir}': {error}") from error
    try:
        async with asyncio.timeout(VERSION_SECONDS):
            out, err = await process.communicate()
    except TimeoutError as error:
        raise AgentUnavailable(
            f"`{program} --version` did not answer within {VERSION_SECONDS:g} s: try it by hand"
        ) from error
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    said = shorten((out or err).decode("utf-8", "replace"))
    if process.returncode != 0:
        raise AgentUnavailable(
            f"`{program} --version` failed with exit code {process.returncode}: "
            f"{shorten(err.decode('utf-8', 'replace')) or said}; install it anew"
        )
    return said or Path(program).name
