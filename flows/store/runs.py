"""Runs: flow runs of the deployment `experiment/wildloop`, created, read and steered."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Scheduled

from flows.errors import Conflict, InvalidRequest, InvalidTransition
from flows.models.run import (
    Checkout,
    Run,
    RunCounts,
    RunCreate,
    RunFacts,
    RunRerun,
    RunSpec,
    RunStatus,
    RunUpdate,
)
from flows.settings import CPU_QUEUE, RUNS_QUEUE
from flows.store.base import EXPERIMENT, PAGE, Store, every_flow_run
from flows.store.hosts import live_hosts
from flows.store.owners import find_session, folder_of, snapshot_for
from flows.store.run_filter import ARCHIVED_TAG, RunFilter
from flows.store.run_mapping import (
    LABEL_PREFIX,
    exact_checkout,
    readable_spec,
    run_tags,
    to_run,
    with_live_metrics,
)
from flows.store.states import cancel, ready_state
from flows.texts import UNSTORABLE, unstorable

ACTIVE = (StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)


class RunStore(Store):
    """Create, read and steer runs."""

    async def create(self, body: RunCreate, idempotency_key: str | None = None) -> Run:
        """Create a run, `queued` if `auto_start`, else `ready`.

        With an `idempotency_key` that was used before, the run created then is returned.

        Raises:
            Unavailable: no experiment deployment is registered.
            InvalidRequest: it asks for more slots than there are.
        """
        await self._check_slots(body.gpus)
        (placed,) = await self._placed([body])
        draft = self._draft(placed, idempotency_key)
        return to_run(await self.create_flow_run(EXPERIMENT, **draft))

    async def create_many(self, bodies: Mapping[str, RunCreate]) -> None:
        """Create runs in their order, by idempotency key: those that are there are not made twice.

        Raises:
            Unavailable, InvalidRequest: as `create`.
        """
        await self._check_slots(max((body.gpus for body in bodies.values()), default=0))
        placed = await self._placed(list(bodies.values()))
        drafts = [self._draft(body, key) for key, body in zip(bodies, placed, strict=True)]
        await self.create_flow_runs(EXPERIMENT, drafts)

    async def _placed(self, bodies: Sequence[RunCreate]) -> list[RunCreate]:
        """The runs with folder and code; those of one session and folder share one snapshot."""
        sessions: dict[str, FlowRun | None] = {}
        taken: dict[tuple[str | None, str], Checkout | None] = {}
        placed = []
        for body in bodies:
            id = body.chat_session_id
            if id is not None and id not in sessions:
                sessions[id] = await find_session(self.client, id)
            session = sessions.get(id) if id is not None else None
            workdir = body.workdir or folder_of(session, self.settings.workdir)
            if body.checkout is None and (id, workdir) not in taken:
                taken[id, workdir] = await snapshot_for(session, workdir)
            changed = {"workdir": workdir, "checkout": body.checkout or taken[id, workdir]}
            placed.append(body.model_copy(update=changed))
        return placed

    def _draft(self, body: RunCreate, idempotency_key: str | None) -> dict[str, Any]:
        """The fields of a run's flow run."""
        spec = RunSpec.model_validate(body.model_dump(exclude={"auto_start"}))
        stored = spec.model_dump(mode="json", exclude_defaults=True)
        if (place := unstorable(stored, "run")) is not None:
            raise InvalidRequest(f"{place}: {UNSTORABLE}: leave it out")
        return {
            "parameters": {"spec": stored},
            "name": spec.name,
            "tags": run_tags(spec),
            "state": Scheduled() if body.auto_start else ready_state(),
            "work_queue_name": RUNS_QUEUE if spec.gpus else CPU_QUEUE,
            "idempotency_key": idempotency_key,
        }

    async def _check_slots(self, gpus: int) -> None:
        if gpus <= 1:
            return
        hosts = await live_hosts(self.client)
        most = max((host.largest for host in hosts), default=gpus)
        if gpus > most:
            raise InvalidRequest(
                f"gpus: {gpus} are asked for, no host has more than {most}: ask for fewer, or "
                "start `wildloop up` with more --slots on a host without GPUs"
            )

    async def get(self, run_id: str) -> Run:
        """Read one run, with its metrics as they stand.

        Raises:
            NotFound: there is no such run.
        """
        run = to_run(await self.read_flow_run("run", run_id, EXPERIMENT))
        return (await with_live_metrics([run]))[0]

    async def select(self, wanted: RunFilter) -> list[Run]:
        """The runs that match, newest first."""
        runs: list[Run] = []
        offset, skipped = (wanted.offset, 0) if wanted.is_exact else (0, wanted.offset)
        while len(runs) < wanted.limit + skipped:
            page = min(PAGE, wanted.limit + skipped - len(runs))
            flow_runs = await self.client.read_flow_runs(
                flow_run_filter=wanted.query(),
                sort=FlowRunSort.EXPECTED_START_TIME_DESC,
                limit=page,
                offset=offset,
            )
            runs += [run for run in map(to_run, flow_runs) if wanted.matches(run)]
            offset += len(flow_runs)
            if len(flow_runs) < page:
                break
        return await with_live_metrics(runs[skipped:])

    async def all(
        self, *, sweep_id: str | None = None, chat_session_id: str | None = None
    ) -> list[Run]:
        """Every run of a sweep or session, oldest first."""
        wanted = RunFilter(limit=1000, sweep_id=sweep_id, chat_session_id=chat_session_id)
        runs: list[Run] = []
        while True:
            page = await self.select(wanted)
            runs += page
            if len(page) < wanted.limit:
                return list(reversed(runs))
            wanted = wanted.model_copy(update={"offset": wanted.offset + wanted.limit})

    async def counts(
        self, *, sweep_id: str | None = None, chat_session_id: str | None = None
    ) -> RunCounts:
        """How many runs of a sweep, of a session, or at all, have each status.

        The ended ones are counted by the server, so this takes as long after 10,000 runs.
        """
        wanted = RunFilter(sweep_id=sweep_id, chat_session_id=chat_session_id)
        still = [RunStatus.READY, RunStatus.FINISHED, RunStatus.FAILED, RunStatus.STOPPED]
        active, numbers = await asyncio.gather(
            self.active(wanted),
            asyncio.gather(
                *(
                    self.client.count_flow_runs(
                        flow_run_filter=wanted.model_copy(update={"status": status}).query()
                    )
                    for status in still
                )
            ),
        )
        return RunCounts.of(
            Counter(run.status for run in active) + Counter(dict(zip(still, numbers, strict=True)))
        )

    async def active(self, wanted: RunFilter | None = None) -> list[Run]:
        """Every run that waits or holds a slot, oldest first; `wanted` names a sweep or session."""
        found = await every_flow_run(self.client, (wanted or RunFilter()).query(ACTIVE))
        return [to_run(flow_run) for flow_run in found]

    async def start(self, run_id: str) -> Run:
        """Queue a `ready` run.

        Raises:
            InvalidTransition: it is not `ready`.
        """
        flow_run = await self.read_flow_run("run", run_id, EXPERIMENT)
        run = to_run(flow_run)
        if not run.status.can_become(RunStatus.QUEUED):
            raise InvalidTransition("run", run_id, run.status, RunStatus.QUEUED)
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

    async def rerun(
        self, run_id: str, body: RunRerun | None = None, idempotency_key: str | None = None
    ) -> Run:
        """Create a run that repeats another one: same command, parameters, seed and place.

        With an `idempotency_key` that was used before, the run created then is returned.

        Raises:
            InvalidRequest: `exact`, and the run's commit is not known.
        """
        body = body or RunRerun()
        flow_run = await self.read_flow_run("run", run_id, EXPERIMENT)
        spec, run = readable_spec(flow_run), to_run(flow_run)
        changed: dict[str, Any] = {"parent_run_id": run_id, "origin_alert_id": body.origin_alert_id}
        if body.command is not None:
            changed["command"] = body.command
        if body.exact and spec.checkout is None:
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
        return await self.get(run_id)

    async def archive(self, run_id: str, archived: bool = True) -> Run:
        """Hide a run from lists, or show it again; nothing of it is removed."""
        flow_run = await self.read_flow_run("run", run_id, EXPERIMENT)
        await self.write_facts(flow_run.id, RunFacts(archived=archived))
        tags = {*flow_run.tags} - {ARCHIVED_TAG} | ({ARCHIVED_TAG} if archived else set())
        await self.client.update_flow_run(flow_run.id, tags=sorted(tags))
        return await self.get(run_id)

    async def write_facts(self, flow_run_id: UUID, facts: RunFacts) -> None:
        """Add what execution found out to the run's labels."""
        labels = {
            LABEL_PREFIX + key: value for key, value in facts.model_dump(exclude_none=True).items()
        }
        await self.client.update_flow_run_labels(flow_run_id, labels)
