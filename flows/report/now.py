"""The report of a session as it stands."""

import asyncio
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from prefect.client.orchestration import PrefectClient

from wildloop.flows.models.session import Session
from wildloop.flows.models.session_record import SessionRecord
from wildloop.flows.project import load_project
from wildloop.flows.report.build import TITLE_LENGTH, Report, build
from wildloop.flows.report.facts import ReportFacts, SessionFacts
from wildloop.flows.report.gather import gather
from wildloop.flows.report.share import SharedForm, share
from wildloop.flows.settings import Settings


async def report_now(
    client: PrefectClient, settings: Settings, session: Session, record: SessionRecord
) -> Report:
    """The report of a session as it stands; nothing is written into its project."""
    gathered = await facts_now(client, settings, session, record)

    def make() -> Report:
        with tempfile.TemporaryDirectory(prefix="wildloop-report-") as folder:
            return build(gathered, Path(folder))

    return await asyncio.to_thread(make)


async def shared_now(
    client: PrefectClient,
    settings: Settings,
    session: Session,
    record: SessionRecord,
    form: SharedForm,
) -> bytes:
    """The report of a session as it stands, as a file that can be sent away."""
    gathered = await facts_now(client, settings, session, record)

    def make() -> bytes:
        with tempfile.TemporaryDirectory(prefix="wildloop-report-") as folder:
            text = build(gathered, Path(folder)).markdown
            return share(text, Path(folder), form, session.workdir, session.goal[:TITLE_LENGTH])

    return await asyncio.to_thread(make)


async def facts_now(
    client: PrefectClient, settings: Settings, session: Session, record: SessionRecord
) -> ReportFacts:
    """What the report of a session tells as it stands."""
    facts = SessionFacts(
        id=session.session_id,
        goal=session.goal,
        agent=session.agent,
        workdir=session.workdir,
        status=session.status.value,
        iterations=record.iterations,
        started_at=session.started_at,
        now=session.finished_at or datetime.now(UTC).timestamp(),
        ended=(record.ended_reason or session.error or "") if not session.is_active else "",
        branch=record.branch,
        base_commit=record.base_commit,
        ui_url=session.ui_url,
        keeps=session.keep == "better",
        keep_alpha=session.keep_alpha,
        kept=record.keep,
        contract=session.contract,
        sealed=record.sealed,
    )
    project = await asyncio.to_thread(load_project, Path(session.workdir))
    return await gather(client, settings, facts, project, session.is_active)
