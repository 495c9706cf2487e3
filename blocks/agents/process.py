"""Agents that run as one process per call: the prompt on stdin, the reply on stdout."""

import asyncio
import os
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from wildloop.blocks.agents.base import (
    Agent,
    AgentReply,
    AgentRequest,
    AgentUnavailable,
    ExitReason,
    agent_environment,
)
from wildloop.blocks.agents.live import Shortener, read_piece
from wildloop.blocks.agents.masking import mask_file, secret_values
from wildloop.blocks.agents.sandbox import Sandbox, enclosed, is_used, own_places
from wildloop.blocks.launchers.base import LaunchFailed, LaunchSpec, ProcessState, ProcessStatus
from wildloop.blocks.launchers.local import LocalLauncher
from wildloop.blocks.proxies import around_proxies

PROMPT = "prompt.md"
REPLY = "reply.txt"
ERRORS = "stderr.log"
ENDED = "ended"
REPLY_LIMIT_BYTES = 10 * 1024 * 1024
ERROR_LINES = 5
TRACEBACK = "Traceback (most recent call last)"
ERROR_LINE_CHARACTERS = 300
GRACE_SECONDS = 5.0
WATCH_SECONDS = 5.0
FIRST_FOLLOW_SECONDS = 0.01
FOLLOW_SECONDS = 0.25

# `silent` and `runaway`: ended by a watchdog.
Ending = Literal["timeout", "interrupted", "silent", "runaway"]


class Watch:
    """Looks at a running call from time to time; the base never complains."""

    def look(self) -> Ending | None:
        """Why the call is to be ended now, if it is."""
        return None


class ProcessAgent(Agent):
    """Shared by the agents that run as one process per call."""

    output_name: ClassVar[str] = REPLY
    needs_network: ClassVar[bool] = True

    isolation: Sandbox = Field(
        default_factory=Sandbox,
        title="Isolation",
        description="What the process may touch. [agent] of a project's wildloop.toml prevails.",
    )

    @abstractmethod
    def command_line(self) -> str:
        """The shell command to run."""

    def variables(self) -> dict[str, str]:
        """Variables of this agent, on top of the scrubbed environment."""
        return {}

    def kept_variables(self) -> Sequence[str]:
        """Names of the worker's variables that this agent's process gets too."""
        return ()

    async def run(self, request: AgentRequest) -> AgentReply:
        """Call the agent once; see `Agent.run`."""
        launcher, record = LocalLauncher(), request.record
        try:
            status = await self._begin(launcher, request)
            status = await self._end(launcher, request, status)
        except (LaunchFailed, OSError, AgentUnavailable) as fault:
            return AgentReply(text="", exit_reason="failed", error=f"agent not started: {fault}")
        except asyncio.CancelledError:
            await _finish(end_call(record, "interrupted"))
            raise
        return await asyncio.to_thread(self.reply, status, request)

    async def stop(self, record: Path) -> None:
        """End the call in `record`; see `Agent.stop`."""
        await end_call(record, "interrupted")

    async def follow(self, record: Path) -> AsyncIterator[str]:
        """Short lines of a call; see `Agent.follow`."""
        launcher, shortener, at = LocalLauncher(), self.shortener(), 0
        # Of a short call nobody is to wait for the end of its telling.
        pause = FIRST_FOLLOW_SECONDS
        while True:
            state = (await launcher.status(record)).state
            # Read after the look at the process: what came before its end is not missed.
            while piece := await read_piece(record / self.output_name, at):
                at += len(piece)
                for line in shortener.feed(piece):
                    yield line
            if state not in (ProcessState.RUNNING, ProcessState.ABSENT):
                break
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, FOLLOW_SECONDS)
        for line in shortener.finish():
            yield line

    def shortener(self) -> Shortener:
        """What makes short lines of this agent's output."""
        return Shortener()

    def watch(self, record: Path) -> Watch:
        """What looks at a running call of this agent."""
        return Watch()

    def reply(self, status: ProcessStatus, request: AgentRequest) -> AgentReply:
        """The reply of a call that has ended, from the files in its record. Blocks.

        Secrets that the process was given are taken out of what it has printed.
        """
        output = request.record / self.output_name
        secrets = secret_values(self._environment(request))
        for path in (output, request.record / ERRORS):
            mask_file(path, secrets)
        reason, error = outcome(status, request)
        return AgentReply(
            text=read_reply(output),
            exit_reason=reason,
            exit_code=status.exit_code,
            transcript_path=output,
            error=error,
            duration_seconds=_duration(status),
        )

    async def _begin(self, launcher: LocalLauncher, request: AgentRequest) -> ProcessStatus:
        status = await launcher.status(request.record)
        if status.state is not ProcessState.ABSENT:
            return status
        request.record.mkdir(parents=True, exist_ok=True)
        prompt = request.record / PROMPT
        prompt.write_text(request.prompt, encoding="utf-8", errors="replace")
        env = self._environment(request)
        return await launcher.launch(
            LaunchSpec(
                folder=request.record,
                command=await asyncio.to_thread(self._enclosed, request, env),
                cwd=request.workdir,
                env=env,
                log=request.record / self.output_name,
                stderr=request.record / ERRORS,
                stdin=prompt,
            )
        )

    def _environment(self, request: AgentRequest) -> dict[str, str]:
        own = {**self.variables(), **request.env}
        env = agent_environment(os.environ, own, self.kept_variables())
        return env | around_proxies(env)

    def _enclosed(self, request: AgentRequest, env: dict[str, str]) -> str:
        """The command, in its sandbox if there is one."""
        if self.isolation.mode == "off":
            return self.command_line()
        own = own_places(self.get_block_type_slug(), env)
        workdir, record = request.workdir, request.record
        return enclosed(self.isolation, self.command_line(), workdir, record, env, own)

    async def is_isolated(self, workdir: Path) -> bool:
        """Whether its process is put into a sandbox here."""
        env = agent_environment(os.environ, self.variables(), self.kept_variables())
        return await asyncio.to_thread(is_used, self.isolation, workdir, env)

    async def check_isolation(self, workdir: Path) -> str:
        """One line on the sandbox.

        Raises:
            AgentUnavailable: it is asked for and does not work, or cuts the agent off.
        """
        if not await self.is_isolated(workdir):
            return "no sandbox"
        if not self.isolation.network and self.needs_network:
            raise AgentUnavailable(
                "sandbox_network = false cuts this agent off from its model and from Wildloop's "
                "API: set it to true; only a command agent can do without"
            )
        return f"in a sandbox, {'with' if self.isolation.network else 'without'} network"

    async def _end(
        self, launcher: LocalLauncher, request: AgentRequest, status: ProcessStatus
    ) -> ProcessStatus:
        """Wait for the end, at most until the call's time is up; leave no process behind."""
        ending = _ending(request.record)
        gone = time.time() - status.started_at if status.started_at is not None else 0.0
        # A call that was being ended when its caller died is ended now, not waited for.
        left = max(0.0, request.timeout_seconds - gone) if ending is None else 0.0
        watch, deadline = self.watch(request.record), time.monotonic() + left
        while ending is None:
            left = max(0.0, deadline - time.monotonic())
            status = await launcher.wait(request.record, min(left, WATCH_SECONDS))
            if status.state is not ProcessState.RUNNING:
                break
            ending = "timeout" if left <= WATCH_SECONDS else await asyncio.to_thread(watch.look)
        else:
            await end_call(request.record, ending)
        return await launcher.stop(request.record, GRACE_SECONDS)


def read_reply(path: Path) -> str:
    """A reply's text; of one over 10 MB the end, with a note. Bytes that are no text: U+FFFD."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - REPLY_LIMIT_BYTES))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    if size > REPLY_LIMIT_BYTES:
        left_out = size - REPLY_LIMIT_BYTES
        return f"[the first {left_out} bytes of this reply were left out]\n{text}"
    return text


async def end_call(record: Path, reason: Ending) -> None:
    """End the process tree of a call; why is noted first, for whoever takes the call up again."""
    launcher = LocalLauncher()
    if (await launcher.status(record)).state is ProcessState.RUNNING:
        (record / ENDED).write_text(reason, encoding="ascii")
    await launcher.stop(record, GRACE_SECONDS)


def _ending(record: Path) -> Ending | None:
    path = record / ENDED
    if not path.exists():
        return None
    match path.read_text(encoding="ascii"):
        case "timeout" | "silent" | "runaway" as known:
            return known
    return "interrupted"


def outcome(status: ProcessStatus, request: AgentRequest) -> tuple[ExitReason, str | None]:
    """How a call has ended, and the error if it did not finish."""
    match _ending(request.record):
        case "timeout":
            seconds = f"{request.timeout_seconds:g} s"
            return "timeout", f"the agent took longer than {seconds} and was ended"
        case "interrupted":
            return "interrupted", "the agent was ended from outside"
        case "silent":
            return "timeout", "the agent said nothing for too long and was ended"
        case "runaway":
            return "unreachable", "the model's answers came cut off, again and again: it was ended"
    if status.state is not ProcessState.EXITED:
        return "interrupted", "the agent's process is gone and left no exit code"
    if status.exit_code == 0:
        return "finished", None
    lines = _without_frames(read_reply(request.record / ERRORS).strip().splitlines())
    said = " / ".join(line.strip()[:ERROR_LINE_CHARACTERS] for line in lines[-ERROR_LINES:])
    return "failed", f"exit code {status.exit_code}" + (f": {said}" if said else "")


def _duration(status: ProcessStatus) -> float:
    if status.started_at is None:
        return 0.0
    return max(0.0, (status.ended_at or time.time()) - status.started_at)


async def _finish(work: Awaitable[None]) -> None:
    """Await `work` to its end, though the caller be cancelled again meanwhile."""
    task = asyncio.ensure_future(work)
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            continue
    task.result()


def _without_frames(lines: Sequence[str]) -> list[str]:
    """What a command printed, of its tracebacks only what the exception says."""
    kept, in_frames = list[str](), False
    for line in lines:
        if line.startswith(TRACEBACK):
            in_frames = True
        elif not (in_frames and line[:1].isspace()) and line.strip():
            in_frames = False
            kept.append(line)
    return kept
