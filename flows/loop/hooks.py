"""The user's own commands before and after an iteration: what they say stands in the prompt."""

import json
import os
from tempfile import TemporaryFile
from typing import Any, Literal

from prefect.logging import get_run_logger

from wildloop.flows.models.session_record import IterationRecord
from wildloop.flows.project import HooksConfig, ProjectConfig
from wildloop.flows.run.command import carry_out, without_secrets
from wildloop.flows.session.position import Position
from wildloop.flows.text.redaction import redact

Moment = Literal["before_iteration", "after_iteration"]
MOST_BYTES = 2000


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
    with TemporaryFile() as said:
        words, told = ("bash", "-c", command), json.dumps(where).encode()
        try:
            code = await carry_out(words, workdir, without_secrets(), seconds, said, told)
        except OSError as error:
            return f"(the hook could not be started: {error})"
        size = said.seek(0, os.SEEK_END)
        said.seek(0)
        output = said.read(MOST_BYTES)
    if code is None:
        return f"(the hook was ended: it took longer than {seconds:g} s)"
    text = redact(output.decode("utf-8", "replace").replace("\x00", "")).strip()
    more = f" [cut: {size} bytes]" if size > MOST_BYTES else ""
    if code:
        return f"(the hook failed with exit code {code}) {text}{more}"
    return text + more
