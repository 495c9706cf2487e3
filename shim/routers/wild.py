"""Sessions over HTTP."""

import asyncio
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as PathParameter

from wildloop.flows.errors import NotFound
from wildloop.flows.files.paths import SessionPaths
from wildloop.flows.git.current import current_difference
from wildloop.flows.git.history import difference
from wildloop.flows.models.contract import ContractChange, SessionContract
from wildloop.flows.models.history import CurrentDifference, IterationView
from wildloop.flows.models.keep import ResultsView
from wildloop.flows.models.session import (
    History,
    ResolveEvents,
    Session,
    SessionCommand,
    SessionEvent,
    SteerCommand,
)
from wildloop.flows.models.session_options import SessionStart
from wildloop.flows.models.take import NightView
from wildloop.flows.models.tree import TreeView
from wildloop.flows.project import load_project
from wildloop.flows.session.log import entry_markdown
from wildloop.flows.store.kept import read_results
from wildloop.flows.store.tree import read_tree
from wildloop.flows.take.night import read_night
from wildloop.flows.text.redaction import Redactor
from wildloop.shim.apart import OWN, READ
from wildloop.shim.deps import ClusterAccess, Runs, Sessions, WithDisks, WithSeen
from wildloop.shim.door import check_at_the_door
from wildloop.shim.errors import RESPONSES
from wildloop.shim.models import LogView, PlanView, SystemHealth
from wildloop.shim.up_note import read_up_note

router = APIRouter(prefix="/wild/v2", tags=["wild"], responses=RESPONSES)


@router.get(
    "/system-health",
    summary="Runs by status, and room for more",
    response_model=SystemHealth,
    openapi_extra=READ,
)
async def system_health(
    cluster: ClusterAccess, runs: Runs, disks: WithDisks, seen: WithSeen
) -> Response:
    """Needs no token."""

    async def read() -> str:
        counts, capacity = await asyncio.gather(runs.counts(), cluster.capacity())
        return SystemHealth(
            running=counts.launching + counts.running,
            queued=counts.queued,
            ready=counts.ready,
            completed=counts.completed,
            failed=counts.failed,
            total=counts.total,
            max_concurrent=capacity.g,
            max_new_runs=capacity.max_new_runs,
            warnings=disks.warnings(),
        ).model_dump_json()

    # Written once for all who ask: every agent does, at each of its steps.
    content = await seen.recent("system-health", read, of_table=True)
    return Response(content, media_type="application/json")


@router.post("/start", summary="Start a session", status_code=201)
async def start_session(body: SessionStart, sessions: Sessions) -> Session:
    """Plans, experiments, reflects and reports by itself.

    What is known to be wrong is refused at once, all of it: 422, or 409 for another session.
    """
    await check_at_the_door(body, sessions, is_one_host=read_up_note() is not None)
    return await sessions.start(body)


@router.post("/stop", summary="Stop a session")
async def stop_session(sessions: Sessions, body: SessionCommand | None = None) -> Session:
    """Its waiting runs are stopped, its running ones too with `runs: stop`."""
    command = body or SessionCommand()
    found = await sessions.find(command.chat_session_id, command.session_id)
    return await sessions.stop(found.session_id, command.runs)


@router.post("/pause", summary="Pause a session")
async def pause_session(sessions: Sessions, body: SessionCommand | None = None) -> Session:
    """The agent is ended; running experiments go on."""
    command = body or SessionCommand()
    found = await sessions.find(command.chat_session_id, command.session_id)
    return await sessions.pause(found.session_id)


@router.post("/resume", summary="Resume a paused session")
async def resume_session(sessions: Sessions, body: SessionCommand | None = None) -> Session:
    """It goes on where it was; nothing is planned anew."""
    command = body or SessionCommand()
    found = await sessions.find(command.chat_session_id, command.session_id)
    return await sessions.resume(found.session_id)


@router.post("/steer", summary="Tell a session's agent something")
async def steer_session(body: SteerCommand, sessions: Sessions) -> Session:
    """The agent reads it in its next prompt; a waiting session wakes."""
    found = await sessions.find(body.chat_session_id, body.session_id)
    return await sessions.steer(found.session_id, body.context)


@router.get("/status", summary="A session's progress", openapi_extra=READ)
async def session_status(
    sessions: Sessions,
    chat_session_id: str | None = None,
    session_id: str | None = None,
    history: Annotated[
        History, Query(description="`all`: every call of the agent, whole; else the last in short.")
    ] = "recent",
) -> Session:
    """By either id; with neither, the one active session, else the latest."""
    return await sessions.find(chat_session_id, session_id, history)


@router.get("/sessions", summary="List sessions, newest first", openapi_extra=READ)
async def list_sessions(
    sessions: Sessions, limit: Annotated[int, Query(ge=1, le=200)] = 50
) -> list[Session]:
    """Every session with its progress, without the calls of its agent."""
    return await sessions.recent(limit)


@router.get("/contract/{session_id}", summary="What a session compares by", openapi_extra=READ)
async def get_contract(session_id: str, sessions: Sessions) -> SessionContract:
    """Metric, direction, target, baseline command, seed parameter, evaluation and hold-out."""
    return (await sessions.find(session_id)).contract


@router.put("/contract/{session_id}", summary="Change what a session compares by")
async def set_contract(session_id: str, body: ContractChange, sessions: Sessions) -> Session:
    """For the user alone. A new comparison begins; a session that goes on takes it up soon."""
    found = await sessions.find(session_id)
    return await sessions.set_contract(found.session_id, body)


@router.get("/plan/{session_id}", summary="A session's plan (tasks.md)", openapi_extra=READ)
async def get_plan(session_id: str, sessions: Sessions) -> PlanView:
    """The plan as it stands, and how many tasks are open."""
    session = await sessions.find(session_id)
    text = _read(_paths(session).tasks) or ""
    return PlanView(session_id=session.session_id, plan=text, tasks=session.tasks)


@router.get("/iteration-log/{session_id}", summary="A session's iteration log", openapi_extra=READ)
async def get_iteration_log(session_id: str, sessions: Sessions) -> LogView:
    """What each iteration has done."""
    session = await sessions.find(session_id)
    return LogView(session_id=session.session_id, log=_read(_paths(session).log) or "")


@router.get(
    "/results/{session_id}",
    summary="What a session kept and discarded, and why",
    openapi_extra=READ,
)
async def get_results(session_id: str, sessions: Sessions) -> ResultsView:
    """The rows of results.tsv; none unless the session was started with `keep: better`."""
    found = await sessions.find(session_id)
    return await read_results(sessions, found.session_id)


@router.get("/tree/{session_id}", summary="A session's changes as a tree", openapi_extra=READ)
async def get_tree(session_id: str, sessions: Sessions, runs: Runs) -> TreeView:
    """Each change of code: what it began with, what it measured, and what became of it."""
    return await read_tree(sessions, runs, await sessions.find(session_id))


@router.get("/kept/{session_id}", summary="What a session has kept, to be taken home")
async def get_kept(session_id: str, sessions: Sessions, runs: Runs) -> NightView:
    """Each kept idea with its commits, its numbers as the account has them, and its runs."""
    return await read_night(sessions, runs, await sessions.find(session_id))


@router.get(
    "/iterations/{session_id}/{index}", summary="What one iteration did", openapi_extra=READ
)
async def get_iteration(
    session_id: str,
    index: Annotated[int, PathParameter(ge=0, le=100_000)],
    sessions: Sessions,
    runs: Runs,
) -> IterationView:
    """Its calls (reflections after it among them), the runs it created, and what it changed.

    Iteration 0 is planning.
    """
    session = await sessions.find(session_id, history="all")
    calls = [it for it in session.history if it.index == index]
    if not calls:
        raise NotFound(
            f"iteration of session '{session.session_id}' (it has begun {session.iteration} "
            "iterations)",
            str(index),
        )
    ids = {id for it in calls for id in it.run_ids}
    own = await runs.all(chat_session_id=session.session_id) if ids else []
    work = [it for it in calls if it.kind != "reflection"] or calls
    return IterationView(
        session_id=session.session_id,
        index=index,
        calls=calls,
        log="\n".join(entry_markdown(it) for it in calls),
        tags=[it.tag for it in calls if it.tag],
        difference=await difference(Path(session.workdir), work),
        runs=[run for run in own if run.id in ids],
    )


@router.get(
    "/diff/{session_id}", summary="What has changed in a session's project", openapi_extra=READ
)
async def get_diff(
    session_id: str,
    request: Request,
    sessions: Sessions,
    since: Annotated[
        Literal["iteration", "start"],
        Query(description="The last call that was committed, or the session's beginning."),
    ] = "iteration",
    path: Annotated[str | None, Query(max_length=4096, description="Only this file.")] = None,
) -> CurrentDifference:
    """What the agent is doing to the code right now: uncommitted changes and new files too."""
    session = await sessions.find(session_id)
    record = await sessions.record(session.session_id)
    commits = [it.commit for it in record.iterations if it.commit]
    base = commits[-1] if commits and since == "iteration" else record.base_commit
    workdir = Path(session.workdir)
    project = load_project(workdir)
    protected = project.protected_patterns if project is not None else []
    found = await current_difference(workdir, base, protected, path)
    redactor: Redactor = request.app.state.redactor
    return found.model_copy(update={"session_id": session.session_id, "diff": redactor(found.diff)})


@router.get("/events/{session_id}", summary="What has happened in a session", openapi_extra=READ)
async def get_events(session_id: str, sessions: Sessions) -> list[SessionEvent]:
    """Ended runs and pending steers, oldest first."""
    return await sessions.events(await sessions.id_of(session_id))


@router.post("/events/{session_id}/resolve", summary="Mark events as dealt with", openapi_extra=OWN)
async def resolve_events(
    session_id: str, body: ResolveEvents, sessions: Sessions
) -> list[SessionEvent]:
    """The events, with `resolved` set."""
    return await sessions.resolve(await sessions.id_of(session_id), body.event_ids)


def _paths(session: Session) -> SessionPaths:
    return SessionPaths.of(session.workdir, session.session_id)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
