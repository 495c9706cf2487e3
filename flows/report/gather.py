"""Where the facts of a report come from: Prefect and the session's folder."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from prefect.client.orchestration import PrefectClient

from wildloop.flows.files.manifest import busy_reason
from wildloop.flows.files.paths import SessionPaths
from wildloop.flows.keep.standing import account_of
from wildloop.flows.metrics.contract import first_contract
from wildloop.flows.models.evo_sweep import EvoSweepRecord
from wildloop.flows.models.run import Run
from wildloop.flows.project import LINKED, ProjectConfig
from wildloop.flows.protocol.plan import parse_plan
from wildloop.flows.report.facts import ReportFacts, SessionFacts
from wildloop.flows.report.trees import is_at_head, lines_of_the_best
from wildloop.flows.settings import Settings
from wildloop.flows.store.evo import EvoSweepStore
from wildloop.flows.store.memories import MemoryFilter, MemoryStore
from wildloop.flows.store.own_runs import own_runs
from wildloop.flows.store.runs import RunStore
from wildloop.flows.store.sweeps import sweep_texts

LESSONS = 200


async def gather(
    client: PrefectClient,
    settings: Settings,
    session: SessionFacts,
    project: ProjectConfig | None,
    is_active: bool,
) -> ReportFacts:
    """Read all that the report of a session tells."""
    text = await asyncio.to_thread(_plan_text, session)
    runs, evo_sweeps, lessons = await asyncio.gather(
        RunStore(client, settings).all(chat_session_id=session.id),
        EvoSweepStore(client, settings).of_session(session.id),
        MemoryStore(client, settings).select(MemoryFilter(session_id=session.id, limit=LESSONS)),
    )
    own = await own_runs(RunStore(client, settings), session.id, session.contract)
    seen: list[EvoSweepRecord] = [record.seen(is_active) for record in evo_sweeps]
    account = account_of(
        runs,
        session.iterations,
        session.contract or first_contract(project, text, session.goal),
        own=own,
        alpha=session.keep_alpha,
        kept=session.kept if session.keeps else None,
        sweep_texts=await sweep_texts(client, runs),
    )
    skipped = project.project.not_code if project is not None else []
    return ReportFacts(
        session=replace(
            session,
            setup=project.project.setup if project else (),
            linked=project.isolation.link if project else LINKED,
        ),
        runs=sorted(runs, key=lambda run: run.created_at),
        plan=parse_plan(text),
        account=account,
        busy=await asyncio.to_thread(_busy, runs),
        evo_sweeps=seen,
        lessons=lessons[::-1],
        lines=await lines_of_the_best(account, skipped),
        is_at_head=await is_at_head(account, session.branch, skipped),
        own=own,
    )


def _plan_text(session: SessionFacts) -> str:
    path = SessionPaths.of(session.workdir, session.id).tasks
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def _busy(runs: Sequence[Run]) -> dict[str, str]:
    """Why runs did not have their machine for themselves, by id."""
    reasons = {run.id: busy_reason(Path(run.run_dir)) for run in runs}
    return {id: reason for id, reason in reasons.items() if reason is not None}
