"""The report at the end of a session."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from prefect.logging import get_run_logger

from wildloop.flows.git import repository
from wildloop.flows.loop.lessons import keep_findings
from wildloop.flows.loop.work import Work
from wildloop.flows.report.build import build
from wildloop.flows.report.facts import SessionFacts
from wildloop.flows.report.gather import gather
from wildloop.flows.session.evidence import note_shown
from wildloop.flows.session.tables import publish
from wildloop.flows.store import artifacts
from wildloop.flows.store.base import flow_run_url
from wildloop.flows.store.naming import REPORT
from wildloop.flows.store.own_runs import own_runs


async def write_report(work: Work) -> Path:
    """Write report.md, report.html, runs.csv and plots; commit them, keep the text as an artifact.

    Returns the path of report.md.
    """
    position, record, paths = work.position, work.position.record, work.position.paths
    await keep_findings(work)
    facts = SessionFacts(
        id=position.id,
        goal=position.spec.goal,
        agent=position.spec.agent,
        workdir=position.spec.workdir,
        status="ended",
        iterations=record.iterations,
        started_at=record.iterations[0].started_at if record.iterations else None,
        now=datetime.now(UTC).timestamp(),
        ended=record.ended_reason or "",
        branch=record.branch,
        base_commit=record.base_commit,
        ui_url=flow_run_url(position.id),
        keeps=position.spec.keep == "better",
        keep_alpha=position.spec.keep_alpha,
        kept=record.keep,
        contract=record.contract,
        sealed=record.sealed,
    )
    gathered = await gather(work.client, work.settings, facts, work.project, False)
    best = gathered.account.best
    record.best_run_id = best.measured[0].id if best is not None and best.measured else None
    own = await own_runs(work.stores.runs, position.id, record.contract)
    note_shown(position, gathered.account, gathered.runs, own)
    report = await asyncio.to_thread(build, gathered, paths.root)
    paths.report.write_text(report.markdown, encoding="utf-8")
    paths.page.write_text(report.html, encoding="utf-8")
    paths.runs_table.write_text(report.csv, encoding="utf-8")
    record.report_path = str(paths.report)
    await artifacts.write(
        work.client,
        position.key(REPORT),
        text=report.markdown,
        description=f"Report: {position.spec.goal[:200]}",
        flow_run_id=position.flow_run_id,
    )
    await position.save()
    await position.save_plan()
    await publish(position, gathered.account)
    try:
        await repository.commit_all(position.workdir, f"wild: report\n\nSession: {position.id}")
    except repository.GitError as error:
        get_run_logger().error("the report was not committed: %s", error)
    return paths.report
