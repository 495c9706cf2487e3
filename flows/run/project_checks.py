"""The project's own checks, `[checks]` in wildloop.toml: shell commands that have to pass."""

import os
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from wildloop.flows.project import ChecksConfig
from wildloop.flows.run.command import carry_out, without_secrets
from wildloop.flows.text.redaction import redact

SAID_LINES = 5
SAID_LENGTH = 500
READ_BYTES = 64 * 1024


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
    with TemporaryFile() as output:
        words = ("bash", "-c", command)
        code = await carry_out(words, folder, without_secrets(), seconds, output)
        told = _last_lines(output)
    if code is None:
        return f"was not done after {seconds:g} s"
    if code == 0:
        return None
    return f"failed ({told})" if told else f"failed with exit code {code}"


def _last_lines(output: IO[bytes]) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - READ_BYTES))
    lines = output.read().decode("utf-8", "replace").splitlines()
    return " / ".join([one for one in lines if one.strip()][-SAID_LINES:])[-SAID_LENGTH:]
