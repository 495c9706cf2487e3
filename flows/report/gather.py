"""Where the facts of a report come from: Prefect and the session's folder."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from prefect.client.orchestration import PrefectClient

from flows.metrics.primary import primary_metric
from flows.models.evo_sweep import EvoSweepRecord
from flows.models.run import Run
from flows.models.sweep import SweepRecord
from flows.paths import SessionPaths
from flows.project import ProjectConfig
from flows.protocol.plan import parse_plan
from flows.report.code import code_digests
from flows.report.facts import ReportFacts, SessionFacts
from flows.settings import Settings
from flows.store import artifacts
from flows.store.evo import EvoSweepStore
from flows.store.memories import MemoryFilter, MemoryStore
from flows.store.runs import RunStore
from flows.store.sweeps import PREFIX as SWEEP_PREFIX

LESSONS = 200


async def gather(
    client: PrefectClient,
    settings: Settings,
    session: SessionFacts,
    project: ProjectConfig | None,
    is_active: bool,
) -> ReportFacts:
    """Read all that the report of a session tells."""
    workdir, text = Path(session.workdir), await asyncio.to_thread(_plan_text, session)
    runs, evo_sweeps, lessons = await asyncio.gather(
        RunStore(client, settings).all(chat_session_id=session.id),
        EvoSweepStore(client, settings).of_session(session.id),
        MemoryStore(client, settings).select(MemoryFilter(session_id=session.id, limit=LESSONS)),
    )
    seen: list[EvoSweepRecord] = [record.seen(is_active) for record in evo_sweeps]
    return ReportFacts(
        session=replace(session, setup=project.project.setup if project else ()),
        runs=sorted(runs, key=lambda run: run.created_at),
        plan=parse_plan(text),
        metric=primary_metric(plan=text or None, project=project),
        sweep_texts=await _sweep_texts(client, runs),
        codes=await code_digests(workdir, runs),
        evo_sweeps=seen,
        lessons=lessons[::-1],
    )


def _plan_text(session: SessionFacts) -> str:
    path = SessionPaths.of(session.workdir, session.id).tasks
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


async def _sweep_texts(client: PrefectClient, runs: Sequence[Run]) -> dict[str, str]:
    """Name and goal of the runs' sweeps, by id."""
    ids = sorted({run.sweep_id for run in runs if run.sweep_id})
    found = await artifacts.latest(client, *[SWEEP_PREFIX + id for id in ids])
    records = [SweepRecord.model_validate_json(artifacts.record_of(one)) for one in found.values()]
    return {one.id: f"{one.name} {one.goal}" for one in records}
