"""A session at work: what its steps, each a flow of its own, find in their context."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import State

from wildloop.blocks.agents.base import Agent
from wildloop.flows.errors import WildloopError
from wildloop.flows.loop.under_way import Sweeping
from wildloop.flows.models.keep import Decided
from wildloop.flows.models.session_record import IterationRecord
from wildloop.flows.prefect_inside.steps import Steps
from wildloop.flows.project import ProjectConfig
from wildloop.flows.prompt.context import PromptSources
from wildloop.flows.run.control import RunControl
from wildloop.flows.session.position import Position
from wildloop.flows.settings import Settings
from wildloop.flows.skills import SkillLibrary
from wildloop.flows.store.stores import Stores
from wildloop.flows.turn.caller import Caller


async def _nothing_left() -> None:
    """Nobody else has anything to merge."""


class StepFailed(WildloopError):
    """A step of the session ended by an unexpected error."""


@dataclass
class Work:
    """What the steps of a session work with; a step hands on only what is used.

    `agent` is there once preflight has started it, `sweeping` while a sweep is under way.

    Where several researchers work on a session each has such a work, and the session's holds them
    as `desks`. They decide one after the other, by the `line` that they share; `merge` is handed
    each decision to keep, and notes it once the change is together with what the others have kept
    meanwhile, or says in it why not; `merge_left` waits until that was done of all.

    `told`: the steps on whose pages stands what came of their runs.
    """

    client: PrefectClient
    settings: Settings
    position: Position
    stores: Stores
    control: RunControl
    library: SkillLibrary
    project: ProjectConfig | None
    agent: Agent | None = None
    resumed: bool = False
    sweeping: Sweeping | None = None
    steps: Steps = field(default_factory=Steps)
    told: set[str] = field(default_factory=set)
    desks: "list[Work]" = field(default_factory=list)
    line: asyncio.Lock = field(default_factory=asyncio.Lock)
    merge: Callable[[Decided], Awaitable[None]] | None = None
    merge_left: Callable[[], Awaitable[None]] = _nothing_left

    @property
    def keeps(self) -> bool:
        """Whether changes are kept or discarded by their runs."""
        return self.position.spec.keep == "better"

    def caller(self) -> Caller:
        """What it takes to call the agent."""
        assert self.agent is not None, "preflight starts the agent"
        return Caller(self.position, self.agent, self.control, self.stores, self.settings)

    def prompt_sources(self) -> PromptSources:
        """What its prompts are made from."""
        return PromptSources(
            self.position, self.stores, self.library, self.project, self.settings.server_url
        )

    async def step(self, label: str, flow_run: Awaitable[State[Any]]) -> IterationRecord:
        """Await a subflow that makes one agent call; return the record that it has left.

        Raises:
            StopRequested: the session is to end.
            StepFailed: the subflow ended by an error of its own and left no record.
        """
        iterations = self.position.record.iterations
        before = len(iterations)
        state = await flow_run
        self.control.check()
        # Others may have added theirs meanwhile.
        found = next((it for it in iterations[before:] if it.label == label), None)
        if found is None:
            raise StepFailed(f"{label} ended without a record: {state.message}")
        return found


_current: ContextVar[Work | None] = ContextVar("wildloop-work", default=None)


def current_work() -> Work:
    """The session that this flow is a step of.

    Raises:
        RuntimeError: outside a session: the subflows run only inside the research loop.
    """
    work = _current.get()
    if work is None:
        raise RuntimeError("this flow runs only as a step of the research-loop flow")
    return work


def enter_work(work: Work) -> None:
    """Make `work` the current one for this flow and its subflows."""
    _current.set(work)
