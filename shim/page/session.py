"""One session: plan, time line, ledger, evidence, report, lessons."""

import asyncio
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Request, Response
from fastapi import Path as PathParameter
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import ValidationError

from wildloop.flows.errors import InvalidRequest, NotFound
from wildloop.flows.files.paths import SessionPaths
from wildloop.flows.models.answer import Question
from wildloop.flows.models.session import Session
from wildloop.flows.models.session_record import IterationRecord
from wildloop.flows.store.account import read_evidence
from wildloop.flows.store.kept import read_results
from wildloop.flows.store.memories import MemoryFilter
from wildloop.flows.store.tree import read_tree
from wildloop.flows.tree.order import placed
from wildloop.flows.turn.transcripts import prompt_of
from wildloop.shim.deps import Memories, Runs, Sessions, WithPrefect, WithSettings
from wildloop.shim.page.forms import read_form
from wildloop.shim.page.guard import PREFIX
from wildloop.shim.page.live import session_mark
from wildloop.shim.page.now import WithFeed
from wildloop.shim.page.render import page, render
from wildloop.shim.routers import report, wild
from wildloop.shim.routers.ask import WithQuestions

router = APIRouter(prefix="/sessions")
TEXT_LIMIT = 200_000
REPLY = "\n\n## Reply\n\n"


@router.get("/{session_id}")
async def session_page(
    request: Request, session_id: str, sessions: Sessions, feed: WithFeed
) -> Response:
    """The session, its parts loaded as they come into view."""
    found, look = await asyncio.gather(sessions.find(None, session_id), feed.latest())
    values = {"session": found, "look": look, "mark": session_mark(found)}
    return page(request, "session.html.j2", values)


@router.get("/{session_id}/plan")
async def plan_part(session_id: str, sessions: Sessions) -> Response:
    """The plan: phases with what is closed of them, and its text."""
    found = await sessions.find(None, session_id)
    text = await asyncio.to_thread(_text, _paths(found).tasks)
    return _part("part/plan.html.j2", session=found, plan=text)


@router.get("/{session_id}/timeline")
async def timeline_part(session_id: str, sessions: Sessions) -> Response:
    """Every call of the agent, in its order."""
    found = await sessions.find(None, session_id, "all")
    return _part("part/timeline.html.j2", session=found, calls=found.history)


@router.get("/{session_id}/calls/{label}")
async def call_part(session_id: str, label: str, sessions: Sessions) -> Response:
    """Prompt and reply of one call."""
    found = await sessions.find(None, session_id, "all")
    call = next((one for one in found.history if one.label == label), None)
    if call is None:
        raise NotFound("call of the agent", label)
    prompt, reply = await asyncio.to_thread(_said, call)
    return _part("part/call.html.j2", prompt=prompt, reply=reply)


@router.get("/{session_id}/iterations/{index}")
async def iteration_part(
    session_id: str,
    index: Annotated[int, PathParameter(ge=0, le=100_000)],
    sessions: Sessions,
    runs: Runs,
) -> Response:
    """What an iteration changed, and its runs."""
    view = await wild.get_iteration(session_id, index, sessions, runs)
    return _part("part/iteration.html.j2", view=view)


@router.get("/{session_id}/ledger")
async def ledger_part(session_id: str, sessions: Sessions) -> Response:
    """What was kept and discarded, and why."""
    own = await sessions.id_of(session_id)
    return _part("part/ledger.html.j2", results=await read_results(sessions, own))


@router.get("/{session_id}/tree")
async def tree_part(session_id: str, sessions: Sessions, runs: Runs) -> Response:
    """The changes of code, each below the one that it began with."""
    found = await sessions.find(None, session_id)
    view = await read_tree(sessions, runs, found)
    return _part("part/tree.html.j2", tree=view, rows=placed(view.nodes))


@router.get("/{session_id}/evidence")
async def evidence_part(session_id: str, sessions: Sessions, runs: Runs) -> Response:
    """The configurations with their seeds, levels and verdicts."""
    found = await sessions.find(None, session_id)
    account = await read_evidence(sessions, runs, found)
    return _part("part/evidence.html.j2", session=found, account=account)


@router.get("/{session_id}/lessons")
async def lessons_part(session_id: str, sessions: Sessions, memories: Memories) -> Response:
    """What later sessions are told of this one."""
    own = await sessions.id_of(session_id)
    found = await memories.select(MemoryFilter(session_id=own))
    return _part("part/lessons.html.j2", memories=found)


@router.get("/{session_id}/report")
async def report_page(
    session_id: str, sessions: Sessions, client: WithPrefect, settings: WithSettings
) -> Response:
    """The report with its plots: a page of its own, with a policy of its own."""
    return await report.get_report_page(session_id, sessions, client, settings)


@router.get("/{session_id}/report-text")
async def report_part(
    session_id: str, sessions: Sessions, client: WithPrefect, settings: WithSettings
) -> Response:
    """The report as text, for a first reading."""
    view = await report.get_report(session_id, sessions, client, settings)
    return _part("part/report.html.j2", text=view.report, session_id=view.session_id)


@router.get("/{session_id}/answers")
async def answers_part(session_id: str, sessions: Sessions, questions: WithQuestions) -> Response:
    """What was asked of the session, and its answers."""
    id = await sessions.id_of(session_id)
    told = await questions.read(sessions.client, id)
    return _part("part/answers.html.j2", id=id, answers=told.answers)


@router.post("/{session_id}/ask")
async def ask(
    request: Request, session_id: str, sessions: Sessions, runs: Runs, questions: WithQuestions
) -> Response:
    """Ask the session's agent."""
    form = await read_form(request)
    try:
        body = Question(question=form.get("question", ""))
    except ValidationError as error:
        raise InvalidRequest("Write what you want to know, in 4,000 characters.") from error
    asked = await questions.ask(sessions, runs, session_id, body.question)
    if "hx-request" not in request.headers:
        return RedirectResponse(f"{PREFIX}/sessions/{asked.session_id}", 303)
    told = await questions.read(sessions.client, asked.session_id)
    others = [one for one in told.answers if one.id != asked.id]
    return _part("part/answers.html.j2", id=asked.session_id, answers=[*others, asked])


def _part(name: str, **values: object) -> HTMLResponse:
    return HTMLResponse(render(name, values))


def _paths(session: Session) -> SessionPaths:
    return SessionPaths.of(session.workdir, session.session_id)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def _said(call: IterationRecord) -> tuple[str | None, str | None]:
    """Prompt and reply of a call as they were kept; None where they were not. Blocks."""
    prompt = prompt_of(call)
    whole = _text(Path(call.transcript)) if call.transcript else ""
    _, mark, reply = whole[len(prompt or "") :].partition(REPLY)
    return _cut(prompt), _cut(reply.strip()) if mark else None


def _cut(text: str | None) -> str | None:
    if text is None or len(text) <= TEXT_LIMIT:
        return text
    return f"{text[:TEXT_LIMIT]}\n(cut: the transcript has all)"
