"""Agents whose command prints its events as JSON Lines: Claude Code, OpenCode, Codex."""

import asyncio
import os
import shlex
import shutil
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import ClassVar

import httpx
from prefect.client.orchestration import get_client
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError, concurrency
from prefect.exceptions import ObjectAlreadyExists, PrefectHTTPStatusError
from pydantic import Field, SecretStr

from wildloop.blocks.agents.attempts import (
    DONE,
    ENDS,
    PASSING,
    PAUSE_STEP_SECONDS,
    STOPPED,
    attempt_folder,
    attempts,
    has_begun,
    rest,
    together,
    verdict,
)
from wildloop.blocks.agents.base import (
    AgentReply,
    AgentRequest,
    AgentUnavailable,
    agent_environment,
)
from wildloop.blocks.agents.live import EventShortener
from wildloop.blocks.agents.masking import mask, secret_values
from wildloop.blocks.agents.prices import Price, Usage, estimate_cost, price_of
from wildloop.blocks.agents.process import FOLLOW_SECONDS, ProcessAgent, Watch, end_call
from wildloop.blocks.agents.streams import Reading, clean, read_stream
from wildloop.blocks.agents.version import tool_version
from wildloop.blocks.agents.watch import StreamWatch
from wildloop.blocks.launchers.base import ProcessStatus
from wildloop.blocks.launchers.record import RECORD

EVENTS = "events.jsonl"
LEAST_PATIENCE_SECONDS = 60.0
NO_SLOT = (httpx.HTTPError, PrefectHTTPStatusError, ConcurrencySlotAcquisitionError)
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
        default=60.0,
        ge=0,
        title="Longest pause (seconds)",
        description="A rate limit that asks for a longer pause is reported instead of waited for: "
        "the session then waits, and says so. A tool that sleeps over a fault of the API for "
        "longer is ended (after a minute at least).",
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
        return StreamWatch(
            record / EVENTS,
            self.reading(),
            self.silence_seconds,
            max(self.longest_pause_seconds, LEAST_PATIENCE_SECONDS),
            lambda: self.trouble(record),
        )

    def trouble(self, record: Path) -> str | None:
        """The fault of the API that the tool sleeps over, where its events do not tell it."""
        return None

    async def check(self, workdir: Path) -> str:
        """See `Agent.check`: the tool is there and tells its version."""
        env = agent_environment(os.environ, self.variables(), self.kept_variables())
        program = shutil.which(self.executable, path=env.get("PATH"))
        if program is None:
            raise AgentUnavailable(
                f"'{self.executable}' is not on the worker's PATH: install it with "
                f"`{self.install_hint}`, or give its full path as Executable"
            )
        said = await tool_version(program, workdir, env)
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
        plain = super().reply(status, request)
        reading = read_stream(request.record / EVENTS, self.reading())
        if plain.exit_reason == "timeout" and reading.error is None:
            reading.error = self.trouble(request.record)
        reason, error, pause = verdict(plain, reading, status.ended_at or time.time())
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
            prompt = AGAIN + request.prompt if any(map(has_begun, replies)) else request.prompt
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
            if pause is None or not await rest(request.record, number, pause):
                break
        if request.record.is_dir():
            (request.record / DONE).touch()
        return together(replies, (request.record / STOPPED).exists())

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
            # Another call of the block may create it at this very moment.
            with suppress(ObjectAlreadyExists):
                await client.upsert_global_concurrency_limit_by_name(name, limit)
        async with concurrency(name, occupy=1):
            yield
