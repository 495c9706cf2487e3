"""The research loop: a session from preflight to report. Read `research_loop` top to bottom."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import flow, tags
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import Abort, Pause
from prefect.logging import get_run_logger
from prefect.runtime import flow_run as runtime
from prefect.states import Cancelled, Completed, Failed
from pydantic import ValidationError

from wildloop.blocks.agents.base import Agent
from wildloop.flows.errors import PreflightFailed, WildloopError, faults_of
from wildloop.flows.files.disk import is_for_want_of_room, room_again
from wildloop.flows.git import repository
from wildloop.flows.git.history import missing_tags_made
from wildloop.flows.guards.isolation import session_agent
from wildloop.flows.loop import handed_over
from wildloop.flows.loop.branch import give_branch_back, keep_on_branch, prepare_branch
from wildloop.flows.loop.closing import close_session
from wildloop.flows.loop.confirming import confirm, confirm_last, stop_own
from wildloop.flows.loop.contract import settle_contract
from wildloop.flows.loop.effects import refresh_sweeps
from wildloop.flows.loop.ends import (
    SEEN_SECONDS,
    SessionFailed,
    check_failures,
    check_sight,
    limit_reached,
    struggle_reason,
    tell_stuck,
)
from wildloop.flows.loop.gates import due_gates
from wildloop.flows.loop.iteration import next_iteration, rest
from wildloop.flows.loop.outcome import attach_outcomes
from wildloop.flows.loop.planning import PlanningFailed, approve_plan, plan_session
from wildloop.flows.loop.preflight import preflight
from wildloop.flows.loop.reflection import reflect
from wildloop.flows.loop.report import write_report
from wildloop.flows.loop.sealing import seal
from wildloop.flows.loop.settle import settle
from wildloop.flows.loop.sweeping import end_sweep, leave_sweep
from wildloop.flows.loop.work import Work, enter_work
from wildloop.flows.metrics.blind import nothing_measured
from wildloop.flows.models.parameters import takes
from wildloop.flows.models.run import Run
from wildloop.flows.models.session_options import SessionSpec
from wildloop.flows.models.session_record import Phase
from wildloop.flows.project import load_project
from wildloop.flows.researchers.room import close_desks, end_calls
from wildloop.flows.researchers.together import work_together
from wildloop.flows.run import checkout
from wildloop.flows.run.control import StopReason, StopRequested, current_control
from wildloop.flows.session.position import Position
from wildloop.flows.settings import Settings
from wildloop.flows.skills.fixed import forget, session_library
from wildloop.flows.store.answers import read_answers
from wildloop.flows.store.graph import make_anchor
from wildloop.flows.store.leftovers import close_steps, continue_numbering
from wildloop.flows.store.naming import own_name
from wildloop.flows.store.sessions import stop_runs
from wildloop.flows.store.stores import Stores
from wildloop.flows.turn.calls import end_call_left


@flow(name="research-loop", flow_run_name=own_name, persist_result=False)
@takes(SessionSpec)
async def research_loop(**options: Any) -> State[Any]:
    """Carry out a research session: plan, experiment, wait, reflect, report."""
    try:
        spec = SessionSpec.of_parameters(options)
    except ValidationError as error:
        return Failed(message=f"invalid parameters: {faults_of(error)}")
    if handed_over.is_asked_for():
        return await handed_over.hand_over(spec)
    control = current_control()
    async with get_client() as client:
        while True:
            try:
                return await attend(spec, client)
            except (OSError, WildloopError) as error:
                if not is_for_want_of_room(error) or control.reason is not None:
                    raise
                # Each step is durable: the session goes on where it was, as after a restart.
                with suppress(StopRequested):
                    await control.guard(room_again(Path(spec.workdir).expanduser()))


async def attend(spec: SessionSpec, client: PrefectClient) -> State[Any]:
    """Carry the session on until it ends, or is to be left."""
    work = await open_session(spec, client)
    try:
        with tags(f"session:{work.position.id}"):
            # What was stopped or paused while nobody drove it is only left in order.
            work.control.check()
            return await carry_out(work)
    except StopRequested as stop:
        return await leave(work, stop.reason)
    finally:
        await leave_sweep(work)


async def carry_out(work: Work) -> State[Any]:
    """The steps of a session, each durable before the next; a resumed one goes on where it was."""
    spec = work.position.spec
    await begin_clock(work.position)
    try:
        if not work.position.record.planned:
            await preflight(work)
            await prepare_branch(work.position)
            await settle_contract(work)
            await plan_session(work)
        else:
            name, workdir = spec.agent, work.position.workdir
            work.agent = await session_agent(name, workdir, work.project)
        await approve_plan(work)
        await settle_contract(work)
        reason = await (iterate(work) if spec.researchers == 1 else work_together(work))
        await confirm_last(work)
        await seal(work)
    except PreflightFailed as error:
        await finish(work, f"preflight failed: {error}", report=False)
        return Failed(name="Failed: preflight", message=str(error))
    except (SessionFailed, PlanningFailed, WildloopError) as error:
        if is_for_want_of_room(error):
            raise
        await finish(work, str(error))
        return Failed(message=str(error))
    runs = await work.stores.runs.all(chat_session_id=work.position.id)
    if blind := nothing_measured(runs):
        reason = f"nothing was measured ({reason}): {blind}"
        await finish(work, reason)
        return Failed(message=reason)
    await finish(work, reason)
    return Completed(message=reason)


async def iterate(work: Work) -> str:
    """Iterate until the goal is done, a limit is reached or a reflection says stop; say which."""
    position, record = work.position, work.position.record
    last = record.iterations[-1]
    while record.closing is None:
        if (woken := await rest(work, last)) is not None:
            get_run_logger().info("woken: %s", woken)
        await settle_contract(work)
        await settle(work)
        await confirm(work)
        if (limit := await limit_reached(position, work.stores.runs)) is not None:
            return await close_session(work, limit)
        struggle = struggle_reason(record)
        if not record.done and not due_gates(position) and struggle is None:
            last = await next_iteration(work)
            check_failures(record)
            runs = await work.stores.runs.all(chat_session_id=position.id, max_age_s=SEEN_SECONDS)
            await attach_outcomes(work, runs)
            check_sight(runs, record.iterations)
            if record.done or due_gates(position):
                await settle(work)
        if record.done:
            if not await reflect(work, "DONE"):
                return "done: every task is closed"
        elif due_gates(position):
            if not await reflect(work, "reflection gate"):
                return "a reflection decided to stop"
        elif struggle is not None:
            tell_stuck(position, struggle)
            if not await reflect(work, struggle):
                return f"a reflection decided to stop ({struggle})"
    return await close_session(work, None)


async def begin_clock(position: Position) -> None:
    """Note when the session has begun; the time that it was paused does not count."""
    record, now = position.record, datetime.now(UTC).timestamp()
    if record.started_at is None:
        record.started_at = record.iterations[0].started_at if record.iterations else now
    if record.paused_at is not None:
        record.go_on_clock(now)
        await position.save()


async def open_session(spec: SessionSpec, client: PrefectClient) -> Work:
    """The session of this flow run: a new one, or the one it was before it was interrupted."""
    settings = Settings.from_environment()
    position = await Position.read(client, spec, str(runtime.id))
    stores = Stores.of(client, settings, position.id)
    workdir, record = position.workdir, position.record
    work = Work(
        client=client,
        settings=settings,
        position=position,
        stores=stores,
        control=current_control(),
        library=await asyncio.to_thread(session_library, settings.home, workdir, position.id),
        project=load_project(workdir) if workdir.is_dir() else None,
        resumed=bool(record.iterations or record.in_progress),
    )
    enter_work(work)
    await open_graph(client, position.id)
    if work.resumed:
        await continue_numbering(client, position.flow_run_id)
    get_run_logger().info("session %s %s", position.id, "resumed" if work.resumed else "begins")
    return work


async def open_graph(client: PrefectClient, session_id: str) -> None:
    """Have the runs of the session drawn in its graph; without that it goes on all the same."""
    logger = get_run_logger()
    try:
        await make_anchor(client, session_id)
    except Exception:
        logger.exception("the runs of the session are not drawn in its graph")


async def finish(work: Work, reason: str, report: bool = True) -> None:
    """End the session: its waiting runs are stopped, its report written."""
    position, record, stores = work.position, work.position.record, work.stores
    record.ended_reason, record.note = reason, ""
    await end_sweep(work, reason)
    await stores.alerts.withdraw_questions(position.id)
    record.asked_usd = (await read_answers(work.client, position.id)).cost_usd
    if work.resumed:
        await close_steps(work.client, position.flow_run_id)
    await stop_own(work)
    stopped = await stop_runs(stores.runs, position.id, running=False)
    if stopped:
        get_run_logger().warning("stopped %d runs that still waited", len(stopped))
    await close_desks(position)
    runs = await stores.runs.all(chat_session_id=position.id)
    await attach_outcomes(work, runs)
    await tidy_worktrees(position.workdir, runs)
    if report:
        await position.enter(Phase.REPORT)
        since = record.iterations[-1].started_at if record.iterations else 0.0
        await refresh_sweeps(stores.sweeps, runs, since)
        await keep_on_branch(position)
        await write_report(work)
    await restore_tags(position)
    await give_branch_back(position)
    await asyncio.to_thread(forget, work.settings.home, position.id)
    await position.enter(Phase.ENDED)


async def restore_tags(position: Position) -> None:
    """Make the tags of the session's calls again that were deleted; a fault of git is only told."""
    try:
        made = await missing_tags_made(position.workdir, position.record.iterations)
    except (repository.GitError, OSError) as error:
        get_run_logger().warning("deleted tags were not made again: %s", error)
        return
    if made:
        get_run_logger().warning("made again, since they were deleted: %s", ", ".join(made))


async def tidy_worktrees(project: Path, runs: Sequence[Run]) -> None:
    """Take away the worktrees that no run uses any more; a fault of git is only told."""
    ended = [run for run in runs if run.status.is_terminal]
    try:
        for workdir in {str(project), *(run.workdir for run in ended)}:
            await checkout.clean(Path(workdir), {run.id for run in ended})
    except (repository.GitError, OSError) as error:
        get_run_logger().warning("worktrees were not tidied: %s", error)


async def leave(work: Work, reason: StopReason) -> State[Any]:
    """End this flow run before its time, as its worker asks."""
    if reason is StopReason.CANCEL:
        await end_call_left(work.position, work.agent)
        await end_calls(work.position, work.agent)
        await finish(work, "stopped by the user", report=bool(work.position.record.iterations))
        return Cancelled(message="stopped by the user")
    if reason is StopReason.PAUSE:
        await note_pause(work.position, work.agent)
        raise Pause("paused by the user")
    raise Abort("the worker stops; the next one takes the session up again")


async def leave_paused(client: PrefectClient, flow_run: FlowRun) -> None:
    """Leave a session in order that was paused while nobody drove it: its agent may still work.

    Raises:
        WildloopError: the session cannot be read as it is.
    """
    spec = SessionSpec.of_parameters(flow_run.parameters)
    await note_pause(await Position.read(client, spec, str(flow_run.id)))


async def note_pause(position: Position, agent: Agent | None = None) -> None:
    """End the agent, and note since when the session pauses."""
    if await end_call_left(position, agent):
        # Its half-done call is not to be taken for a reply.
        position.record.attempt += 1
    await end_calls(position, agent)
    position.record.pause_clock(datetime.now(UTC).timestamp())
    await position.save()
