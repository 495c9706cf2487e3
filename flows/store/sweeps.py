"""Sweeps: an artifact each (`sweep-<id>`), their runs found by tag."""

from collections import Counter
from datetime import UTC, datetime
from uuid import uuid4

from flows.errors import NotFound
from flows.models.run import Run, RunCounts
from flows.models.sweep import (
    Sweep,
    SweepBest,
    SweepRecord,
    WildSweepCreate,
    sweep_status,
)
from flows.project import load_project
from flows.store import artifacts
from flows.store.base import Store
from flows.store.runs import RunStore
from flows.tables import run_table

PREFIX = "sweep-"


class SweepStore(Store):
    """Create and read sweeps."""

    async def create_wild(self, body: WildSweepCreate) -> Sweep:
        """Create a sweep that an agent fills run by run."""
        metric, direction = self._primary_metric()
        record = SweepRecord(
            id=str(uuid4()),
            name=body.name,
            goal=body.goal,
            chat_session_id=body.chat_session_id,
            workdir=str(self.settings.workdir),
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
        return to_sweep(record, await self._runs().all(sweep_id=sweep_id))

    async def exists(self, sweep_id: str) -> bool:
        """Whether there is a sweep with this id."""
        return bool(await artifacts.latest(self.client, PREFIX + sweep_id))

    async def record(self, sweep_id: str) -> SweepRecord:
        """What is stored of one sweep; NotFound if there is none."""
        found = await artifacts.latest(self.client, PREFIX + sweep_id)
        if not found:
            raise NotFound("sweep", sweep_id)
        return SweepRecord.model_validate_json(artifacts.record_of(found[PREFIX + sweep_id]))

    async def recent(self, limit: int = 100) -> list[Sweep]:
        """The sweeps, last changed first."""
        found = await artifacts.latest_by_prefix(self.client, PREFIX, limit)
        records = [
            SweepRecord.model_validate_json(artifacts.record_of(artifact))
            for artifact in found.values()
        ]
        by_sweep: dict[str, list[Run]] = {record.id: [] for record in records}
        if len(records) <= 5:
            for record in records:
                by_sweep[record.id] = await self._runs().all(sweep_id=record.id)
        else:
            for run in await self._runs().all():
                if run.sweep_id in by_sweep:
                    by_sweep[run.sweep_id].append(run)
        return [to_sweep(record, by_sweep[record.id]) for record in records]

    async def refresh(self, sweep_id: str) -> Sweep:
        """Write a new version of the sweep's table from its runs as they are now."""
        record = await self.record(sweep_id)
        runs = await self._runs().all(sweep_id=sweep_id)
        await self.write(record, runs)
        return to_sweep(record, runs)

    async def write(self, record: SweepRecord, runs: list[Run]) -> None:
        """Write the sweep as a table of its runs."""
        await artifacts.write(
            self.client,
            PREFIX + record.id,
            text=sweep_markdown(record, runs),
            description=f"Sweep {record.name}",
            record=record.model_dump_json(),
        )

    def _runs(self) -> RunStore:
        return RunStore(self.client, self.settings)

    def _primary_metric(self) -> tuple[str | None, str]:
        project = load_project(self.settings.workdir)
        if project is None or project.metric is None:
            return None, "max"
        return project.metric.name, project.metric.direction


def sweep_markdown(record: SweepRecord, runs: list[Run]) -> str:
    """The sweep as a table of its runs."""
    head = f"## {record.name}\n\n{record.goal}\n"
    return f"{head}\n{run_table(runs)}\n"


def to_sweep(record: SweepRecord, runs: list[Run]) -> Sweep:
    """The sweep as the API shows it, from its record and its runs."""
    progress = RunCounts.of(Counter(run.status for run in runs))
    return Sweep(
        **record.model_dump(exclude={"status"}),
        status=sweep_status(record.status, progress),
        run_ids=[run.id for run in runs],
        progress=progress,
        best=best_run(runs, record.metric, record.direction),
    )


def best_run(runs: list[Run], metric: str | None, direction: str) -> SweepBest | None:
    """The finished run with the best last value of `metric`; None where there is none."""
    scored = [
        (run.metrics[metric], run)
        for run in runs
        if metric and run.status == "finished" and metric in run.metrics
    ]
    if metric is None or not scored:
        return None
    pick = max if direction == "max" else min
    value, run = pick(scored, key=lambda pair: pair[0])
    return SweepBest(run_id=run.id, run_name=run.name, metric=metric, value=value)
