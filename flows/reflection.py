"""Reflection: at the plan's gates and after DONE, continue or stop, and what was learnt."""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from flows.control import StopRequested
from flows.effects import close_turn, plan_before, review_plan, tell_misplaced, write_plan
from flows.guards.direct import watched
from flows.models.session_record import Phase
from flows.protocol.plan import closed_gates, open_tasks
from flows.session import ResearchSession, current_session
from flows.turn import Turn, take_turn


def due_gates(session: ResearchSession) -> list[str]:
    """Reflection gates of the plan that are closed and have not been reflected upon."""
    return [
        gate for gate in closed_gates(session.plan()) if gate not in session.record.reflected_gates
    ]


async def reflect(session: ResearchSession, why: str) -> bool:
    """Have the agent reflect; return whether the session goes on.

    A reflection without a decision lets the session go on at a gate, and ends it after DONE.

    Args:
        session: the session.
        why: what led to it: `DONE`, `reflection gate`, or the reason of an escalation.
    """
    await session.enter(Phase.REFLECTION)
    gates, done = due_gates(session), session.record.done
    index = session.record.last_index
    number = 1 + sum(
        1 for it in session.record.iterations if it.kind == "reflection" and it.index == index
    )
    label = f"reflection-{index:02d}" + (f".{number}" if number > 1 else "")
    last = await session.step(label, reflection(session.id, index, label, why, return_state=True))
    session.record.reflected_gates += gates
    session.record.done = False
    await session.save()
    if last.continue_session is None:
        return not done
    return last.continue_session


@flow(name="reflection", flow_run_name="{label}", persist_result=False)
async def reflection(session_id: str, index: int, label: str, why: str) -> State[Any]:
    """Weigh what was found, decide continue or stop, and keep the lessons.

    Args:
        session_id: the session that this belongs to.
        index: number of the last iteration.
        label: name of this call.
        why: what led to it.
    """
    session = current_session()
    known = {run.id for run in await session.all_runs()}
    before = await plan_before(session, label)
    number = 1 + sum(
        1 for it in session.record.iterations if it.kind == "reflection" and it.index == index
    )
    try:
        async with watched(session):
            call = await take_turn(session, "reflection", index, number)
    except StopRequested as stop:
        return Cancelled(message=str(stop))
    call.record.why = why
    write_plan(session, call, before)
    review_plan(session, call, before)
    tell_misplaced(call)
    _settle_decision(session, call)
    call.record.summary = call.record.summary or (call.tags.reflection or "")[:2000]
    if call.tags.reflection and call.record.error == "the reply has no tags":
        call.record.failed, call.record.error = False, None
    await session.memories.add(call.tags.memories, session.workdir, session.id)
    await close_turn(session, call, known)
    if call.record.failed:
        return Failed(message=call.record.error or "failed")
    decision = {True: "continue", False: "stop", None: "no decision"}[call.record.continue_session]
    return Completed(message=f"{why}: {decision}")


def _settle_decision(session: ResearchSession, call: Turn) -> None:
    """Tell of a reply without a decision, and of going on with nothing to go on with."""
    if session.record.closing is not None:
        return
    if call.record.continue_session is None and not call.record.failed:
        call.record.faults.append(
            "The reflection had no <continue>yes</continue> or <continue>no</continue>: "
            + ("the session ends." if session.record.done else "the session goes on.")
        )
    elif call.record.continue_session and not open_tasks(session.plan()):
        call.record.faults.append(
            "The reflection chose to go on, but no task of tasks.md is open: add a phase with "
            "tasks, a reflection gate among them, before anything else."
        )
