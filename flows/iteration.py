"""One iteration: the agent carries out one task of the plan."""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from flows.control import StopRequested
from flows.effects import close_turn, create_experiments, plan_before, review_plan, write_plan
from flows.guards.direct import watched
from flows.keep.settle import begin_change
from flows.models.session_record import IterationRecord, Phase
from flows.protocol.plan import open_tasks
from flows.session import ResearchSession, current_session
from flows.sweeping import active_sweep, begin_sweep, settle_sweep, take_up_sweep
from flows.turn import Turn, take_turn
from flows.waiting import wait_for_change, wait_for_runs

NOTHING_TO_WAIT_FOR = "WAITING was answered, but no run of this session is queued or running."


async def next_iteration(session: ResearchSession) -> IterationRecord:
    """Carry out the next iteration, or the next call of one that has waited; return its record."""
    await session.enter(Phase.ITERATION)
    index, number = next_call(session)
    label = IterationRecord(index=index, turn=number, started_at=0).label
    return await session.step(label, iteration(session.id, index, number, label, return_state=True))


def next_call(session: ResearchSession) -> tuple[int, int]:
    """(index, turn) of the next call. A WAITING costs no iteration: the same one goes on."""
    index = session.record.last_index
    if not session.record.awaiting_turn:
        return index + 1, 1
    calls = [it for it in session.record.iterations if it.kind == "iteration" and it.index == index]
    return index, len(calls) + 1


@flow(name="iteration", flow_run_name="{label}", persist_result=False)
async def iteration(session_id: str, index: int, turn: int, label: str) -> State[Any]:
    """One agent call of an iteration, with all that follows from its reply.

    Args:
        session_id: the session that this belongs to.
        index: number of the iteration, from 1.
        turn: number of the call within it, from 1.
        label: name of this call.
    """
    session = current_session()
    known = {run.id for run in await session.all_runs()}
    before = await plan_before(session, label)
    await begin_change(session, index)
    try:
        async with watched(session):
            call = await take_turn(session, "iteration", index, turn)
    except StopRequested as stop:
        return Cancelled(message=str(stop))
    write_plan(session, call, before)
    review_plan(session, call, before)
    started = await create_experiments(session, call)
    await begin_sweep(session, call)
    await _settle_promise(session, call)
    await close_turn(session, call, known)
    session.record.pending_runs = started
    await session.save()
    if call.record.failed:
        return Failed(message=call.record.error or "failed")
    return Completed(message=call.record.summary[:500] or "done")


async def _settle_promise(session: ResearchSession, call: Turn) -> None:
    """Believe DONE only with nothing open, WAITING only with something to wait for."""
    active, sweep = await session.active_runs(), await active_sweep(session)
    session.record.awaiting_turn = False
    if call.record.promise == "DONE":
        left = open_tasks(session.plan())
        if left:
            ids = ", ".join(task.id or task.text[:40] for task in left[:10])
            call.record.faults.append(f"DONE is not believed: {len(left)} tasks are open ({ids})")
        if active:
            names = ", ".join(f"{run.name} ({run.status.value})" for run in active[:10])
            call.record.faults.append(f"DONE is not believed: runs are active ({names})")
        if sweep is not None:
            call.record.faults.append(f"DONE is not believed: sweep '{sweep.name}' is under way")
        session.record.done = not left and not active and sweep is None
    elif call.record.promise == "WAITING":
        # Short runs may have ended between the agent's reply and this look.
        session.record.awaiting_turn = bool(active or sweep) or await _ended_meanwhile(
            session, call
        )
        if not session.record.awaiting_turn:
            call.record.faults.append(NOTHING_TO_WAIT_FOR)


async def _ended_meanwhile(session: ResearchSession, call: Turn) -> bool:
    return any(
        run.finished_at is not None and run.finished_at >= call.record.started_at
        for run in await session.all_runs()
    )


async def rest(session: ResearchSession, last: IterationRecord) -> str | None:
    """Sleep where the last reply calls for it; say what ended the sleep, None for no sleep."""
    sweeping = await take_up_sweep(session)
    # A call that was interrupted goes on at once, beside the sweep.
    has_asked = sweeping is not None and sweeping.label == last.label
    if session.record.pending_runs or (has_asked and session.record.in_progress is None):
        await session.enter(Phase.WAITING)
        reason = await wait_for_runs(session, session.record.pending_runs)
        session.record.pending_runs = []
    elif last.promise == "WAITING" and session.record.awaiting_turn:
        await session.enter(Phase.WAITING)
        reason = await wait_for_change(session, session.spec.wait_seconds)
    else:
        return None
    await settle_sweep(session)
    return reason
