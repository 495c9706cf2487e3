"""One researcher: it claims a task, carries it out as any session does, and claims the next."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import UUID

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.runtime import flow_run as runtime
from prefect.states import Cancelled, Completed

from wildloop.flows.git import merging
from wildloop.flows.git.restore import project_changes
from wildloop.flows.loop.ends import SEEN_SECONDS, check_failures, check_sight, limit_reached
from wildloop.flows.loop.iteration import next_iteration, rest
from wildloop.flows.loop.outcome import attach_outcomes
from wildloop.flows.loop.settle import settle
from wildloop.flows.loop.work import enter_work
from wildloop.flows.models.session_record import Phase
from wildloop.flows.researchers.claims import next_claim
from wildloop.flows.researchers.reflecting import has_said_stop
from wildloop.flows.researchers.room import LOOK_SECONDS, Room, others_claims
from wildloop.flows.run.control import StopRequested
from wildloop.flows.session.desk import DeskPosition
from wildloop.flows.session.position import Position
from wildloop.flows.store.leftovers import continue_numbering

MOST_AHEAD = 2


def researcher(room: Room, number: int) -> Callable[[str, int], Awaitable[State[Any]]]:
    """The flow of one researcher: in Prefect a subflow of the session, with its iterations below.

    Each has a name of its own for Prefect, which tells the steps of a flow run by it: after a crash
    none goes on in the record of another.
    """

    async def work_on(session_id: str, number: int) -> State[Any]:
        is_whole = False
        try:
            said = await research(room, number)
            is_whole = True
            return await _ended(room, said)
        except StopRequested as stop:
            return Cancelled(message=str(stop))
        except Exception as fault:
            room.faults.append(fault)
            raise
        finally:
            # The session ends by a fault of one, once the others have paused.
            room.has_failed |= not is_whole
            room.at_work.discard(number)
            room.here.discard(number)
            room.tell()

    work_on.__qualname__ = f"researcher_{number}"
    name = f"researcher-{number}"
    made = flow(name="researcher", flow_run_name=name, persist_result=False)(work_on)
    # By its state: Prefect has no result of what somebody has cancelled in its UI.
    return partial(made, return_state=True)


async def _ended(room: Room, said: str) -> State[Any]:
    """The last state of a researcher's flow run.

    Whoever ends that in Prefect's UI ends no researcher, which is the session's; but Prefect lets
    what is Cancelling become nothing but Cancelled.
    """
    flow_run = await room.lead.client.read_flow_run(UUID(str(runtime.id)))
    if flow_run.state is not None and flow_run.state.is_cancelling():
        return Cancelled(message=f"somebody has cancelled this flow run, not its session; {said}")
    return Completed(message=said)


def _decided(position: DeskPosition) -> tuple[int, int]:
    """Changes where something about a change of this researcher was decided."""
    return len(position.own_verdicts), len(position.merging)


async def research(room: Room, number: int) -> str:
    """Work until all are to pause, or nothing is left to claim; say which."""
    work = room.desks[number - 1]
    position = work.position
    assert isinstance(position, DeskPosition)
    enter_work(work)
    await continue_numbering(work.client, runtime.id)
    while True:
        position.refresh()
        calls = position.record.iterations
        if calls and (woken := await rest(work, calls[-1])) is not None:
            get_run_logger().info("woken: %s", woken)
        before = _decided(position)
        await first_measurement(room, position)
        await settle(work)
        if _decided(position) != before:
            room.tell()
        check_failures(position.record)
        if position.record.done:
            room.lead.position.record.done, position.record.done = True, False
            await position.save()
            room.tell()
        why = await why_pause(room)
        if not goes_on(position):
            if why is not None:
                return await _pause(room, position, why)
            if is_ahead(position) or not await claim(room, position):
                if await nobody_else(room, number):
                    return await _pause(room, position, "no task is left")
                continue
        elif why in ENDS_CALLS:
            return await _pause(room, position, why)
        room.at_work.add(number)
        await next_iteration(work)
        room.tell()
        runs = await work.stores.runs.all(chat_session_id=position.id, max_age_s=SEEN_SECONDS)
        await attach_outcomes(room.lead, runs)
        check_sight(runs, position.whole.iterations)


def goes_on(position: DeskPosition) -> bool:
    """Whether the next call belongs to an iteration that has begun."""
    record = position.record
    most = position.spec.max_calls_per_iteration
    return record.in_progress is not None or record.goes_on(most)


ENDS_CALLS = ("hours", "cost_usd", "gpu_hours", "done", "a researcher has failed")
"""Why even an iteration that has begun makes no further call."""


async def why_pause(room: Room) -> str | None:
    """Why no further iteration may begin until the session's own agent has been called."""
    lead = room.lead.position
    if room.has_failed:
        return "a researcher has failed"
    if lead.record.done:
        return "done"
    limit = await limit_reached(lead, room.lead.stores.runs)
    if limit is not None:
        return limit.name
    if has_said_stop(lead.record):
        return "a reflection decided to stop"
    return "a reflection is called for" if room.is_to_reflect() else None


async def claim(room: Room, position: DeskPosition) -> bool:
    """Take a task and an iteration, durably, on the session's code as it is now; whether there is
    one to take.
    """
    lead, desk = room.lead.position, position.desk
    async with room.lead.line:
        room.lead.control.check()
        if not await may_begin(room, position):
            return False
        others = others_claims(lead.record.desks, desk.number)
        wanted = next_claim(lead.plan(), desk.task, others, ahead=len(room.desks))
        begun = [one.index or 0 for one in lead.record.desks]
        index = 1 + max(lead.record.last_index, *begun)
        is_begun = desk.index is not None and desk.index > position.record.last_index
        if wanted is None or (not is_begun and index > lead.spec.max_iterations):
            if desk.task is not None:
                desk.task = None
                await position.save()
            return False
        desk.task, desk.index = wanted, desk.index if is_begun else index
        await position.save()
        head = await room.committed()
        message = f"wild: researcher {desk.number}: what the session has kept"
        desk.tip = position.record.tip = await merging.take_over(position.workdir, head, message)
        position.begin_at(head)
        position.take_plan()
        await position.save()
    return True


def is_ahead(position: DeskPosition) -> bool:
    """Whether so many of its changes wait to be merged that it begins no other."""
    return len(position.desk.merging) >= MOST_AHEAD


def is_unmeasured(lead: Position) -> bool:
    """Whether nothing is there yet that a change could be compared with."""
    contract = lead.record.contract
    return contract is not None and contract.metric is not None and lead.record.keep.best is None


def is_undecided(position: DeskPosition) -> bool:
    """Whether it has an iteration that nothing is decided about."""
    index = position.desk.index
    keep = position.record.keep
    return index is not None and keep.of(index) is None and index not in position.merging


def first_undecided(room: Room) -> DeskPosition | None:
    """The researcher at work on the first of these iterations."""
    at_work = [one.position for one in room.desks if one.position.researcher in room.at_work]
    found = [one for one in at_work if isinstance(one, DeskPosition) and is_undecided(one)]
    return min(found, key=lambda one: one.desk.index or 0, default=None)


async def may_begin(room: Room, position: DeskPosition) -> bool:
    """Whether there is code to begin with: until something was measured, that which is measured."""
    lead = room.lead.position
    first = first_undecided(room) if is_unmeasured(lead) else None
    if first is None or first is position:
        return True
    is_run = bool(first.record.pending_runs) and first.record.in_progress is None
    onto, tip = first.desk.onto, first.record.tip
    return is_run and tip is not None and not await project_changes(lead.workdir, onto, tip)


async def first_measurement(room: Room, position: DeskPosition) -> None:
    """While there is nothing to compare with, decisions are made in the order of iterations."""
    control = room.desks[position.desk.number - 1].control
    while is_unmeasured(room.lead.position) and is_undecided(position):
        first = first_undecided(room)
        if first is None or first is position:
            break
        room.news.clear()
        await control.guard(control.something_happens(LOOK_SECONDS, room.news))
    position.refresh()


async def _pause(room: Room, position: DeskPosition, why: str) -> str:
    room.at_work.discard(position.desk.number)
    room.tell()
    await position.enter(Phase.WAITING)
    return f"paused: {why}"


async def nobody_else(room: Room, number: int) -> bool:
    """Wait for what the others do, if any is at work; whether none is."""
    if number in room.at_work:
        # Told once: those who are idle would wake each other without end.
        room.at_work.discard(number)
        room.tell()
    if not room.at_work and not room.merges and not room.reflects:
        return True
    control = room.desks[number - 1].control
    room.news.clear()
    with suppress(TimeoutError):
        await control.guard(control.something_happens(LOOK_SECONDS, room.news))
    return False
