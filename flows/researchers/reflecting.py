"""The reflection at a gate, while the researchers go on with tasks behind it."""

import asyncio
import shutil
from dataclasses import replace

from wildloop.flows.loop.contract import settle_contract
from wildloop.flows.loop.gates import due_gates, tick
from wildloop.flows.loop.reflection import reflect
from wildloop.flows.loop.work import Work, enter_work
from wildloop.flows.models.session_record import SessionRecord
from wildloop.flows.protocol.plan import open_tasks
from wildloop.flows.researchers.claims import tasks_before
from wildloop.flows.researchers.room import LOOK_SECONDS, Room
from wildloop.flows.run.control import ControlBeside
from wildloop.flows.session.beside import BesidePosition
from wildloop.flows.session.position import Position

WHY = "reflection gate"


async def reflect_beside(room: Room) -> None:
    """Have the session's agent reflect at each gate that has tasks behind it, once all before it
    is decided upon, until nobody is at work.

    Raises:
        StopRequested: the session is to end or to pause.
    """
    lead, is_whole, control = room.lead.position, False, ControlBeside(room.lead.control)
    work = replace(room.lead, position=BesidePosition(lead), control=control, desks=[])
    enter_work(work)
    try:
        while room.here and not has_said_stop(lead.record):
            room.to_reflect.clear()
            if not is_under_way(work.position) and not is_gate_passed(room):
                await control.guard(control.something_happens(LOOK_SECONDS, room.to_reflect))
                continue
            room.reflects = True
            await _reflect(room, work)
            room.reflects = False
            room.tell()
        is_whole = True
    finally:
        room.has_failed |= not is_whole
        room.reflects = False
        room.tell()


async def _reflect(room: Room, work: Work) -> None:
    position = work.position
    assert isinstance(position, BesidePosition)
    if not is_under_way(position):
        async with room.lead.line:
            if not room.merges:
                await settle_contract(room.lead)
            # From now on the tasks behind it are as free as any.
            tick(room.lead.position, due_gates(room.lead.position))
            position.own_plan.take()
    await reflect(work, WHY)
    await asyncio.to_thread(shutil.rmtree, position.own_plan.tasks.parent)


def is_under_way(position: Position) -> bool:
    """Whether a reflection was begun beside the researchers, and a crash has interrupted it."""
    begun = (position.record.in_progress or "").startswith("reflection")
    return begun and position.paths.tasks.exists()


def is_gate_passed(room: Room) -> bool:
    """Whether a gate is due that somebody may be behind, with nobody left at work before it."""
    lead = room.lead.position
    plan, gates = lead.plan(), due_gates(lead)
    is_last = all(task.is_gate for task in open_tasks(plan))
    if not gates or is_last or lead.record.done or room.has_failed:
        return False
    ahead = set().union(*(tasks_before(plan, gate) for gate in gates))
    at_work = [desk for desk in lead.record.desks if desk.number in room.at_work]
    return not any(desk.task in ahead for desk in at_work)


def has_said_stop(record: SessionRecord) -> bool:
    """Whether the last reflection has decided to stop."""
    said = [call.continue_session for call in record.iterations if call.kind == "reflection"]
    return said[-1:] == [False]
