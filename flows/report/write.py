"""The report at the end of a session."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from prefect.logging import get_run_logger

from flows import git
from flows.keep.texts import kept_section
from flows.report.build import build
from flows.report.facts import SessionFacts
from flows.report.gather import gather
from flows.session import ResearchSession
from flows.store import artifacts
from flows.store.base import flow_run_url
from flows.store.sessions import REPORT_KEY


async def write_report(session: ResearchSession) -> Path:
    """Write report.md, report.html, runs.csv and plots; commit them, keep the text as an artifact.

    Returns the path of report.md.
    """
    record, paths = session.record, session.paths
    facts = SessionFacts(
        id=session.id,
        goal=session.spec.goal,
        agent=session.spec.agent,
        workdir=session.spec.workdir,
        status="ended",
        iterations=record.iterations,
        started_at=record.iterations[0].started_at if record.iterations else None,
        now=datetime.now(UTC).timestamp(),
        ended=record.ended_reason or "",
        branch=record.branch,
        base_commit=record.base_commit,
        ui_url=flow_run_url(session.id),
        kept=kept_section(session.spec.keep, session.spec.keep_alpha, record.keep),
    )
    gathered = await gather(session.client, session.settings, facts, session.project, False)
    record.best_run_id = gathered.best.run_id if gathered.best else None
    report = await asyncio.to_thread(build, gathered, paths.root)
    paths.report.write_text(report.markdown, encoding="utf-8")
    paths.page.write_text(report.html, encoding="utf-8")
    paths.runs_table.write_text(report.csv, encoding="utf-8")
    record.report_path = str(paths.report)
    await artifacts.write(
        session.client,
        REPORT_KEY + session.id,
        text=report.markdown,
        description=f"Report: {session.spec.goal[:200]}",
        flow_run_id=session.flow_run_id,
    )
    await session.save()
    try:
        await git.commit_all(session.workdir, f"wild: report\n\nSession: {session.id}")
    except git.GitError as error:
        get_run_logger().error("the report was not committed: %s", error)
    return paths.report
