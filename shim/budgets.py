"""Budgets of sessions, kept where their runs are created and started.

An agent that creates runs by HTTP or MCP is held to its session's budget here, whatever its prompt
says. Counting and creating are one step: requests of the same session come one after the other, so
that no number of them at once gets past the bound. Each process that serves the API has its own
line; with several of them, and for the trials that an evolutionary sweep creates at the very same
moment, the bound may be passed by what they create at once.
"""

import asyncio
import math
import re
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any
from uuid import UUID
from weakref import WeakValueDictionary

from fastapi import Request
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterIdempotencyKey,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun
from pydantic import BaseModel, ValidationError

from flows.errors import BudgetSpent, NotFound
from flows.grid import expand
from flows.models.run import RunCreate
from flows.models.session_options import Budget
from flows.models.sweep import SweepCreate, SweepRecord, SweepStatus, SweepUpdate
from flows.settings import Settings
from flows.spending import refusal, spending
from flows.store.owners import find_session
from flows.store.run_index import RunIndex
from flows.store.run_mapping import EXPERIMENT_TAG
from flows.store.runs import RunStore
from flows.store.sessions import SessionStore
from flows.store.states import session_status
from flows.store.sweeps import SweepStore, grid_id

PATHS = re.compile(r"/(runs|sweeps)(?:/([^/]+)(?:/(start|queue|rerun|runs))?)?")
REMEMBERED = 1000
ASK_AGAIN_SECONDS = 10.0


class Demand(BaseModel):
    """What a request asks of a session's budget.

    `idempotency_key`: under which its run is stored, so that a repeated request is known.
    """

    session_id: str
    new_runs: int
    idempotency_key: str | None = None


class Bounded(BaseModel):
    """A session with a budget: the id of its flow run, and that of another front end if any."""

    session_id: str
    chat_session_id: str | None
    budget: Budget

    @property
    def ids(self) -> list[str]:
        """Under which its runs may be found."""
        return [id for id in (self.session_id, self.chat_session_id) if id is not None]


class BudgetGate:
    """The sessions whose runs are being created, of one app."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lines: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._known: OrderedDict[str, tuple[Bounded | None, float]] = OrderedDict()

    def line(self, session_id: str) -> asyncio.Lock:
        """What requests of this session wait for."""
        return self._lines.setdefault(session_id, asyncio.Lock())

    async def bounded(self, client: PrefectClient, id: str) -> Bounded | None:
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


def bounded_session(flow_run: FlowRun) -> Bounded | None:
    """The session of a flow run with its budget; None if it has none."""
    try:
        budget = Budget.model_validate(flow_run.parameters.get("budget") or {})
    except ValidationError:
        # Anybody may start the deployment with any parameters: its flow fails on these.
        return None
    if budget == Budget():
        return None
    other = flow_run.parameters.get("chat_session_id")
    return Bounded(session_id=str(flow_run.id), chat_session_id=other, budget=budget)


async def keep_budgets(request: Request) -> AsyncIterator[None]:
    """Dependency of every path: lets runs be created and started as far as their budget goes.

    Raises:
        BudgetSpent: it does not go so far.
    """
    demand = await demand_of(request)
    if demand is None:
        yield
        return
    gate: BudgetGate = request.app.state.budgets
    session = await gate.bounded(request.app.state.client, demand.session_id)
    if session is None:
        yield
        return
    async with gate.line(session.session_id):
        await check_budget(request, session, demand)
        yield


async def check_budget(request: Request, session: Bounded, demand: Demand) -> None:
    """Raise BudgetSpent if an active session may not do what is asked for."""
    session_id, budget = session.session_id, session.budget
    client: PrefectClient = request.app.state.client
    settings: Settings = request.app.state.settings
    index: RunIndex = request.app.state.run_index
    flow_run = await client.read_flow_run(UUID(session_id))
    # After its end the user may do with its runs what he likes.
    if session_status(flow_run.state).is_terminal or await _is_known(client, demand):
        return
    record = await SessionStore(client, settings).record(session_id)
    if record.closing is not None:
        raise BudgetSpent(
            f"session '{session_id}' comes to its end ({record.closing.reason}): no run is created "
            "or started any more"
        )
    runs = []
    if budget.gpu_hours is not None:
        known = await index.by_session(client)
        runs = [run for id in session.ids for run in known.get(id, [])]
    count = await _count_runs(client, session)
    used = spending(record, runs).model_copy(update={"runs": count})
    limit = refusal(budget, used, demand.new_runs)
    if limit is None:
        return
    text = f"budget.{limit.name}: {limit.used:.4g} of {limit.bound:g} are used"
    if limit.name == "runs" and demand.new_runs > 1 and limit.used < limit.bound:
        text += (
            f", {demand.new_runs} more are asked for: at most {limit.bound - limit.used:g} may be "
            "created: give fewer values, or a lower max_runs"
        )
    elif limit.name == "runs":
        text += ": this session may create no more runs: evaluate those that there are"
    else:
        text += ": this session may start no more runs: evaluate those that there are"
    raise BudgetSpent(text)


async def demand_of(request: Request) -> Demand | None:
    """What a request asks of which session; None if it asks for nothing.

    What is wrong with it otherwise is for its route to say.
    """
    found = PATHS.fullmatch(request.url.path)
    if request.method not in ("POST", "PUT") or found is None:
        return None
    kind, id, verb = found.groups()
    key = request.headers.get("idempotency-key")
    with suppress(ValidationError, NotFound):
        match request.method, kind, verb:
            case "POST", "runs", None if id is None:
                return await _of_run(request, key)
            case "POST", "runs", "start" | "queue" | "rerun":
                return await _of_old_run(request, id, verb, key)
            case "POST", "sweeps", None if id is None:
                return await _of_grid(request, key)
            case "POST", "sweeps", "runs":
                return await _of_sweep_run(request, id, key)
            case ("POST", "sweeps", "start") | ("PUT", "sweeps", None) if id is not None:
                return await _of_sweep_start(request, id)
    return None


async def _of_run(request: Request, key: str | None) -> Demand | None:
    spec = RunCreate.model_validate(await _body(request))
    session_id = spec.chat_session_id
    if session_id is None and spec.sweep_id is not None:
        session_id = (await _sweeps(request).record(spec.sweep_id)).chat_session_id
    if session_id is None:
        return None
    return Demand(session_id=session_id, new_runs=1, idempotency_key=key)


async def _of_old_run(request: Request, id: str, verb: str, key: str | None) -> Demand | None:
    run = await _runs(request).get(id)
    if run.chat_session_id is None:
        return None
    key = f"rerun:{id}:{key}" if key and verb == "rerun" else None
    new = 1 if verb == "rerun" else 0
    return Demand(session_id=run.chat_session_id, new_runs=new, idempotency_key=key)


async def _of_grid(request: Request, key: str | None) -> Demand | None:
    sweep = SweepCreate.model_validate(await _body(request))
    if sweep.chat_session_id is None or sweep.beginning is SweepStatus.DRAFT:
        return None
    size = len(expand(sweep.parameters, sweep.max_runs).configurations)
    # A grid's runs are stored under keys of its own; the first is there if any is.
    stored = f"sweep:{grid_id(key)}:0" if key else None
    return Demand(session_id=sweep.chat_session_id, new_runs=size, idempotency_key=stored)


async def _of_sweep_run(request: Request, id: str, key: str | None) -> Demand | None:
    body, record = await _body(request), await _sweeps(request).record(id)
    session_id = body.get("chat_session_id", record.chat_session_id)
    if not isinstance(session_id, str):
        return None
    key = f"sweep-run:{id}:{key}" if key else None
    return Demand(session_id=session_id, new_runs=1, idempotency_key=key)


async def _of_sweep_start(request: Request, id: str) -> Demand | None:
    if request.method == "PUT":
        status = SweepUpdate.model_validate(await _body(request)).status
        if status not in (SweepStatus.PENDING, SweepStatus.RUNNING):
            return None
    record = await _sweeps(request).record(id)
    if record.chat_session_id is None:
        return None
    return Demand(session_id=record.chat_session_id, new_runs=_runs_to_make(record))


def _runs_to_make(record: SweepRecord) -> int:
    if record.is_wild or record.status is not SweepStatus.DRAFT:
        return 0
    return len(expand(record.parameters, record.max_runs or 1).configurations)


async def _is_known(client: PrefectClient, demand: Demand) -> bool:
    """Whether the request is a repetition: it creates nothing."""
    if demand.idempotency_key is None:
        return False
    keys = FlowRunFilterIdempotencyKey(any_=[demand.idempotency_key])
    found = await client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            tags=FlowRunFilterTags(all_=[EXPERIMENT_TAG]), idempotency_key=keys
        ),
        limit=1,
    )
    return bool(found)


async def _count_runs(client: PrefectClient, session: Bounded) -> int:
    of_session = [f"session:{id}" for id in session.ids]
    tags = FlowRunFilterTags(all_=[EXPERIMENT_TAG], any_=of_session)
    return await client.count_flow_runs(flow_run_filter=FlowRunFilter(tags=tags))


def _runs(request: Request) -> RunStore:
    return RunStore(request.app.state.client, request.app.state.settings)


def _sweeps(request: Request) -> SweepStore:
    return SweepStore(request.app.state.client, request.app.state.settings)


async def _body(request: Request) -> dict[str, Any]:
    try:
        body: Any = await request.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
