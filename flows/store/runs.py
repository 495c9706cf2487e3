"""Runs: flow runs of the deployment `experiment/wildloop`, created, read and steered."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectAlreadyExists, PrefectHTTPStatusError
from prefect.states import Scheduled

from wildloop.flows.errors import Conflict, InvalidRequest, InvalidTransition
from wildloop.flows.files.place import mark_place
from wildloop.flows.models.compute import is_particular, why_unserved, wish_of
from wildloop.flows.models.own_runs import is_own
from wildloop.flows.models.researcher_name import researcher_in
from wildloop.flows.models.run import (
    Checkout,
    Run,
    RunCreate,
    RunFacts,
    RunRerun,
    RunSpec,
    RunStatus,
    RunUpdate,
)
from wildloop.flows.settings import CPU_QUEUE, RUNS_QUEUE, Settings
from wildloop.flows.store.base import EXPERIMENT, every_flow_run
from wildloop.flows.store.budget import BudgetGate
from wildloop.flows.store.burst import Burst
from wildloop.flows.store.hosts import live_hosts
from wildloop.flows.store.owners import (
    KnownSessions,
    compute_default,
    front_end_id,
    place_of,
    snapshot_for,
)
from wildloop.flows.store.run_filter import ARCHIVED_TAG, RunFilter
from wildloop.flows.store.run_index import RunIndex
from wildloop.flows.store.run_mapping import (
    LABEL_PREFIX,
    exact_checkout,
    readable_spec,
    run_tags,
    to_run,
)
from wildloop.flows.store.run_reader import RunReader
from wildloop.flows.store.seen import Seen
from wildloop.flows.store.states import (
    CANCELLABLE,
    WAITING,
    cancel,
    cancel_many,
    ready_state,
)
from wildloop.flows.store.stream import tell_changed
from wildloop.flows.text.storable import UNSTORABLE, unstorable


class Placed(NamedTuple):
    """A run to be created, in its session, and the id that a front end has given the session.

    `parent` is what draws it in the session's graph.
    """

    run: RunCreate
    front_end_id: str | None
    parent: UUID | None = None


Step = Callable[[], Awaitable[None]]
Check = Callable[[], Awaitable[bool]]


class RunStore(RunReader):
    """Create, read and steer runs.

    Args:
        client, settings, deployment_ids, session_id: as of `Store`.
        gate: what keeps the budgets of sessions, shared by the stores of one process.
        index, seen: as of `RunReader`.
        known: the sessions that were looked up, shared likewise.
        burst: what creates runs of the same moment together, shared likewise.
    """

    def __init__(
        self,
        client: PrefectClient,
        settings: Settings,
        deployment_ids: dict[str, UUID] | None = None,
        gate: BudgetGate | None = None,
        session_id: str | None = None,
        index: RunIndex | None = None,
        known: KnownSessions | None = None,
        seen: Seen | None = None,
        burst: Burst | None = None,
    ) -> None:
        super().__init__(client, settings, deployment_ids, session_id, index, seen)
        self.known = known or KnownSessions()
        self.gate = gate or BudgetGate()
        self.burst = burst

    async def create(self, body: RunCreate, idempotency_key: str | None = None) -> Run:
        """Create a run, `queued` if `auto_start`, else `ready`.

        One of those that Wildloop has made for a session is repeated outside of it: what a session
        is confirmed by is its own affair.

        With an `idempotency_key` that was used before, the run created then is returned.

        Raises:
            Unavailable: no experiment deployment is registered.
            InvalidRequest: it asks for more slots than there are.
            BudgetSpent: its session may create no more.
        """
        body = self.in_session(body)
        (placed,) = await self._placed([body])
        await self._check_served([placed.run])
        draft = self._draft(placed, idempotency_key)
        async with self.gate.room(self.client, {placed.run.chat_session_id: [idempotency_key]}):
            if self.burst is not None:
                return to_run(await self.burst.create_flow_run(self, EXPERIMENT, draft))
            return to_run(await self.create_flow_run(EXPERIMENT, **draft))

    async def create_many(
        self,
        bodies: Mapping[str, RunCreate],
        before: Step | None = None,
        goes_on: Check | None = None,
    ) -> None:
        """Create runs in their order, by idempotency key: those that are there are not made twice.

        Args:
            bodies: the runs by their keys.
            before: done once it is known that they may be created, and before the first one is.
            goes_on: asked between some and the next; no more are made once it says no.

        Raises:
            Unavailable, InvalidRequest, BudgetSpent: as `create`.
        """
        bodies = {key: self.in_session(body) for key, body in bodies.items()}
        placed = await self._placed(list(bodies.values()))
        await self._check_served([one.run for one in placed])
        drafts = [self._draft(body, key) for key, body in zip(bodies, placed, strict=True)]
        demands: dict[str | None, list[str | None]] = {}
        for key, one in zip(bodies, placed, strict=True):
            demands.setdefault(one.run.chat_session_id, []).append(key)
        async with self.gate.room(self.client, demands):
            if before is not None:
                await before()
            await self.create_flow_runs(EXPERIMENT, drafts, goes_on)

    async def _placed(self, bodies: Sequence[RunCreate]) -> list[Placed]:
        """The runs with session, folder and code; those of one session and folder share a snapshot.

        Whatever name a session is called by, its own id is kept.
        """
        sessions: dict[str, FlowRun | None] = {}
        taken: dict[tuple[str | None, str], Checkout | None] = {}
        defaults: dict[str, dict[str, Any]] = {}
        placed = []
        for body in bodies:
            id = body.chat_session_id
            if id is not None and id not in sessions:
                sessions[id] = await self.known.find(self.client, id)
            session = sessions.get(id) if id is not None else None
            number = researcher_in(id) or body.researcher
            workdir, code = await place_of(session, number, body.workdir, self.settings.workdir)
            if body.checkout is None and (id, code) not in taken:
                taken[id, code] = await snapshot_for(session, code, number)
            if workdir not in defaults:
                defaults[workdir] = compute_default(workdir)
            wish = {} if is_particular(body) else defaults[workdir]
            changed = {
                **(wish if body.gpus else {}),
                "workdir": workdir,
                # Without a thread: runs are made in the order in which they were asked for.
                "place": mark_place(Path(workdir)),
                "researcher": number if session is not None else None,
                "checkout": body.checkout or taken[id, code],
                "chat_session_id": str(session.id) if session is not None else id,
            }
            run = body.model_copy(update=changed)
            parent = await self.known.anchors.find(self.client, run.chat_session_id)
            placed.append(Placed(run, front_end_id(session), parent))
        return placed

    async def create_flow_run(self, flow_name: str, **fields: Any) -> FlowRun:
        """As `Store.create_flow_run`; without its parent where somebody has deleted that.

        Raises:
            Unavailable: as `deployment_id`.
        """
        try:
            return await super().create_flow_run(flow_name, **fields)
        except (PrefectHTTPStatusError, ObjectAlreadyExists):
            parent = fields.pop("parent_task_run_id", None)
            if parent is None:
                raise
            self.known.anchors.forget(parent)
            return await super().create_flow_run(flow_name, **fields)

    def _draft(self, placed: Placed, idempotency_key: str | None) -> dict[str, Any]:
        """The fields of a run's flow run."""
        body = placed.run
        spec = RunSpec.model_validate(body.model_dump(exclude={"auto_start"}))
        stored = spec.model_dump(mode="json", exclude_defaults=True)
        if (place := unstorable(stored, "run")) is not None:
            raise InvalidRequest(f"{place}: {UNSTORABLE}: leave it out")
        return {
            "parameters": {"spec": stored},
            "name": spec.name,
            "tags": run_tags(spec, placed.front_end_id),
            "state": Scheduled() if body.auto_start else ready_state(),
            "work_queue_name": RUNS_QUEUE if spec.gpus else CPU_QUEUE,
            "idempotency_key": idempotency_key,
            "parent_task_run_id": placed.parent,
        }

    async def _check_served(self, runs: Sequence[RunCreate]) -> None:
        """Refuse what no compute can serve, however long it waits."""
        asked = {(run.gpus, *wish_of(run).values()): run for run in runs}
        unusual = [run for run in asked.values() if run.gpus > 1 or is_particular(run)]
        hosts = await live_hosts(self.client) if unusual else []
        for run in unusual:
            why = why_unserved([offer for host in hosts for offer in host.offers], run)
            if why is not None:
                raise InvalidRequest(why)

    async def start(self, run_id: str) -> Run:
        """Queue a `ready` run; one that is queued already starts by itself, and stays as it is.

        Raises:
            InvalidTransition: it was launched, or has ended.
            BudgetSpent: its session may start no more.
        """
        flow_run = await self.read_flow_run("run", run_id, EXPERIMENT)
        run = to_run(flow_run)
        if run.status is RunStatus.QUEUED:
            return run
        _check_startable(run)
        async with self.gate.room(self.client, {run.chat_session_id: []}):
            return await self._resume(flow_run)

    async def start_many(self, runs: Sequence[Run], before: Step | None = None) -> None:
        """Queue runs in their order; what is no longer `ready` is left as it is.

        Args:
            runs: runs that were `ready` when they were read.
            before: done once it is known that they may be started, and before the first one is.

        Raises:
            BudgetSpent: as `start`.
        """
        async with self.gate.room(self.client, {run.chat_session_id: [] for run in runs}):
            if before is not None:
                await before()
            for run in runs:
                # Another request may have started or stopped it.
                with suppress(InvalidTransition):
                    flow_run = await self.read_flow_run("run", run.id, EXPERIMENT)
                    _check_startable(to_run(flow_run))
                    await self._resume(flow_run)

    async def _resume(self, flow_run: FlowRun) -> Run:
        queued_at = datetime.now(UTC).timestamp()
        # The label goes first: once resumed, a worker may write its own labels at any moment.
        await self.write_facts(flow_run.id, RunFacts(queued_at=queued_at))
        await self.client.resume_flow_run(flow_run.id)
        return to_run(await self.client.read_flow_run(flow_run.id))

    async def queue(self, run_id: str) -> Run:
        """Same as `start`: Wildloop starts queued runs by itself as slots free up."""
        return await self.start(run_id)

    async def stop(self, run_id: str) -> Run:
        """Stop a run; one that runs is `stopped` once its processes are gone.

        Raises:
            InvalidTransition: it has already ended.
        """
        flow_run = await self.read_flow_run("run", run_id, EXPERIMENT)
        run = to_run(flow_run)
        if run.status.is_terminal:
            raise InvalidTransition("run", run_id, run.status, RunStatus.STOPPED)
        await cancel(self.client, flow_run.id, "Stopped by request.")
        return to_run(await self.client.read_flow_run(flow_run.id))

    async def stop_all(self, wanted: RunFilter, *, running: bool = True) -> list[str]:
        """Stop all runs of a sweep or session, also those that are being created meanwhile.

        Args:
            wanted: names the sweep or session.
            running: also those that hold a slot, not only those that wait.

        Returns:
            The ids of the runs that were asked to end.
        """
        asked: dict[str, None] = {}
        types = CANCELLABLE if running else WAITING
        while True:
            found = await every_flow_run(self.client, wanted.query(types))
            ids = [one.id for one in found if str(one.id) not in asked]
            if not ids:
                return list(asked)
            await cancel_many(self.client, ids, "Stopped by request.")
            asked |= dict.fromkeys(map(str, ids))

    async def rerun(
        self, run_id: str, body: RunRerun | None = None, idempotency_key: str | None = None
    ) -> Run:
        """Create a run that repeats another one: same command, parameters, seed and place.

        With an `idempotency_key` that was used before, the run created then is returned.

        Raises:
            InvalidRequest: `exact`, and the run's commit is not known.
            BudgetSpent: its session may create no more.
        """
        body = body or RunRerun()
        flow_run = await self.read_flow_run("run", run_id, EXPERIMENT)
        spec, run = readable_spec(flow_run), to_run(flow_run)
        changed: dict[str, Any] = {"parent_run_id": run_id, "origin_alert_id": body.origin_alert_id}
        if is_own(run) or body.checkout is not None:
            changed["chat_session_id"] = None
        if body.command is not None:
            changed["command"] = body.command
        if body.gpuwrap_config is not None:
            changed["gpuwrap_config"] = body.gpuwrap_config
        if body.checkout is not None:
            changed |= {"checkout": body.checkout, "sweep_id": None}
        elif body.exact and spec.checkout is None:
            changed["checkout"] = exact_checkout(run)
        elif not body.exact and spec.checkout is not None and spec.checkout.snapshot is not None:
            changed["checkout"] = None
        copy = spec.model_copy(update=changed)
        return await self.create(
            RunCreate.model_validate(copy.model_dump() | {"auto_start": body.auto_start}),
            f"rerun:{run_id}:{idempotency_key}" if idempotency_key else None,
        )

    async def update(self, run_id: str, body: RunUpdate) -> Run:
        """Change a run that was not yet launched; its name and sweep at any time.

        Raises:
            Conflict: a field was given that can no longer be changed.
        """
        flow_run = await self.read_flow_run("run", run_id, EXPERIMENT)
        run, spec = to_run(flow_run), readable_spec(flow_run)
        given = body.model_dump(exclude_none=True)
        if "sweep_id" in body.model_fields_set:
            given["sweep_id"] = body.sweep_id
        late = {"command", "timeout_seconds", "priority"} & set(given)
        if late and run.status not in (RunStatus.READY, RunStatus.QUEUED):
            raise Conflict(
                f"run '{run_id}' is '{run.status}': {', '.join(sorted(late))} cannot be changed "
                "once it is launched; use rerun"
            )
        changed = spec.model_copy(update=given)
        # Prefect lets parameters of a flow run be changed only while it is scheduled or later by
        # no rule at all: the worker reads them when it claims the run.
        await self.client.update_flow_run(
            flow_run.id,
            name=changed.name,
            parameters={"spec": changed.model_dump(mode="json", exclude_defaults=True)},
            tags=sorted({*flow_run.tags} - {*run_tags(spec)} | {*run_tags(changed)}),
        )
        tell_changed(flow_run.id)
        return await self.get(run_id)

    async def archive(self, run_id: str, archived: bool = True) -> Run:
        """Hide a run from lists, or show it again; nothing of it is removed."""
        flow_run = await self.read_flow_run("run", run_id, EXPERIMENT)
        await self.write_facts(flow_run.id, RunFacts(archived=archived))
        tags = {*flow_run.tags} - {ARCHIVED_TAG} | ({ARCHIVED_TAG} if archived else set())
        await self.client.update_flow_run(flow_run.id, tags=sorted(tags))
        tell_changed(flow_run.id)
        return await self.get(run_id)

    async def write_facts(self, flow_run_id: UUID, facts: RunFacts) -> None:
        """Add what execution found out to the run's labels."""
        labels = {
            LABEL_PREFIX + key: value for key, value in facts.model_dump(exclude_none=True).items()
        }
        await self.client.update_flow_run_labels(flow_run_id, labels)


def _check_startable(run: Run) -> None:
    if not run.status.can_become(RunStatus.QUEUED):
        raise InvalidTransition("run", run.id, run.status, RunStatus.QUEUED)
