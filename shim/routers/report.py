"""A session's report over HTTP."""

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import HTMLResponse

from wildloop.flows.files.paths import SessionPaths
from wildloop.flows.models.session import Session
from wildloop.flows.report.build import TITLE_LENGTH, Report
from wildloop.flows.report.now import facts_now, report_now, shared_now
from wildloop.flows.report.page import POLICY
from wildloop.flows.report.ranking import ranking_csv, ranking_latex
from wildloop.flows.report.share import SharedForm, share
from wildloop.flows.text.redaction import redact
from wildloop.shim.apart import READ
from wildloop.shim.deps import Sessions, WithPrefect, WithSettings
from wildloop.shim.errors import RESPONSES
from wildloop.shim.models import ReportView

router = APIRouter(prefix="/wild/v2/report", tags=["wild"], responses=RESPONSES)


class TableForm(StrEnum):
    """The forms of the ranked table."""

    TEX = "tex"
    CSV = "csv"


SHARED_TYPES = {
    SharedForm.HTML: "text/html",
    SharedForm.MD: "text/markdown",
    SharedForm.PDF: "application/pdf",
}
TABLE_TYPES = {TableForm.TEX: "text/x-tex", TableForm.CSV: "text/csv"}
_TEXT: dict[str, Any] = {"schema": {"type": "string"}}
_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}

Now = Annotated[
    bool,
    Query(description="Make it anew from what is known now, also where there is a final one."),
]


@router.get("/{session_id}", summary="A session's report", openapi_extra=READ)
async def get_report(
    session_id: str,
    sessions: Sessions,
    client: WithPrefect,
    settings: WithSettings,
    now: Now = False,
) -> ReportView:
    """The final one; while the session goes on (or with `now`), one of how it stands."""
    session = await sessions.find(session_id)
    paths = SessionPaths.of(session.workdir, session.session_id)
    text = await _final(session, paths.report, now)
    if text is not None:
        page = str(paths.page) if paths.page.is_file() else None
        return ReportView(
            session_id=session.session_id,
            report=text,
            report_path=str(paths.report),
            page_path=page,
        )
    report = await _make(session, sessions, client, settings)
    return ReportView(session_id=session.session_id, report=report.markdown)


@router.get(
    "/{session_id}/html",
    summary="A session's report as a page",
    response_class=HTMLResponse,
    responses={200: {"content": {"text/html": {"schema": {"type": "string"}}}}},
    openapi_extra=READ,
)
async def get_report_page(
    session_id: str,
    sessions: Sessions,
    client: WithPrefect,
    settings: WithSettings,
    now: Now = False,
) -> HTMLResponse:
    """One page with its plots in it: no script, and nothing is loaded from elsewhere."""
    session = await sessions.find(session_id)
    paths = SessionPaths.of(session.workdir, session.session_id)
    text = await _final(session, paths.page, now)
    text = text or (await _make(session, sessions, client, settings)).html
    return HTMLResponse(text, headers={"Content-Security-Policy": POLICY})


@router.get(
    "/{session_id}/runs.csv",
    summary="All runs of a session as a table",
    response_class=Response,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
    openapi_extra=READ,
)
async def get_report_runs(
    session_id: str,
    sessions: Sessions,
    client: WithPrefect,
    settings: WithSettings,
    now: Now = False,
) -> Response:
    """A row a run, with a column for each parameter and each metric."""
    session = await sessions.find(session_id)
    paths = SessionPaths.of(session.workdir, session.session_id)
    text = await _final(session, paths.runs_table, now)
    text = text or (await _make(session, sessions, client, settings)).csv
    return Response(text, media_type="text/csv; charset=utf-8")


@router.get(
    "/{session_id}/share/{form}",
    summary="A session's report to send away",
    response_class=Response,
    responses={200: {"content": dict.fromkeys(SHARED_TYPES.values(), _BINARY)}},
    openapi_extra=READ,
)
async def get_shared_report(
    session_id: str,
    form: SharedForm,
    sessions: Sessions,
    client: WithPrefect,
    settings: WithSettings,
    now: Now = False,
) -> Response:
    """One file without links into this machine, its paths or secrets: html, md or pdf."""
    session = await sessions.find(session_id)
    paths = SessionPaths.of(session.workdir, session.session_id)
    text = await _final(session, paths.report, now)
    if text is None:
        record = await sessions.record(session.session_id)
        content = await shared_now(client, settings, session, record, form)
    else:
        title = session.goal[:TITLE_LENGTH]
        content = await asyncio.to_thread(share, text, paths.root, form, session.workdir, title)
    headers = {"Content-Security-Policy": POLICY}
    return Response(content, media_type=SHARED_TYPES[form], headers=headers)


@router.get(
    "/{session_id}/table/{form}",
    summary="A session's ranked table for a paper",
    response_class=Response,
    responses={200: {"content": dict.fromkeys(TABLE_TYPES.values(), _TEXT)}},
    openapi_extra=READ,
)
async def get_ranked_table(
    session_id: str,
    form: TableForm,
    sessions: Sessions,
    client: WithPrefect,
    settings: WithSettings,
) -> Response:
    """Configurations by their evidence, as LaTeX (tex) or with full digits (csv)."""
    session = await sessions.find(session_id)
    record = await sessions.record(session.session_id)
    facts = await facts_now(client, settings, session, record)
    make = {TableForm.TEX: ranking_latex, TableForm.CSV: ranking_csv}[form]
    return Response(redact(make(facts)), media_type=f"{TABLE_TYPES[form]}; charset=utf-8")


async def _make(
    session: Session, sessions: Sessions, client: WithPrefect, settings: WithSettings
) -> Report:
    record = await sessions.record(session.session_id)
    return await report_now(client, settings, session, record)


async def _final(session: Session, file: Path, now: bool) -> str | None:
    """The final text of an ended session; None where one is to be made."""
    return None if now or session.is_active else await asyncio.to_thread(_read, file)


def _read(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
