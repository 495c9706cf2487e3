"""Budgets of sessions, kept where their runs are created and started: no door leads around it.

Counting and creating are one step: what creates runs of a session comes one after the other, so
that no number of requests at once gets past the bound. Each process has its own line; what an API
and a worker create at the very same moment may pass the bound by what they create at once.
"""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import UUID
from weakref import WeakValueDictionary

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterIdempotencyKey,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun
from pydantic import BaseModel, ValidationError

from wildloop.flows.errors import BudgetSpent
from wildloop.flows.models.run import Run
from wildloop.flows.models.session_options import Budget
from wildloop.flows.models.session_record import SessionRecord, SessionSummary
from wildloop.flows.spending import Limit, refusal, spending
from wildloop.flows.store.base import every_flow_run
from wildloop.flows.store.owners import find_session
from wildloop.flows.store.position import read_summary
from wildloop.flows.store.run_filter import RunFilter
from wildloop.flows.store.run_index import RunIndex
from wildloop.flows.store.run_mapping import EXPERIMENT_TAG, to_run
from wildloop.flows.store.seen import Seen
from wildloop.flows.store.states import session_status

REMEMBERED = 1000
ASK_AGAIN_SECONDS = 10.0
# Of each session the idempotency keys of the runs to be created, None for one without; no keys
# where runs that there are already are to be started.
Demands = Mapping[str | None, Sequence[str | None]]


class Bounded(BaseModel):
    """A session with a budget, by the id of its flow run."""

    session_id: str
    budget: Budget

    @property
    def runs(self) -> FlowRunFilter:
        """Prefect's filter of its runs; those of its front end's id from before it are not."""
        tags = [EXPERIMENT_TAG, f"session:{self.session_id}"]
        return FlowRunFilter(tags=FlowRunFilterTags(all_=tags))


class BudgetGate:
    """What runs pass on their way to being created or started; the stores of a process share one.

    Args:
        index: a copy of the runs (default: those of a session are asked for when they count).
        clock: seconds of a clock that is never set.
    """

    def __init__(
        self, index: RunIndex | Seen | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._index = index
        self._clock = clock
        self._lines: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._known: OrderedDict[str, tuple[Bounded | None, float]] = OrderedDict()

    @asynccontextmanager
    async def room(self, client: PrefectClient, demands: Demands) -> AsyncIterator[None]:
        """Hold the room for these runs while they are created or started.

        Raises:
            BudgetSpent: a session that goes on may not create so many, or start any.
        """
        sessions: dict[str, Bounded] = {}
        wanted: dict[str, list[str | None]] = {}
        for id, keys in demands.items():
            session = await self._bounded(client, id) if id is not None else None
            if session is not None:
                sessions[session.session_id] = session
                wanted.setdefault(session.session_id, []).extend(keys)
        async with AsyncExitStack() as lines:
            for session_id in sorted(sessions):
                line = self._lines.setdefault(session_id, asyncio.Lock())
                await lines.enter_async_context(line)
                await self._check(client, sessions[session_id], wanted[session_id])
            yield

    async def _bounded(self, client: PrefectClient, id: str) -> Bounded | None:
        """The session with its budget; None where there is nothing to keep.

        A session's budget never changes: it is read once. Any other id is asked for again after
        some seconds: another front end may begin a session with it.
        """
        found, until = self._known.get(id, (None, 0.0))
        if self._clock() < until:
            return found
        flow_run = await find_session(client, id)
        found = bounded_session(flow_run) if flow_run is not None else None
        is_its_own = flow_run is not None and str(flow_run.id) == id
        self._known[id] = (found, math.inf if is_its_own else self._clock() + ASK_AGAIN_SECONDS)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found

    async def _check(
        self, client: PrefectClient, session: Bounded, keys: Sequence[str | None]
    ) -> None:
        """Raise BudgetSpent if an active session may not do what is asked for."""
        flow_run = await self._flow_run(client, session)
        # After its end the user may do with its runs what he likes.
        if session_status(flow_run.state).is_terminal:
            return
        new_runs = len(keys) - await _count_known(client, [key for key in keys if key is not None])
        if keys and not new_runs:
            # A repeated request, which creates nothing.
            return
        record = await self._record(client, session)
        if record.closing is not None:
            raise BudgetSpent(
                f"session '{session.session_id}' comes to its end ({record.closing.reason}): no "
                "run is created or started any more"
            )
        count = await self._number(client, session)
        runs = await self._runs(client, session) if session.budget.gpu_hours is not None else []
        used = spending(record, runs).model_copy(update={"runs": count})
        limit = refusal(session.budget, used, new_runs)
        if limit is not None:
            raise BudgetSpent(_told(limit, new_runs))

    async def _flow_run(self, client: PrefectClient, session: Bounded) -> FlowRun:
        table = await self._index.table() if isinstance(self._index, Seen) else None
        known = table.session(session.session_id) if table is not None else None
        return known or await client.read_flow_run(UUID(session.session_id))

    async def _record(
        self, client: PrefectClient, session: Bounded
    ) -> SessionSummary | SessionRecord:
        if isinstance(self._index, Seen):
            key = f"summary {session.session_id}"
            return await self._index.recent(key, lambda: read_summary(client, session.session_id))
        return await read_summary(client, session.session_id)

    async def _number(self, client: PrefectClient, session: Bounded) -> int:
        table = await self._index.table() if isinstance(self._index, Seen) else None
        if table is None:
            return await client.count_flow_runs(flow_run_filter=session.runs)
        return table.counts(RunFilter(chat_session_id=session.session_id)).total

    async def _runs(self, client: PrefectClient, session: Bounded) -> list[Run]:
        if self._index is None:
            return [to_run(found) for found in await every_flow_run(client, session.runs)]
        known = await self._index.by_session(client)
        return list(known.get(session.session_id, []))


def bounded_session(flow_run: FlowRun) -> Bounded | None:
    """The session of a flow run with its budget; None if it has none."""
    try:
        budget = Budget.model_validate(flow_run.parameters.get("budget") or {})
    except ValidationError:
        # Anybody may start the deployment with any parameters: its flow fails on these.
        return None
    if budget == Budget():
        return None
    return Bounded(session_id=str(flow_run.id), budget=budget)


async def _count_known(client: PrefectClient, keys: Sequence[str]) -> int:
    """How many runs there are already under these keys."""
    if not keys:
        return 0
    wanted = FlowRunFilter(
        tags=FlowRunFilterTags(all_=[EXPERIMENT_TAG]),
        idempotency_key=FlowRunFilterIdempotencyKey(any_=list(keys)),
    )
    return await client.count_flow_runs(flow_run_filter=wanted)


def _told(limit: Limit, new_runs: int) -> str:
    text = f"budget.{limit.name}: {limit.used:.4g} of {limit.bound:g} are used"
    if limit.name != "runs":
        return text + ": this session may start no more runs: evaluate those that there are"
    if new_runs > 1 and limit.used < limit.bound:
        return text + (
            f", {new_runs} more are asked for: at most {limit.bound - limit.used:g} may be "
            "created: give fewer values, or a lower max_runs"
        )
    return text + ": this session may create no more runs: evaluate those that there are"
