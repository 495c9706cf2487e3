"""Researchers without a task: they wait until something has come of what the others do."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

from wildloop.flows.models.contract import SessionContract
from wildloop.flows.models.keep import Evidence, KeepStatus, Verdict
from wildloop.flows.models.session_options import SessionSpec
from wildloop.flows.models.session_record import Desk, SessionRecord
from wildloop.flows.researchers.at_work import first_measurement, may_begin, nobody_else
from wildloop.flows.researchers.room import Room
from wildloop.flows.run.control import RunControl
from wildloop.flows.session.desk import DeskPosition
from wildloop.flows.session.position import Position

NOBODY: Any = None


def room_of(tmp_path: Path, number: int) -> Room:
    spec = SessionSpec(goal="g", workdir=str(tmp_path), keep="better", researchers=number)
    desks = [
        Desk(number=one, branch=f"b{one}", workdir=str(tmp_path), onto="0", index=one)
        for one in range(1, number + 1)
    ]
    record = SessionRecord(session_id=str(uuid4()), desks=desks)
    lead = Position(client=NOBODY, spec=spec, record=record)
    works: Any = [
        SimpleNamespace(position=DeskPosition(lead, desk), control=RunControl()) for desk in desks
    ]
    return Room(NOBODY, works, at_work=set(range(1, number + 1)))


async def a_while() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_the_first_measurement_is_decided_upon_first(tmp_path: Path) -> None:
    room = room_of(tmp_path, 2)
    one, two = (desk.position for desk in room.desks)
    assert isinstance(one, DeskPosition) and isinstance(two, DeskPosition)
    room.lead = SimpleNamespace(position=one.lead)  # type: ignore[assignment]
    # No metric was fixed: nothing is compared.
    await first_measurement(room, two)
    one.lead.record.contract = SessionContract(metric="score")
    await first_measurement(room, one)
    waits = asyncio.create_task(first_measurement(room, two))
    await a_while()
    assert not waits.done() and not await may_begin(room, two)
    verdict = Verdict(iteration=1, label="iteration-01", status=KeepStatus.KEEP, why="first")
    one.lead.record.keep.verdicts.append(verdict)
    one.lead.record.keep.best = Evidence(id="a", configuration="a", iteration=1)
    room.tell()
    await waits
    assert two.record.keep.best == one.lead.record.keep.best and await may_begin(room, two)


async def test_who_is_idle_wakes_the_others_once_and_not_without_end(tmp_path: Path) -> None:
    room = room_of(tmp_path, 3)
    one = asyncio.create_task(nobody_else(room, 1))
    await a_while()
    two = asyncio.create_task(nobody_else(room, 2))
    await a_while()
    # That there is one less at work is news; that it is still idle is none.
    assert (one.done(), two.done(), room.at_work) == (True, False, {3})
    again = asyncio.create_task(nobody_else(room, 1))
    await a_while()
    assert not two.done() and not again.done()
    room.news.set()
    assert (await two, await again) == (False, False)
    assert await nobody_else(room, 3)
