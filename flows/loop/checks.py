"""The project's own checks of a change that won: tests, types, lint, before it is kept."""

import asyncio
from pathlib import Path

from prefect_shell import ShellOperation

from wildloop.flows.keep.decide import Decision
from wildloop.flows.keep.held import has_won, refused
from wildloop.flows.project import ChecksConfig, ProjectConfig
from wildloop.flows.settings import TOKEN_VARIABLE
from wildloop.flows.text.redaction import redact

SAID_LINES = 3
SAID_LENGTH = 300


async def checked(decision: Decision, project: ProjectConfig | None, workdir: Path) -> Decision:
    """The decision; a discard where what won fails a check of the project."""
    if project is None or not has_won(decision):
        return decision
    said = await failed_check(project.checks, workdir)
    return decision if said is None else refused(decision, f"a check of the project: {said}")


async def failed_check(config: ChecksConfig, workdir: Path) -> str | None:
    """Run the checks one after the other; what the first one that fails says, None if all pass."""
    for command in config.commands:
        failed = await _failed(command, workdir, config.timeout_seconds)
        if failed is not None:
            return f"`{command}` {failed}"
    return None


async def _failed(command: str, workdir: Path, seconds: float) -> str | None:
    # The token is for the agent alone: a project's checks have no use for it.
    async with ShellOperation(
        commands=[command],
        working_dir=workdir,
        env={TOKEN_VARIABLE: "", "PREFECT_API_AUTH_STRING": ""},
        stream_output=False,
    ) as operation:
        process = await operation.trigger()
        try:
            async with asyncio.timeout(seconds):
                await process.wait_for_completion()
        except TimeoutError:
            return f"was not done after {seconds:g} s"
        except RuntimeError:
            lines = [line for line in await process.fetch_result() if line.strip()]
            told = " / ".join(lines[-SAID_LINES:])[-SAID_LENGTH:]
            return redact(f"failed ({told})" if told else "failed")
    return None
