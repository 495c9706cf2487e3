"""The researchers of a session at their desks: opened, taken up again after a crash, closed."""

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from prefect.logging import get_run_logger

from wildloop.blocks.agents.base import Agent
from wildloop.flows.files.paths import desk_folder, make_ignored
from wildloop.flows.git import merging, repository
from wildloop.flows.git.place import prefix_of, top_of
from wildloop.flows.guards.isolation import session_agent
from wildloop.flows.loop.decided import carry_out_left
from wildloop.flows.loop.ends import struggle_reason
from wildloop.flows.loop.work import Work
from wildloop.flows.models.keep import Merge
from wildloop.flows.models.session_record import Desk
from wildloop.flows.researchers.merge import Merging
from wildloop.flows.researchers.steers import heard_by
from wildloop.flows.run.checkout import link_all
from wildloop.flows.run.control import ControlBeside
from wildloop.flows.session.beside import reflection_folder
from wildloop.flows.session.desk import DeskPosition
from wildloop.flows.session.position import Position
from wildloop.flows.turn.calls import end_call_left

LOOK_SECONDS = 15.0


@dataclass
class Room:
    """Those who work on a session at the same time.

    Args:
        lead: the session's own work: plan, branch, reflections, report.
        desks: the researchers.
        at_work: the numbers of those who are not idle.
        here: the numbers of those who have not paused.
        reflects: whether the session's agent reflects while they work.
        news: set when a call has ended, so that those without a task look again.
        to_merge: set when something may be there to be merged, or nobody any more to bring it.
        to_reflect: set when a gate may be due, or nobody is there any more to pass it.
        has_failed: whether a researcher, or the merging, was ended by a fault or a stop.
        faults: what has ended researchers.
        struggle: why the session's agent is asked to reflect, where it is by struggle.
    """

    lead: Work
    desks: list[Work]
    at_work: set[int] = field(default_factory=set)
    here: set[int] = field(default_factory=set)
    reflects: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)
    to_merge: asyncio.Event = field(default_factory=asyncio.Event)
    to_reflect: asyncio.Event = field(default_factory=asyncio.Event)
    has_failed: bool = False
    faults: list[Exception] = field(default_factory=list)
    struggle: str | None = None

    def tell(self) -> None:
        """Have everybody look again."""
        for event in (self.news, self.to_merge, self.to_reflect):
            event.set()

    def is_to_reflect(self) -> bool:
        """Whether struggle calls for a reflection; why is noted in `struggle`.

        Raises:
            SessionFailed: reflections have not helped.
        """
        self.struggle = struggle_reason(self.lead.position.record)
        return self.struggle is not None

    @property
    def merges(self) -> list[tuple[Merge, Work]]:
        """What is to be merged, in the order of the decisions, and whose it is."""
        found = []
        for desk in self.desks:
            assert isinstance(desk.position, DeskPosition)
            found += [(merge, desk) for merge in desk.position.desk.merging]
        return sorted(found, key=lambda one: one[0].verdict.decided_at)

    async def committed(self) -> str:
        """The commit that the session's branch is at, with its records as they are now."""
        return (await _records_committed(self.lead.position)).commit


async def open_room(work: Work) -> Room:
    """Give each researcher its worktree and branch; what a crash has left half done is done.

    Raises:
        GitError: git refuses a worktree.
    """
    lead = work.position
    if not lead.record.desks:
        head = (await _records_committed(lead)).commit
        lead.record.desks = [
            await _desk(lead, number, head) for number in range(1, lead.spec.researchers + 1)
        ]
        await lead.save()
    sessions, desks = work.stores.sessions, lead.record.desks
    # Who leads hears of it as well, and takes it from nobody.
    at_the_head = Desk(number=0, branch="", workdir="", onto="")
    work.stores = replace(work.stores, sessions=heard_by(sessions, at_the_head, desks))
    work.desks = []
    for desk in lead.record.desks:
        await _open(lead, desk)
        position = DeskPosition(lead, desk)
        own = replace(
            work,
            position=position,
            stores=replace(work.stores, sessions=heard_by(sessions, desk, desks)),
            control=ControlBeside(work.control),
            agent=await session_agent(lead.spec.agent, position.workdir, work.project),
            resumed=False,
            desks=[],
        )
        own.merge = Merging(work, own, position)
        work.desks.append(own)
    room = Room(work, list(work.desks))
    work.merge_left = partial(merge_all, room)
    for own in room.desks:
        await carry_out_left(own)
    return room


async def merge_all(room: Room) -> None:
    """Merge what is to be merged, one after the other, until nobody is there to bring more.

    Raises:
        StopRequested: the session is to end or to pause.
    """
    is_whole, control = False, ControlBeside(room.lead.control)
    try:
        while room.here or room.merges:
            room.to_merge.clear()
            if room.merges:
                merge, desk = room.merges[0]
                assert isinstance(desk.position, DeskPosition)
                await Merging(room.lead, desk, desk.position).finish(merge, control)
                room.tell()
            elif room.here:
                await control.guard(control.something_happens(LOOK_SECONDS, room.to_merge))
        is_whole = True
    finally:
        room.has_failed |= not is_whole


async def close_desks(lead: Position) -> None:
    """Take the worktrees away; what lies uncommitted in one is kept on its branch."""
    await asyncio.to_thread(shutil.rmtree, reflection_folder(lead), ignore_errors=True)
    for desk in lead.record.desks:
        folder = desk_folder(lead.workdir, lead.id, desk.number)
        message = f"wild: researcher {desk.number}: files found at the end\n\nSession: {lead.id}"
        try:
            await merging.end_worktree(lead.workdir, folder, message)
        except (repository.GitError, OSError) as error:
            get_run_logger().warning("the worktree '%s' stays: %s", folder, error)
        folder.with_name(f"{folder.name}.md").unlink(missing_ok=True)


async def end_calls(lead: Position, agent: Agent | None = None) -> None:
    """End the agents of the calls under way; they are called again where the session goes on."""
    for desk in lead.record.desks:
        position = DeskPosition(lead, desk)
        if await end_call_left(position, agent):
            position.record.attempt += 1
            await position.save()


def others_claims(desks: Sequence[Desk], number: int) -> set[str]:
    """What the researchers beside this one have claimed."""
    return {one.task for one in desks if one.task is not None and one.number != number}


async def _records_committed(lead: Position) -> repository.CommitResult:
    message = f"wild: the session's records\n\nSession: {lead.id}"
    return await repository.commit_all(lead.workdir, message, allow_empty=False)


async def _desk(lead: Position, number: int, head: str) -> Desk:
    folder = desk_folder(lead.workdir, lead.id, number)
    inner = await prefix_of(lead.workdir)
    branch = f"wild/{lead.id}-r{number}"
    return Desk(number=number, branch=branch, workdir=str(folder / inner), onto=head, tip=head)


async def _open(lead: Position, desk: Desk) -> None:
    folder = desk_folder(lead.workdir, lead.id, desk.number)
    await asyncio.to_thread(make_ignored, folder.parent)
    await merging.begin_worktree(lead.workdir, folder, desk.branch, desk.onto)
    root = await top_of(lead.workdir)
    links = await asyncio.to_thread(link_all, root, lead.workdir, folder)
    for link in links:
        # A rule for a folder, as `data/`, does not hold for a link.
        await repository.ensure_ignored(root, f"/{_inside(link, folder)}")


def _inside(link: Path, folder: Path) -> str:
    return link.relative_to(folder).as_posix()
