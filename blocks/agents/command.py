"""Agents that are commands: the prompt on stdin, the reply on stdout."""

import asyncio
import os
import shlex
import shutil
import sys
import time
from pathlib import Path

from pydantic import Field, SecretStr

from blocks.agents.base import (
    Agent,
    AgentReply,
    AgentRequest,
    AgentUnavailable,
    ExitReason,
    agent_environment,
)
from blocks.launchers.base import LaunchFailed, LaunchSpec, ProcessState, ProcessStatus
from blocks.launchers.local import LocalLauncher

REPLY_LIMIT = 10 * 1024 * 1024
ERROR_LINES = 5
GRACE_SECONDS = 5.0


class ProcessAgent(Agent):
    """Shared by the agents that run as one process per call."""

    def command_line(self) -> str:
        """The shell command to run."""
        raise NotImplementedError

    def variables(self) -> dict[str, str]:
        """Variables of this agent, on top of the scrubbed environment."""
        return {}

    async def run(self, request: AgentRequest) -> AgentReply:
        """Call the agent once; see `Agent`."""
        launcher, began = LocalLauncher(), time.monotonic()
        try:
            status = await self._begin(launcher, request)
        except (LaunchFailed, OSError) as fault:
            return AgentReply(text="", exit_reason="failed", error=f"not started: {fault}")
        left = request.timeout_seconds
        if status.started_at is not None:
            left = max(0.0, left - (time.time() - status.started_at))
        try:
            status = await launcher.wait(request.record, left)
            timed_out = status.state is ProcessState.RUNNING
            if timed_out:
                status = await launcher.stop(request.record, GRACE_SECONDS)
        except asyncio.CancelledError:
            await asyncio.shield(launcher.stop(request.record, GRACE_SECONDS))
            raise
        text = await asyncio.to_thread(read_reply, request.record / "reply.txt")
        reason, error = _ending(status, timed_out, request)
        return AgentReply(
            text=text,
            exit_reason=reason,
            exit_code=status.exit_code,
            error=error,
            transcript_path=request.record / "reply.txt",
            duration_seconds=time.monotonic() - began,
        )

    async def _begin(self, launcher: LocalLauncher, request: AgentRequest) -> ProcessStatus:
        status = await launcher.status(request.record)
        if status.state is not ProcessState.ABSENT:
            return status
        request.record.mkdir(parents=True, exist_ok=True)
        prompt = request.record / "prompt.md"
        prompt.write_text(request.prompt, encoding="utf-8", errors="replace")
        return await launcher.launch(
            LaunchSpec(
                folder=request.record,
                command=self.command_line(),
                cwd=request.workdir,
                env=agent_environment(os.environ, {**self.variables(), **request.env}),
                log=request.record / "reply.txt",
                stderr=request.record / "stderr.log",
                stdin=prompt,
            )
        )


class CommandAgent(ProcessAgent):
    """Any command-line agent: it reads the prompt from stdin and prints its reply."""

    _block_type_name = "Wildloop Command Agent"
    _block_type_slug = "wildloop-command-agent"
    _description = "Any command-line agent: it reads the prompt from stdin and prints its reply."

    command: str = Field(
        min_length=1,
        title="Command",
        description="Shell command, run in the project's folder; prompt on stdin, reply on stdout.",
        examples=["my-agent --headless"],
    )
    environment: dict[str, SecretStr] = Field(
        default_factory=dict,
        title="Environment",
        description="Variables for the command, such as an API key. Values are kept secret.",
    )

    def command_line(self) -> str:
        """The command, as the user gave it."""
        return self.command

    def variables(self) -> dict[str, str]:
        """The block's own variables, in the clear."""
        return {name: value.get_secret_value() for name, value in self.environment.items()}

    async def check(self, workdir: Path) -> str:
        """See `Agent.check`: the command's first word must be found."""
        try:
            words = shlex.split(self.command)
        except ValueError as error:
            raise AgentUnavailable(f"agent command '{self.command}': {error}") from error
        if not words:
            raise AgentUnavailable("agent command is empty: give one, as command:my-agent")
        first = next((word for word in words if "=" not in word.split("/")[0]), words[0])
        path = agent_environment(os.environ, self.variables()).get("PATH")
        if shutil.which(first, path=path) is None and not (workdir / first).is_file():
            raise AgentUnavailable(
                f"agent command '{first}' is not on PATH: install it, or give its full path"
            )
        return f"command agent: {self.command}"


class BaselineAgent(ProcessAgent):
    """The built-in agent: no LLM; it plans, searches the space of wildloop.toml, and reflects."""

    _block_type_name = "Wildloop Baseline Agent"
    _block_type_slug = "wildloop-baseline-agent"
    _description = "Built in, no LLM: plans, searches the space of wildloop.toml with Optuna."

    def command_line(self) -> str:
        """This interpreter, with the agent's module."""
        return f"exec {shlex.quote(sys.executable)} -P -m blocks.agents.baseline"

    async def check(self, workdir: Path) -> str:
        """See `Agent.check`: the project must declare what to train and what to search."""
        if not (workdir / "wildloop.toml").is_file():
            raise AgentUnavailable(
                f"the baseline agent needs {workdir / 'wildloop.toml'} (train command, metric, "
                "search space): write one, as examples/digits has it, or choose another agent"
            )
        return "baseline agent"


def read_reply(path: Path) -> str:
    """A reply's text; of one over 10 MB the end, with a note."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            file.seek(max(0, size - REPLY_LIMIT))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    if size > REPLY_LIMIT:
        return f"[the first {size - REPLY_LIMIT} bytes of this reply were left out]\n{text}"
    return text


def _ending(
    status: ProcessStatus, timed_out: bool, request: AgentRequest
) -> tuple[ExitReason, str | None]:
    if timed_out:
        return "timeout", f"the agent took longer than {request.timeout_seconds:g} s and was ended"
    if status.state is not ProcessState.EXITED:
        return "interrupted", "the agent's process is gone and left no exit code"
    if status.exit_code == 0:
        return "finished", None
    said = read_reply(request.record / "stderr.log").strip().splitlines()[-ERROR_LINES:]
    return "failed", f"exit code {status.exit_code}" + (": " + " / ".join(said) if said else "")
