"""The research loop: a session from preflight to report. Read `research_loop` top to bottom."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import flow, tags
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import Abort, Pause
from prefect.logging import get_run_logger
from prefect.runtime import flow_run as runtime
from prefect.states import Cancelled, Completed, Failed
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from blocks.agents.registry import load_agent
from flows import checkout, git
from flows.calls import end_call_left
from flows.closing import close_session
from flows.control import RunControl, StopReason, StopRequested, current_control
from flows.effects import refresh_sweeps
from flows.errors import PreflightFailed, WildloopError, faults_of
from flows.escalation import Rung, escalation
from flows.guards.isolation import isolated
from flows.iteration import next_iteration, rest
from flows.keep.settle import settle
from flows.leftovers import close_steps, continue_numbering
from flows.models.session_options import (
    AgentName,
    AutonomyLevel,
    AwayMinutes,
    BranchMode,
    Budget,
    ChatSession,
    EvoSweep,
    Goal,
    Isolation,
    IterationTimeout,
    KeepAlpha,
    KeepMode,
    MaxIterations,
    SessionSpec,
    WaitSeconds,
    Workdir,
    described,
)
from flows.models.session_record import Phase
from flows.planning import PlanningFailed, plan_session
from flows.preflight import preflight
from flows.project import load_project
from flows.reflection import due_gates, reflect
from flows.report.write import write_report
from flows.session import ResearchSession, enter_session
from flows.settings import Settings
from flows.skills import SkillLibrary, shipped_skills_path
from flows.spending import Limit, reached_limit, spending
from flows.store.sessions import SessionStore, stop_runs
from flows.sweeping import end_sweep, leave_sweep
from flows.transcripts import NOT_COMMITTED

FAILURES_IN_A_ROW = 3


class SessionFailed(Exception):
    """The session cannot go on; the text is its reason."""


@flow(name="research-loop", persist_result=False)
async def research_loop(
    goal: Goal = described("goal"),
    workdir: Workdir = described("workdir"),
    agent: AgentName = described("agent"),
    max_iterations: MaxIterations = described("max_iterations"),
    wait_seconds: WaitSeconds = described("wait_seconds"),
    iteration_timeout_seconds: IterationTimeout = described("iteration_timeout_seconds"),
    autonomy_level: AutonomyLevel = described("autonomy_level"),
    away_duration_minutes: AwayMinutes = described("away_duration_minutes"),
    evo_sweep_enabled: EvoSweep = described("evo_sweep_enabled"),
    branch: BranchMode = described("branch"),
    budget: Budget | None = described("budget"),
    chat_session_id: ChatSession = described("chat_session_id"),
    keep: KeepMode = described("keep"),
    keep_alpha: KeepAlpha = described("keep_alpha"),
    isolation: Isolation = described("isolation"),
) -> State[Any]:
    """Carry out a research session: plan, experiment, wait, reflect, report."""
    given = {
        "goal": goal,
        "workdir": workdir,
        "agent": agent,
        "max_iterations": max_iterations,
        "wait_seconds": wait_seconds,
        "iteration_timeout_seconds": iteration_timeout_seconds,
        "autonomy_level": autonomy_level,
        "away_duration_minutes": away_duration_minutes,
        "evo_sweep_enabled": evo_sweep_enabled,
        "branch": branch,
        "budget": budget,
        "chat_session_id": chat_session_id,
        "keep": keep,
        "keep_alpha": keep_alpha,
        "isolation": isolation,
    }
    try:
        # What was not given arrives as the description itself, or as None.
        spec = SessionSpec.of_parameters(
            {name: value for name, value in given.items() if not isinstance(value, FieldInfo)}
        )
    except ValidationError as error:
        return Failed(message=f"invalid parameters: {faults_of(error)}")
    async with get_client() as client:
        session = await open_session(spec, client)
        try:
            with tags(f"session:{session.id}"):
                # What was stopped or paused while nobody drove it is only left in order.
                session.control.check()
                return await carry_out(session)
        except StopRequested as stop:
            return await leave(session, stop.reason)
        finally:
            await leave_sweep(session)


async def carry_out(session: ResearchSession) -> State[Any]:
    """The steps of a session, each durable before the next; a resumed one goes on where it was."""
    await begin_clock(session)
    try:
        if not session.record.planned:
            await preflight(session)
            await prepare_branch(session)
            await plan_session(session)
        else:
            agent = await load_agent(session.spec.agent)
            session.agent = isolated(agent, session.workdir, session.project)
        reason = await iterate(session)
    except PreflightFailed as error:
        await finish(session, f"preflight failed: {error}", report=False)
        return Failed(name="Failed: preflight", message=str(error))
    except (SessionFailed, PlanningFailed, WildloopError) as error:
        await finish(session, str(error))
        return Failed(message=str(error))
    await finish(session, reason)
    return Completed(message=reason)


async def iterate(session: ResearchSession) -> str:
    """Iterate until the goal is done, a limit is reached or a reflection says stop; say which."""
    last = session.record.iterations[-1]
    while session.record.closing is None:
        if (woken := await rest(session, last)) is not None:
            get_run_logger().info("woken: %s", woken)
        await settle(session)
        if (limit := await limit_reached(session)) is not None:
            return await close_session(session, limit)
        struggle = struggle_reason(session)
        if not session.record.done and not due_gates(session) and struggle is None:
            last = await next_iteration(session)
            check_failures(session)
            if session.record.done or due_gates(session):
                await settle(session)
        if session.record.done:
            if not await reflect(session, "DONE"):
                return "done: every task is closed"
        elif due_gates(session):
            if not await reflect(session, "reflection gate"):
                return "a reflection decided to stop"
        elif struggle is not None and not await reflect(session, struggle):
            return f"a reflection decided to stop ({struggle})"
    return await close_session(session, None)


def struggle_reason(session: ResearchSession) -> str | None:
    """Why struggle calls for a reflection now; None if it does not.

    Raises:
        SessionFailed: a reflection has not helped, so the session ends.
    """
    if session.record.awaiting_turn or session.record.pending_runs:
        return None
    found = escalation(session.record.iterations)
    if found.rung is Rung.STOP:
        raise SessionFailed(found.reason)
    return found.reason if found.rung is Rung.REFLECT else None


async def limit_reached(session: ResearchSession) -> Limit | None:
    """Why no further iteration may begin; None if one may."""
    runs = await session.all_runs()
    limit = reached_limit(session.spec, session.record, runs, spending(session.record, runs))
    if limit is None or limit.name != "max_iterations":
        return limit
    # What the last iteration has closed is still reflected upon as it calls for.
    return None if session.record.done or due_gates(session) else limit


def check_failures(session: ResearchSession) -> None:
    """Raise SessionFailed after three failed iterations in a row."""
    last = session.record.iterations[-FAILURES_IN_A_ROW:]
    if len(last) == FAILURES_IN_A_ROW and all(it.failed for it in last):
        raise SessionFailed(
            f"{FAILURES_IN_A_ROW} iterations in a row failed; the last: {last[-1].error}"
        )


async def begin_clock(session: ResearchSession) -> None:
    """Note when the session has begun; the time that it was paused does not count."""
    record, now = session.record, datetime.now(UTC).timestamp()
    if record.started_at is None:
        record.started_at = record.iterations[0].started_at if record.iterations else now
    if record.paused_at is not None:
        record.paused_seconds += max(0.0, now - record.paused_at)
        record.paused_at = None
        await session.save()


async def open_session(spec: SessionSpec, client: Any) -> ResearchSession:
    """The session of this flow run: a new one, or the one it was before it was interrupted."""
    session = await read_session(spec, client, str(runtime.id), current_control())
    enter_session(session)
    if session.resumed:
        await continue_numbering(client, session.flow_run_id)
    get_run_logger().info("session %s %s", session.id, "resumed" if session.resumed else "begins")
    return session


async def read_session(
    spec: SessionSpec, client: Any, session_id: str, control: RunControl
) -> ResearchSession:
    """The session as it is recorded."""
    settings, workdir = Settings.from_environment(), Path(spec.workdir).expanduser().resolve()
    record = await SessionStore(client, settings).record(session_id)
    return ResearchSession(
        id=session_id,
        spec=spec.model_copy(update={"workdir": str(workdir)}),
        settings=settings,
        client=client,
        control=control,
        library=SkillLibrary(shipped_skills_path(), workdir / ".wild" / "skills"),
        project=load_project(workdir) if workdir.is_dir() else None,
        record=record,
        resumed=bool(record.iterations or record.in_progress),
    )


async def prepare_branch(session: ResearchSession) -> None:
    """Commit on `wild/<session>` (or the current branch); keep run folders out of git."""
    if session.record.base_commit is not None:
        return
    session.record.base_commit = await git.head_commit(session.workdir)
    await git.ensure_ignored(session.workdir, ".wild/runs/")
    await git.ensure_ignored(session.workdir, NOT_COMMITTED)
    if session.spec.branch == "new":
        session.record.branch = f"wild/{session.id}"
        await git.start_branch(session.workdir, session.record.branch)
    else:
        session.record.branch = await git.current_branch(session.workdir)
    await session.save()


async def finish(session: ResearchSession, reason: str, report: bool = True) -> None:
    """End the session: its waiting runs are stopped, its report written."""
    session.record.ended_reason, session.record.note = reason, ""
    await end_sweep(session, reason)
    if session.resumed:
        await close_steps(session.client, session.flow_run_id)
    stopped = await stop_runs(session.runs, session.id, running=False)
    if stopped:
        get_run_logger().warning("stopped %d runs that still waited", len(stopped))
    await tidy_worktrees(session)
    if report:
        await session.enter(Phase.REPORT)
        since = session.record.iterations[-1].started_at if session.record.iterations else 0.0
        await refresh_sweeps(session, await session.all_runs(), since)
        await write_report(session)
    await session.enter(Phase.ENDED)


async def tidy_worktrees(session: ResearchSession) -> None:
    """Take away the worktrees that no run uses any more; a fault of git is only told."""
    try:
        ended = [run for run in await session.all_runs() if run.status.is_terminal]
        for workdir in {str(session.workdir), *(run.workdir for run in ended)}:
            await checkout.clean(Path(workdir), {run.id for run in ended})
    except (git.GitError, OSError) as error:
        get_run_logger().warning("worktrees were not tidied: %s", error)


async def leave(session: ResearchSession, reason: StopReason) -> State[Any]:
    """End this flow run before its time, as its worker asks."""
    if reason is StopReason.CANCEL:
        await end_call_left(session)
        await finish(session, "stopped by the user", report=bool(session.record.iterations))
        return Cancelled(message="stopped by the user")
    if reason is StopReason.PAUSE:
        await note_pause(session)
        raise Pause("paused by the user")
    raise Abort("the worker stops; the next one takes the session up again")


async def leave_paused(client: Any, flow_run: FlowRun) -> None:
    """Leave a session in order that was paused while nobody drove it: its agent may still work.

    Raises:
        WildloopError: the session cannot be read as it is.
    """
    spec = SessionSpec.of_parameters(flow_run.parameters)
    await note_pause(await read_session(spec, client, str(flow_run.id), RunControl()))


async def note_pause(session: ResearchSession) -> None:
    """End the agent, and note since when the session pauses."""
    if await end_call_left(session):
        # Its half-done call is not to be taken for a reply.
        session.record.attempt += 1
    session.record.paused_at = session.record.paused_at or datetime.now(UTC).timestamp()
    await session.save()
