"""Sweeps: an artifact each (`sweep-<id>`), their runs found by tag."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar
from uuid import UUID, uuid4, uuid5

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import ArtifactCollection

from wildloop.flows.errors import Conflict, InvalidRequest, InvalidTransition, NotFound
from wildloop.flows.models.researcher_name import researcher_in
from wildloop.flows.models.run import Run, RunCreate, RunStatus
from wildloop.flows.models.sweep import (
    BEGINNINGS,
    Sweep,
    SweepCreate,
    SweepRecord,
    SweepRunCreate,
    SweepStatus,
    SweepUpdate,
    WildSweepCreate,
)
from wildloop.flows.project import load_project
from wildloop.flows.search.grid import grid_specs
from wildloop.flows.settings import Settings
from wildloop.flows.store import artifacts
from wildloop.flows.store.base import Store, parse_id
from wildloop.flows.store.budget import BudgetGate
from wildloop.flows.store.owners import KnownSessions, find_session, folder_of
from wildloop.flows.store.run_filter import RunFilter
from wildloop.flows.store.run_index import RunIndex
from wildloop.flows.store.runs import RunStore, Step
from wildloop.flows.store.seen import Seen
from wildloop.flows.store.states import is_ending
from wildloop.flows.store.sweep_mapping import (
    described,
    run_of,
    sweep_markdown,
    to_sweep,
    with_grid,
)

C = TypeVar("C", SweepCreate, WildSweepCreate)
PREFIX = "sweep-"
_KEYS = UUID("6f0d7a1e-3c0b-5f0e-9d1c-5a7b8c2e4f10")


class SweepStore(Store):
    """Create, read and steer sweeps.

    Args:
        client, settings, session_id: as of `Store`.
        seen: the live picture, which answers in Prefect's stead.
        gate, known: as of `RunStore`.
    """

    def __init__(
        self,
        client: PrefectClient,
        settings: Settings,
        seen: Seen | None = None,
        gate: BudgetGate | None = None,
        session_id: str | None = None,
        known: KnownSessions | None = None,
    ) -> None:
        super().__init__(client, settings, session_id=session_id)
        self.seen = seen
        self.known = known or KnownSessions()
        self.runs = RunStore(
            client, settings, self.deployment_ids, gate, session_id, known=self.known, seen=seen
        )

    async def create(self, body: SweepCreate, idempotency_key: str | None = None) -> Sweep:
        """Create a sweep and, unless it is a draft, the runs of its grid.

        With an `idempotency_key` that was used before, the sweep created then is returned; runs
        that a crash kept it from creating are made up for.

        Raises:
            InvalidRequest: a parameter or the command cannot be used.
            BudgetSpent: its session may not create so many runs; nothing is written then.
        """
        researcher = researcher_in(self.in_session(body).chat_session_id)
        body = await self._in_its_session(body)
        sweep_id = _new_id("grid", idempotency_key)
        is_new = idempotency_key is None or not await self.exists(sweep_id)
        if not is_new:
            record = await self.record(sweep_id)
        else:
            workdir = body.workdir or await self._folder(body.chat_session_id)
            metric, direction = self._primary_metric(Path(workdir))
            record = with_grid(
                SweepRecord(
                    **body.model_dump(exclude={"workdir", "status", "auto_start"}),
                    id=sweep_id,
                    is_wild=False,
                    workdir=workdir,
                    researcher=researcher,
                    created_at=datetime.now(UTC).timestamp(),
                    status=body.beginning,
                    metric=metric,
                    direction=direction,
                )
            )

        async def write() -> None:
            if is_new:
                await self.write(record, [])

        if record.status in (SweepStatus.PENDING, SweepStatus.RUNNING):
            await self._make_runs(record, write)
        else:
            await write()
        return await self.get(sweep_id)

    async def update(self, sweep_id: str, body: SweepUpdate) -> Sweep:
        """Change a sweep; its grid while it is a draft.

        Raises:
            Conflict: the grid can no longer be changed.
            InvalidTransition: the status asked for cannot follow.
        """
        sweep = await self.get(sweep_id)
        record = await self.record(sweep_id)
        if body.grid_fields and (record.is_wild or sweep.status is not SweepStatus.DRAFT):
            raise Conflict(
                f"sweep '{sweep_id}' is '{sweep.status}': {', '.join(body.grid_fields)} can be "
                "changed of drafts only; create another sweep, or add runs to this one"
            )
        given = body.model_dump(exclude_none=True, exclude={"status"})
        changed = SweepRecord.model_validate(record.model_dump() | given)
        if body.grid_fields:
            changed = with_grid(changed)
        if changed != record:
            await self.write(changed, await self.runs.all(sweep_id=sweep_id))
        if body.status is None or body.status is sweep.status:
            return await self.get(sweep_id)
        return await self._become(changed, sweep, body.status)

    async def _become(self, record: SweepRecord, sweep: Sweep, status: SweepStatus) -> Sweep:
        if status is SweepStatus.RUNNING:
            return await self.start(sweep.id)
        if status is SweepStatus.PENDING and sweep.status is SweepStatus.DRAFT:
            record.status = status
            await self._make_runs(record, lambda: self.write(record, []))
            return await self.refresh(sweep.id)
        if status is SweepStatus.CANCELED and sweep.status in BEGINNINGS:
            record.status = status
            await self.write(record, [])
            await self.runs.stop_all(RunFilter(sweep_id=sweep.id))
            return await self.refresh(sweep.id)
        raise InvalidTransition("sweep", sweep.id, sweep.status, status)

    async def start(self, sweep_id: str) -> Sweep:
        """Queue a sweep's runs that are `ready`; those of a draft are made first.

        Raises:
            InvalidTransition: it has none that could be started.
            BudgetSpent: its session may not create or start them; nothing is changed then.
        """
        record, runs = await self.record(sweep_id), await self.runs.all(sweep_id=sweep_id)
        sweep = to_sweep(record, runs)
        waiting = [run for run in runs if run.status is RunStatus.READY]
        if not waiting and sweep.status not in (SweepStatus.DRAFT, SweepStatus.PENDING):
            raise InvalidTransition("sweep", sweep_id, sweep.status, SweepStatus.RUNNING)
        made = not record.is_wild and record.status is SweepStatus.DRAFT
        record.status = SweepStatus.RUNNING

        async def write() -> None:
            await self.write(record, runs)

        if made:
            await self._make_runs(record, write)
        await self.runs.start_many(waiting, None if made else write)
        return await self.refresh(sweep_id)

    async def add_run(
        self, sweep_id: str, body: SweepRunCreate, idempotency_key: str | None = None
    ) -> Run:
        """Add a run to a sweep: with its own command, or the sweep's and `parameters`.

        Raises:
            Conflict: the sweep is a draft.
            InvalidRequest: there is no command, or it names another sweep.
        """
        record = await self.open_for_runs(sweep_id)
        if body.sweep_id not in (None, sweep_id):
            raise InvalidRequest(
                f"sweep_id: '{body.sweep_id}' is another sweep than '{sweep_id}' of the path: "
                "leave it out"
            )
        key = f"sweep-run:{sweep_id}:{idempotency_key}" if idempotency_key else None
        return await self.runs.create(run_of(record, body), key)

    async def open_for_runs(self, sweep_id: str) -> SweepRecord:
        """The record of a sweep that runs can be added to.

        Raises:
            NotFound: there is no such sweep.
            Conflict: it is a draft.
        """
        record = await self.record(sweep_id)
        if record.status is SweepStatus.DRAFT:
            raise Conflict(
                f"sweep '{sweep_id}' is a 'draft', which has no runs: start it, or make it "
                "'pending' by PUT /sweeps/{id}, then add runs"
            )
        return record

    async def _make_runs(self, record: SweepRecord, before: Step) -> None:
        """Create the runs of the grid; those that are there already are not made twice."""
        auto_start = record.status is SweepStatus.RUNNING
        bodies = {
            f"sweep:{record.id}:{number}": RunCreate(
                **spec.model_dump() | {"researcher": record.researcher}, auto_start=auto_start
            )
            for number, spec in enumerate(grid_specs(record))
        }
        # After a session's end the user may do with its sweeps what he likes.
        watched = None if await self._is_ending(record) else record

        async def goes_on() -> bool:
            if (await self.record(record.id)).status is SweepStatus.CANCELED:
                return False
            return watched is None or not await self._is_ending(watched)

        await self.runs.create_many(bodies, before, goes_on)
        if not await goes_on():
            # What was made while the others were being stopped.
            await self.runs.stop_all(RunFilter(sweep_id=record.id))

    async def _in_its_session(self, body: C) -> C:
        """The request with its session's own id, whatever name it is called by."""
        placed = self.in_session(body)
        if placed.chat_session_id is None:
            return placed
        session = await self.known.find(self.client, placed.chat_session_id)
        if session is None:
            return placed
        return placed.model_copy(update={"chat_session_id": str(session.id)})

    async def _is_ending(self, record: SweepRecord) -> bool:
        """Whether the sweep's session has ended, or was told to."""
        if record.chat_session_id is None:
            return False
        session = await find_session(self.client, record.chat_session_id)
        return session is not None and is_ending(session.state)

    async def create_wild(self, body: WildSweepCreate, idempotency_key: str | None = None) -> Sweep:
        """Create a sweep that an agent fills run by run.

        With an `idempotency_key` that was used before, the sweep created then is returned.
        """
        researcher = researcher_in(self.in_session(body).chat_session_id)
        body = await self._in_its_session(body)
        sweep_id = _new_id("wild", idempotency_key)
        if idempotency_key is not None and await self.exists(sweep_id):
            return await self.get(sweep_id)
        workdir = await self._folder(body.chat_session_id)
        metric, direction = self._primary_metric(Path(workdir))
        record = SweepRecord(
            id=sweep_id,
            name=body.name,
            goal=body.goal,
            chat_session_id=body.chat_session_id,
            researcher=researcher,
            workdir=workdir,
            created_at=datetime.now(UTC).timestamp(),
            metric=metric,
            direction=direction,
        )
        await self.write(record, [])
        return to_sweep(record, [])

    async def get(self, sweep_id: str) -> Sweep:
        """Read one sweep with its runs.

        Raises:
            NotFound: there is no such sweep.
        """
        record = await self.record(sweep_id)
        return to_sweep(record, await self.runs.all(sweep_id=sweep_id))

    async def exists(self, sweep_id: str) -> bool:
        """Whether there is a sweep with this id."""
        return bool(await self._latest(sweep_id))

    async def record(self, sweep_id: str) -> SweepRecord:
        """What is stored of one sweep; NotFound if there is none."""
        found = await self._latest(sweep_id)
        if found is None:
            raise NotFound("sweep", sweep_id)
        return SweepRecord.model_validate_json(artifacts.record_of(found))

    async def _latest(self, sweep_id: str) -> ArtifactCollection | None:
        """The sweep's artifact; what is not written as our ids are is not asked for."""
        try:
            is_ours = str(parse_id("sweep", sweep_id)) == sweep_id
        except NotFound:
            return None
        key = PREFIX + sweep_id
        return (await artifacts.latest(self.client, key)).get(key) if is_ours else None

    async def recent(self, limit: int = 100) -> list[Sweep]:
        """The sweeps, last changed first."""
        find = self._records
        records = await (
            self.seen.recent(f"sweeps {limit}", lambda: find(limit)) if self.seen else find(limit)
        )
        runs = await (self.seen or RunIndex()).by_sweep(self.client)
        return [to_sweep(record, runs.get(record.id, [])) for record in records]

    async def _records(self, limit: int) -> list[SweepRecord]:
        found = await artifacts.latest_by_prefix(self.client, PREFIX, limit)
        return [
            SweepRecord.model_validate_json(artifacts.record_of(artifact))
            for artifact in found.values()
        ]

    async def refresh(self, sweep_id: str, runs: list[Run] | None = None) -> Sweep:
        """Write the sweep's table anew, in its latest version: too small a step for another.

        Args:
            sweep_id: of the sweep.
            runs: its runs as they are now (default: they are asked for).

        Raises:
            NotFound: there is no such sweep.
        """
        if (artifact := await self._latest(sweep_id)) is None:
            raise NotFound("sweep", sweep_id)
        runs = await self.runs.all(sweep_id=sweep_id) if runs is None else runs
        return await self._rewrite(artifact, runs)

    async def refresh_many(self, runs: Mapping[str, list[Run]]) -> None:
        """As `refresh`, of several sweeps, by their ids; those that are gone are left out."""
        found = await artifacts.latest(self.client, *[PREFIX + id for id in sorted(runs)])
        await asyncio.gather(
            *(
                self._rewrite(artifact, runs[key.removeprefix(PREFIX)])
                for key, artifact in found.items()
            )
        )

    async def _rewrite(self, artifact: ArtifactCollection, runs: list[Run]) -> Sweep:
        record = SweepRecord.model_validate_json(artifacts.record_of(artifact))
        await artifacts.rewrite(
            self.client,
            artifact.latest_id,
            text=sweep_markdown(record, runs),
            record=record.model_dump_json(),
            description=described(record, runs),
        )
        return to_sweep(record, runs)

    async def write(self, record: SweepRecord, runs: list[Run]) -> None:
        """Write the sweep as a table of its runs."""
        await artifacts.write(
            self.client,
            PREFIX + record.id,
            text=sweep_markdown(record, runs),
            description=described(record, runs),
            record=record.model_dump_json(),
        )

    async def _folder(self, session_id: str | None) -> str:
        """Where runs of a sweep are executed that names no folder: as single runs are."""
        session = await self.known.find(self.client, session_id) if session_id else None
        return folder_of(session, self.settings.workdir)

    def _primary_metric(self, workdir: Path) -> tuple[str | None, str]:
        project = load_project(workdir)
        if project is None or project.metric is None:
            return None, "max"
        return project.metric.name, project.metric.direction


def _new_id(kind: str, idempotency_key: str | None) -> str:
    """The id of a new sweep; the same for the same key."""
    return str(uuid5(_KEYS, f"{kind}:{idempotency_key}") if idempotency_key else uuid4())


async def sweep_texts(client: PrefectClient, runs: Sequence[Run]) -> dict[str, str]:
    """Name and goal of the runs' sweeps, by id."""
    ids = sorted({run.sweep_id for run in runs if run.sweep_id})
    found = await artifacts.latest(client, *[PREFIX + id for id in ids])
    records = [SweepRecord.model_validate_json(artifacts.record_of(one)) for one in found.values()]
    return {one.id: f"{one.name} {one.goal}" for one in records}
