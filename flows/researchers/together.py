"""A session with several researchers: they work side by side, and pause for its reflections."""

import asyncio

from prefect.logging import get_run_logger

from wildloop.flows.loop.closing import close_session
from wildloop.flows.loop.confirming import confirm
from wildloop.flows.loop.contract import settle_contract
from wildloop.flows.loop.ends import SessionFailed, limit_reached, tell_stuck
from wildloop.flows.loop.gates import due_gates
from wildloop.flows.loop.reflection import reflect
from wildloop.flows.loop.settle import settle
from wildloop.flows.loop.work import Work
from wildloop.flows.protocol.plan import open_tasks
from wildloop.flows.researchers.at_work import researcher
from wildloop.flows.researchers.reflecting import has_said_stop, reflect_beside
from wildloop.flows.researchers.room import Room, end_calls, merge_all, open_room
from wildloop.flows.spending import Limit


async def work_together(work: Work) -> str:
    """As `iterate` of a session with one researcher: until it is at its end; say why."""
    if not work.position.record.desks:
        # What planning may have changed or run, as in any session.
        await settle(work)
    room = await open_room(work)
    position, record = work.position, work.position.record
    while record.closing is None:
        await settle_contract(work)
        await confirm(work)
        if (limit := await limit_reached(position, work.stores.runs)) is not None:
            return await _close(room, limit)
        before = len(record.iterations)
        await side_by_side(room)
        await settle_contract(work)
        if (limit := await limit_reached(position, work.stores.runs)) is not None:
            return await _close(room, limit)
        record.done = record.done or not open_tasks(position.plan())
        if has_said_stop(record):
            return "a reflection decided to stop"
        if record.done:
            if not await reflect(work, "DONE") or not open_tasks(position.plan()):
                return "done: every task is closed"
        elif due_gates(position):
            if not await reflect(work, "reflection gate"):
                return "a reflection decided to stop"
        elif room.is_to_reflect() and room.struggle is not None:
            tell_stuck(position, room.struggle)
            if not await reflect(work, room.struggle):
                return f"a reflection decided to stop ({room.struggle})"
        elif len(record.iterations) == before:
            raise SessionFailed("no researcher can take up a task of the plan: see its boxes")
    return await _close(room, None)


async def side_by_side(room: Room) -> None:
    """Have all work until all pause.

    Raises:
        StopRequested: the session is to end or to pause.
        Exception: what has ended a researcher, once the others have paused.
    """
    work = room.lead
    numbers = [desk.position.researcher or 0 for desk in room.desks]
    room.at_work, room.here = set(numbers), set(numbers)
    flows = [researcher(room, number)(work.position.id, number) for number in numbers]
    beside = (merge_all(room), reflect_beside(room))
    states = await asyncio.gather(*flows, *beside, return_exceptions=True)
    work.control.check()
    for fault in [*room.faults, *states]:
        if isinstance(fault, BaseException):
            raise fault
    get_run_logger().info("all researchers pause")


async def _close(room: Room, limit: Limit | None) -> str:
    """End the session at a limit: no agent works on while its runs are settled."""
    await end_calls(room.lead.position, room.lead.agent)
    for desk in room.desks:
        desk.position.refresh()
    return await close_session(room.lead, limit)
