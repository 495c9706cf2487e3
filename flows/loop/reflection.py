"""Reflection: at the plan's gates and after DONE, continue or stop, and what was learnt."""

import re
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from wildloop.flows.loop.agent_turn import agent_turn
from wildloop.flows.loop.branch import keep_on_branch
from wildloop.flows.loop.effects import (
    close_turn,
    plan_before,
    review_plan,
    tell_misplaced,
    write_plan,
)
from wildloop.flows.loop.gates import deliver, due_gates, gate_section, tick
from wildloop.flows.loop.lessons import keep_lessons
from wildloop.flows.loop.work import Work, current_work
from wildloop.flows.models.session_record import Phase, SessionRecord
from wildloop.flows.protocol.plan import open_tasks
from wildloop.flows.run.control import StopRequested
from wildloop.flows.session.position import Position
from wildloop.flows.turn.turn import Turn


async def reflect(work: Work, why: str) -> bool:
    """Have the agent reflect; return whether the session goes on.

    A reflection without a decision lets the session go on at a gate, and ends it after DONE.

    Args:
        work: the session.
        why: what led to it: `DONE`, `reflection gate`, or the reason of an escalation.
    """
    position, record = work.position, work.position.record
    # Saved with the call, which begins at once.
    record.phase = Phase.REFLECTION
    gates, done = due_gates(position), record.done
    tick(position, gates)
    index = _index(record)
    number = 1 + sum(1 for it in record.iterations if it.kind == "reflection" and it.index == index)
    label = f"reflection-{index:02d}" + (f".{number}" if number > 1 else "")
    step = reflection(position.id, index, label, why, gates, return_state=True)
    last = await work.step(label, step)
    record.reflected_gates += gates
    # What somebody has declared since then is reflected upon next.
    record.done = record.done and not done
    await position.save()
    if last.continue_session is None:
        # At the last gate there is nothing to go on with.
        return not done and not (gates and not open_tasks(position.plan()))
    return last.continue_session


def _index(record: SessionRecord) -> int:
    """The last iteration's, of one under way as it began: others may have ended some since."""
    begun = re.match(r"reflection-(\d+)", record.in_progress or "")
    return int(begun[1]) if begun is not None else record.last_index


@flow(name="reflection", flow_run_name="{label}", persist_result=False)
async def reflection(
    session_id: str, index: int, label: str, why: str, gates: list[str]
) -> State[Any]:
    """Weigh what was found, decide continue or stop, and keep the lessons.

    Args:
        session_id: the session that this belongs to.
        index: number of the last iteration.
        label: name of this call.
        why: what led to it.
        gates: of the plan, that it is asked for by.
    """
    work = current_work()
    position = work.position
    known = {run.id for run in await work.stores.runs.all(chat_session_id=position.id)}
    # Changes of researchers are merged into the same folder, if there are any at work.
    async with work.line:
        await keep_on_branch(position)
    before = await plan_before(position, label)
    number = 1 + sum(
        1 for it in position.record.iterations if it.kind == "reflection" and it.index == index
    )
    try:
        said = [gate_section(position, gates), position.beside]
        told = {"gate_section": "\n".join(filter(None, said))}
        call = await agent_turn(work, "reflection", index, number, sections=told)
    except StopRequested as stop:
        return Cancelled(message=str(stop))
    call.record.why = why
    write_plan(position, call, before)
    review_plan(position, call, before)
    tell_misplaced(call)
    deliver(position, gates, call)
    _settle_decision(position, call)
    call.record.summary = call.record.summary or (call.tags.reflection or "")[:2000]
    if call.tags.reflection and call.record.error == "the reply has no tags":
        call.record.failed, call.record.error = False, None
    await keep_lessons(work, call.tags.memories)
    runs = await work.stores.runs.all(chat_session_id=position.id)
    async with work.line:
        await close_turn(work, call, runs, known)
    if call.record.failed:
        return Failed(message=call.record.error or "failed")
    decision = {True: "continue", False: "stop", None: "no decision"}[call.record.continue_session]
    return Completed(message=f"{why}: {decision}")


def _settle_decision(position: Position, call: Turn) -> None:
    """Tell of a reply without a decision, and of going on with nothing to go on with."""
    if position.record.closing is not None:
        return
    if call.record.continue_session is None and not call.record.failed:
        call.record.faults.append(
            "The reflection had no <continue>yes</continue> or <continue>no</continue>: "
            + ("the session ends." if position.record.done else "the session goes on.")
        )
    elif call.record.continue_session and not open_tasks(position.plan()):
        call.record.faults.append(
            "The reflection chose to go on, but no task of tasks.md is open: add a phase with "
            "tasks, a reflection gate among them, before anything else."
        )
