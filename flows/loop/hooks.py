"""The user's own commands before and after an iteration: what they say stands in the prompt."""

import asyncio
import json
import os
import signal
from contextlib import suppress
from typing import Any, Literal

from prefect.logging import get_run_logger

from wildloop.blocks.proof import KEY_VARIABLE
from wildloop.flows.models.session_record import IterationRecord
from wildloop.flows.project import HooksConfig, ProjectConfig
from wildloop.flows.session.position import Position
from wildloop.flows.settings import TOKEN_VARIABLE
from wildloop.flows.text.redaction import redact

Moment = Literal["before_iteration", "after_iteration"]
MOST_BYTES = 2000
HIDDEN = (
    TOKEN_VARIABLE,
    KEY_VARIABLE,
    "PREFECT_API_AUTH_STRING",
    "PREFECT_SERVER_API_AUTH_STRING",
)


async def before_iteration(
    position: Position, project: ProjectConfig | None, index: int, turn: int
) -> str:
    """The section of this call's prompt: what the hooks have said since the last one."""
    said = [position.record.hook_said]
    where = position_of(position, index, turn)
    said.append(await _said(position, project, "before_iteration", where))
    position.record.hook_said = ""
    told = "\n\n".join(filter(None, said))
    return f"## From the user's hooks\n\n{told}\n" if told else ""


async def after_iteration(
    position: Position, project: ProjectConfig | None, call: IterationRecord
) -> None:
    """Run the hook after a call; what it says stands in the next prompt."""
    where = position_of(position, call.index, call.turn) | {
        "summary": call.summary,
        "promise": call.promise,
        "failed": call.failed,
        "error": call.error,
        "run_ids": call.run_ids,
        "commit": call.commit,
        "cost_usd": call.cost_usd,
    }
    said = await _said(position, project, "after_iteration", where)
    if said:
        position.record.hook_said = said
        await position.save()


def position_of(position: Position, index: int, turn: int) -> dict[str, Any]:
    """What a hook is told on its standard input, as a JSON object."""
    spec, paths = position.spec, position.paths
    return {
        "session_id": position.id,
        "goal": spec.goal,
        "workdir": str(position.workdir),
        "iteration": index,
        "call": turn,
        "max_iterations": spec.max_iterations,
        "tasks_path": str(paths.tasks),
        "log_path": str(paths.log),
        "branch": position.record.branch,
    }


async def _said(
    position: Position, project: ProjectConfig | None, moment: Moment, where: dict[str, Any]
) -> str:
    hooks = project.hooks if project is not None else HooksConfig()
    command = getattr(hooks, moment)
    if command is None:
        return ""
    text = await run_hook(command, str(position.workdir), where, hooks.timeout_seconds)
    if text.startswith("("):
        get_run_logger().warning("%s hook: %s", moment, text)
    return f"{moment}: {text}" if text else ""


async def run_hook(command: str, workdir: str, where: dict[str, Any], seconds: float) -> str:
    """The hook's output, of at most 2,000 bytes; why it failed, in brackets, where it has.

    It runs as the user, outside of the agent's sandbox, and never ends the session.
    """
    env = {name: value for name, value in os.environ.items() if name not in HIDDEN}
    try:
        process = await asyncio.create_subprocess_exec(
            "bash",
            "-c",
            command,
            cwd=workdir,
            env=env,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return f"(the hook could not be started: {error})"
    try:
        told = json.dumps(where).encode()
        output, _ = await asyncio.wait_for(process.communicate(told), seconds)
    except TimeoutError:
        return f"(the hook was ended: it took longer than {seconds:g} s)"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    text = redact(output[:MOST_BYTES].decode("utf-8", "replace").replace("\x00", "")).strip()
    more = f" [cut: {len(output)} bytes]" if len(output) > MOST_BYTES else ""
    if process.returncode:
        return f"(the hook failed with exit code {process.returncode}) {text}{more}"
    return text + more
