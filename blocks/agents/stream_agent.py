"""Agents whose command prints its events as JSON Lines: Claude Code, OpenCode, Codex."""

import asyncio
import os
import shlex
import shutil
import signal
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import ClassVar

import httpx
from prefect.client.orchestration import get_client
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError, concurrency
from prefect.exceptions import PrefectHTTPStatusError
from pydantic import Field, SecretStr

from blocks.agents.base import (
    AgentReply,
    AgentRequest,
    AgentUnavailable,
    ExitReason,
    agent_environment,
)
from blocks.agents.command import (
    ENDED,
    ERRORS,
    FOLLOW_SECONDS,
    Ending,
    ProcessAgent,
    Watch,
    end_call,
)
from blocks.agents.jsonl import EventReader, read_chunks
from blocks.agents.live import EventShortener, shorten
from blocks.agents.masking import mask, mask_file, secret_values
from blocks.agents.prices import Price, Usage, estimate_cost, price_of
from blocks.agents.streams import Reading, clean, read_stream
from blocks.agents.troubles import Trouble, classify, seconds_until_reset
from blocks.launchers.base import ProcessStatus
from blocks.launchers.local import LocalLauncher
from blocks.launchers.record import RECORD

EVENTS = "events.jsonl"
STOPPED = "stopped"
DONE = "done"
RETRY = "retry-"
# Any of these in a record, or an attempt's, says that no attempt follows.
ENDS = (DONE, STOPPED, ENDED)
VERSION_SECONDS = 30.0
PAUSE_STEP_SECONDS = 0.5
NO_SLOT = (httpx.HTTPError, PrefectHTTPStatusError, ConcurrencySlotAcquisitionError)
PASSING: frozenset[ExitReason] = frozenset({"rate_limited", "unreachable"})
AGAIN = (
    "An earlier attempt at this very call was cut off. Look at the files and runs that it has "
    "left before you do anything again.\n\n"
)


class StreamAgent(ProcessAgent):
    """Shared by the agents that print a stream of events.

    A call that a rate limit or the network has ended is made anew, each attempt in a folder of
    its own inside the call's record; what the record holds tells which attempt is due, so that a
    restart in the middle of a pause changes nothing.
    """

    output_name: ClassVar[str] = EVENTS
    install_hint: ClassVar[str]

    executable: str
    model: str | None = Field(
        default=None,
        min_length=1,
        title="Model",
        description="The model to use; empty: the tool's own default.",
    )
    extra_arguments: list[str] = Field(
        default_factory=list,
        title="Extra arguments",
        description="Further arguments of the command, one per entry. They are visible in "
        "process lists: put secrets into Environment.",
    )
    environment: dict[str, SecretStr] = Field(
        default_factory=dict,
        title="Environment",
        description="Variables for the tool, such as its API key. The values are stored as "
        "secrets and never shown.",
    )
    pass_variables: list[str] = Field(
        default_factory=list,
        title="Variables to pass on",
        description="Names of variables of the worker's own environment that the tool gets too, "
        "beside its own settings and keys, such as AWS_PROFILE for a model on Bedrock.",
        examples=[["AWS_PROFILE", "AWS_REGION"]],
    )
    timeout_seconds: float | None = Field(
        default=None,
        gt=0,
        title="Time-out (seconds)",
        description="The longest a call may take. The session's own limit holds too, and the "
        "shorter of the two counts.",
    )
    silence_seconds: float | None = Field(
        default=1800.0,
        gt=0,
        title="Silence (seconds)",
        description="End a call whose tool has printed nothing for so long; empty: never. A "
        "command that the agent runs prints nothing until it ends.",
    )
    retries: int = Field(
        default=3,
        ge=0,
        le=20,
        title="Retries",
        description="How often a call that a rate limit or a network error has ended is made "
        "anew, after the tool's own retries.",
    )
    backoff_seconds: float = Field(
        default=15.0,
        gt=0,
        title="Back-off (seconds)",
        description="Pause before the first retry, doubled with each, where the API does not say "
        "how long to wait.",
    )
    longest_pause_seconds: float = Field(
        default=600.0,
        ge=0,
        title="Longest pause (seconds)",
        description="A rate limit that asks for a longer pause is reported instead of waited for.",
    )
    max_concurrent: int | None = Field(
        default=None,
        ge=1,
        title="Calls at a time",
        description="How many calls of this block may run at once, over all sessions and workers "
        "of the Prefect server; empty: any number. Shown under Concurrency in the Prefect UI.",
    )
    price: Price | None = Field(
        default=None,
        title="Price",
        description="Dollars per million tokens, for an estimate where the tool tells no cost. "
        "Empty: the list price of the model, if it is known.",
    )

    @abstractmethod
    def arguments(self) -> list[str]:
        """The command line after the executable, without the extra arguments."""

    @abstractmethod
    def reading(self) -> Reading:
        """What takes in the events of a call."""

    @abstractmethod
    def shortener(self) -> EventShortener:
        """See `ProcessAgent.shortener`."""

    def settings(self) -> dict[str, str]:
        """Variables that keep the tool headless, quiet and unchanged."""
        return {}

    def kept_families(self) -> Sequence[str]:
        """Beginnings of names of the worker's variables that this tool gets too."""
        return ()

    def command_line(self) -> str:
        """The tool in place of the shell that starts it."""
        return "exec " + shlex.join([self.executable, *self.arguments(), *self.extra_arguments])

    def variables(self) -> dict[str, str]:
        """The settings, and on top of them the block's own variables in the clear."""
        own = {name: value.get_secret_value() for name, value in self.environment.items()}
        return self.settings() | own

    def kept_variables(self) -> Sequence[str]:
        """The tool's own variables and those that the block lists."""
        families = tuple(self.kept_families())
        own = [name for name in os.environ if families and name.startswith(families)]
        return [*own, *self.pass_variables]

    def watch(self, record: Path) -> Watch:
        """See `ProcessAgent.watch`: silence, and tools that go round in circles."""
        return StreamWatch(record / EVENTS, self.reading(), self.silence_seconds)

    async def check(self, workdir: Path) -> str:
        """See `Agent.check`: the tool is there and tells its version."""
        env = agent_environment(os.environ, self.variables(), self.kept_variables())
        program = shutil.which(self.executable, path=env.get("PATH"))
        if program is None:
            raise AgentUnavailable(
                f"'{self.executable}' is not on the worker's PATH: install it with "
                f"`{self.install_hint}`, or give its full path as Executable"
            )
        said = await _version(program, workdir, env)
        return f"{said} ({program}), model {self.model or 'of its own choice'}"

    async def run(self, request: AgentRequest) -> AgentReply:
        """Call the tool, again where that helps; see `Agent.run`."""
        async with AsyncExitStack() as stack:
            # A process that is adopted runs already: it waits for no slot.
            if self.max_concurrent is not None and not (request.record / RECORD).exists():
                try:
                    await stack.enter_async_context(self._slot(self.max_concurrent))
                except NO_SLOT as fault:
                    error = f"no slot for the agent, the Prefect API does not answer: {fault}"
                    return AgentReply(text="", exit_reason="unreachable", error=error)
            return await self._attempts(request)

    async def stop(self, record: Path) -> None:
        """End the call in `record`, also one that pauses; see `Agent.stop`."""
        if record.is_dir():
            (record / STOPPED).touch()
        for place in attempts(record):
            await end_call(place, "interrupted")

    async def follow(self, record: Path) -> AsyncIterator[str]:
        """Short lines of a call, through all its attempts; see `Agent.follow`."""
        for number in count():
            place = attempt_folder(record, number)
            if number > 0:
                yield f"attempt {number + 1}"
            async for line in super().follow(place):
                yield line
            while not attempt_folder(record, number + 1).exists():
                if any((folder / end).exists() for folder in (record, place) for end in ENDS):
                    return
                await asyncio.sleep(FOLLOW_SECONDS)

    def reply(self, status: ProcessStatus, request: AgentRequest) -> AgentReply:
        """See `ProcessAgent.reply`. Secrets are taken out of what is stored."""
        secrets = secret_values(self._environment(request))
        for name in (EVENTS, ERRORS):
            mask_file(request.record / name, secrets)
        plain = super().reply(status, request)
        reading = read_stream(request.record / EVENTS, self.reading())
        reason, error, pause = _verdict(plain, reading, status.ended_at or time.time())
        cost, is_estimate = self._cost(reading)
        return plain.model_copy(
            update={
                "text": mask(clean(reading.text), secrets),
                "exit_reason": reason,
                "error": mask(error, secrets) if error else None,
                "usage": reading.usage.model_dump() if reading.usage != Usage() else {},
                "cost_usd": cost,
                "cost_is_estimate": is_estimate,
                "num_turns": reading.turns,
                "retry_after_seconds": pause,
            }
        )

    def _environment(self, request: AgentRequest) -> dict[str, str]:
        own = {**self.variables(), **request.env}
        return agent_environment(os.environ, own, self.kept_variables())

    def _cost(self, reading: Reading) -> tuple[float | None, bool]:
        price = self.price or price_of(reading.model or self.model)
        if reading.cost_usd is not None or price is None or reading.usage == Usage():
            return reading.cost_usd, False
        return estimate_cost(reading.usage, price), True

    async def _attempts(self, request: AgentRequest) -> AgentReply:
        replies: list[AgentReply] = []
        limit = min(request.timeout_seconds, self.timeout_seconds or request.timeout_seconds)
        for number in range(self.retries + 1):
            place = attempt_folder(request.record, number)
            left = limit - sum(reply.duration_seconds for reply in replies)
            prompt = AGAIN + request.prompt if any(map(_begun, replies)) else request.prompt
            replies.append(
                await super().run(
                    request.model_copy(
                        update={
                            "record": place,
                            "prompt": prompt,
                            "timeout_seconds": max(left, PAUSE_STEP_SECONDS),
                        }
                    )
                )
            )
            left -= replies[-1].duration_seconds
            pause = self._pause(replies[-1], number) if left > 0 else None
            if pause is None or not await _rest(request.record, number, pause):
                break
        if request.record.is_dir():
            (request.record / DONE).touch()
        return _together(replies, (request.record / STOPPED).exists())

    def _pause(self, reply: AgentReply, number: int) -> float | None:
        """How long after its end the call is to be made anew; None: not at all."""
        if reply.exit_reason not in PASSING or number >= self.retries:
            return None
        pause = reply.retry_after_seconds
        if pause is None:
            pause = min(self.backoff_seconds * 2**number, self.longest_pause_seconds)
        return pause if pause <= self.longest_pause_seconds else None

    @asynccontextmanager
    async def _slot(self, limit: int) -> AsyncIterator[None]:
        """Hold one of the block's slots, a concurrency limit of the Prefect server."""
        name = f"{self.get_block_type_slug()}.{self._block_document_name or 'default'}"
        async with get_client() as client:
            await client.upsert_global_concurrency_limit_by_name(name, limit)
        async with concurrency(name, occupy=1):
            yield


class StreamWatch(Watch):
    """Ends calls that are silent for too long, and tools that go round in circles."""

    def __init__(self, path: Path, reading: Reading, silence_seconds: float | None) -> None:
        self._path = path
        self._reading = reading
        self._silence = silence_seconds
        self._reader = EventReader()
        self._at = 0
        # By this clock a machine's sleep is no silence.
        self._heard = time.monotonic()

    def look(self) -> Ending | None:
        """See `Watch.look`."""
        for chunk in read_chunks(self._path, self._at):
            self._at += len(chunk)
            self._heard = time.monotonic()
            for event in self._reader.feed(chunk):
                self._reading.feed(event)
        if self._reading.is_runaway:
            return "runaway"
        if self._silence is not None and time.monotonic() - self._heard > self._silence:
            return "silent"
        return None


def attempt_folder(record: Path, number: int) -> Path:
    """Where attempt `number` of a call is recorded; the first, 0, in the record itself."""
    return record if number == 0 else record / f"{RETRY}{number:02d}"


def attempts(record: Path) -> list[Path]:
    """The folders of a call's attempts, oldest first."""
    return [record, *sorted(record.glob(f"{RETRY}*"))]


async def _rest(record: Path, number: int, pause: float) -> bool:
    """Wait until the attempt after `number` is due; False if the call is stopped meanwhile."""
    if attempt_folder(record, number + 1).exists():
        return True
    ended = (await LocalLauncher().status(attempt_folder(record, number))).ended_at
    due = (ended or time.time()) + pause
    try:
        while not (record / STOPPED).exists():
            left = due - time.time()
            if left <= 0:
                return True
            await asyncio.sleep(min(left, PAUSE_STEP_SECONDS))
    except asyncio.CancelledError:
        (record / STOPPED).touch()
        raise
    return False


def _begun(reply: AgentReply) -> bool:
    return bool(reply.num_turns or reply.text)


def _verdict(
    plain: AgentReply, reading: Reading, ended_at: float
) -> tuple[ExitReason, str | None, float | None]:
    """Exit reason, error and pause, from how the process has ended and what its stream told."""
    if plain.exit_reason not in ("finished", "failed"):
        return plain.exit_reason, plain.error, None
    if plain.exit_reason == "finished" and reading.complete and reading.error is None:
        return "finished", None, None
    message = reading.error or plain.error or "the tool ended without an answer"
    match classify(message, reading.status):
        case Trouble.RATE_LIMIT:
            return "rate_limited", message, _asked_pause(message, reading, ended_at)
        case Trouble.NETWORK:
            return "unreachable", message, _asked_pause(message, reading, ended_at)
    return "failed", message, None


def _asked_pause(message: str, reading: Reading, ended_at: float) -> float | None:
    if reading.retry_after is not None:
        return reading.retry_after
    if reading.resets_at is not None:
        return max(0.0, reading.resets_at - ended_at)
    return seconds_until_reset(message, datetime.fromtimestamp(ended_at).astimezone())


def _together(replies: Sequence[AgentReply], stopped: bool) -> AgentReply:
    """One reply of all attempts: the last one's end, the sum of what they took."""
    last = replies[-1]
    changes: dict[str, object] = {}
    if stopped and last.exit_reason in PASSING:
        changes = {"exit_reason": "interrupted", "error": "the agent was ended from outside"}
    if len(replies) > 1:
        costs = [reply.cost_usd for reply in replies if reply.cost_usd is not None]
        usages = [Usage.model_validate(reply.usage) for reply in replies if reply.usage]
        changes |= {
            "text": next((reply.text for reply in reversed(replies) if reply.text), ""),
            "usage": sum(usages, Usage()).model_dump() if usages else {},
            "cost_usd": sum(costs) if costs else None,
            "cost_is_estimate": any(reply.cost_is_estimate for reply in replies),
            "num_turns": sum(reply.num_turns or 0 for reply in replies),
            "duration_seconds": sum(reply.duration_seconds for reply in replies),
        }
    return last.model_copy(update=changes)


async def _version(program: str, workdir: Path, env: dict[str, str]) -> str:
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
