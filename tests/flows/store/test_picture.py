"""The live picture tells what Prefect would, whatever events were lost, doubled or late."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Cancelled, Completed, Failed, Pending, Running, Scheduled

from tests.support.flow_runs import FlowRuns
from wildloop.flows.errors import PrefectAway
from wildloop.flows.models.run import Run, RunStatus
from wildloop.flows.store import picture as picture_module
from wildloop.flows.store.flow_run_pages import OPEN, WANTED
from wildloop.flows.store.picture import CHECK_SECONDS, COUNT_SECONDS, Picture
from wildloop.flows.store.run_filter import ARCHIVED_TAG, RunFilter
from wildloop.flows.store.run_mapping import EXPERIMENT_TAG, LABEL_PREFIX, to_run
from wildloop.flows.store.run_table import Reading, RunTable
from wildloop.flows.store.seen import Seen
from wildloop.flows.store.states import ready_state

STATES = (Scheduled, Pending, Running, Completed, Failed, Cancelled, ready_state)
STEP = st.tuples(st.integers(0, 11), st.integers(0, 7), st.integers(0, 6))
FIRST = datetime.min.replace(tzinfo=UTC)
faults = pytest.mark.parametrize(
    "away", [httpx.ConnectError("away"), PrefectAway("refused", 12.0)], ids=["at once", "patient"]
)


def picture_of(server: FlowRuns) -> Picture:
    """A picture of this server, without a stream yet."""
    return Picture(server, clock=server.clock, wall=server.wall)  # type: ignore[arg-type]


def told(picture: Picture) -> list[Run]:
    """All the runs, newest first."""
    return picture.table.select(RunFilter(limit=1000))


def truth(server: FlowRuns) -> list[Run]:
    """As `told`, by a fresh read."""
    return [to_run(one) for one in server.matching(FlowRunFilter(tags=WANTED))]


def same(picture: Picture, server: FlowRuns) -> None:
    """Both tell the same, by every way of asking."""
    fresh = truth(server)
    assert told(picture) == fresh
    for wanted in (
        RunFilter(sweep_id="a"),
        RunFilter(sweep_id="a", status=RunStatus.FINISHED),
        RunFilter(chat_session_id="s", archived=False),
        RunFilter(chat_session_id="s", also_called=["t"]),
        RunFilter(archived=True, limit=3, offset=1),
        *(RunFilter(status=status) for status in RunStatus),
    ):
        found = [to_run(one) for one in server.matching(wanted.query())]
        found = [run for run in found if wanted.matches(run)]
        assert picture.table.select(wanted) == found[wanted.offset :][: wanted.limit]
    counts = picture.table.counts(RunFilter())
    assert (counts.total, counts.completed) == (
        len(fresh),
        sum(run.status is RunStatus.FINISHED for run in fresh),
    )


class History:
    """A server and a picture of it, to which things happen."""

    def __init__(self, edits: bool) -> None:
        self.server, self.edits = FlowRuns(), edits
        self.picture = picture_of(self.server)
        self.late: list[str] = []

    def one(self, number: int) -> FlowRun | None:
        """One of the flow runs."""
        found = list(self.server.rows.values())
        return found[number % len(found)] if found else None

    def tell(self, id: str, how: int) -> None:
        """An event: in time, twice, late, or lost."""
        if how % 4 < 2:
            for _ in range(1 + how % 2):
                self.picture.touch(id)
        elif how % 4 == 2:
            self.late.append(id)

    def happen(self, kind: int, number: int, how: int) -> None:
        """One thing happens, at the server or between it and the picture."""
        server, one = self.server, self.one(number)
        if kind <= 1 or one is None:
            tags = [("sweep:a",), ("session:s",), ("session:t", "sweep:a"), ()][number % 4]
            new = server.create(STATES[how](), *tags)
            self.tell(str(new.id), number)
        elif kind <= 4:
            if self.edits or (one.state is not None and one.state.type in OPEN):
                server.change(one.id, state=STATES[how]())
                self.tell(str(one.id), number + how)
        elif kind == 5:
            server.seconds += (0.1, 0.4, 0.9, 1.5, 12.0, 40.0, 3.0)[how]
        elif kind == 6 and self.edits:
            server.step = timedelta(minutes=(how - 3) * 7)
        elif kind == 6:
            # Nobody tells of one that was there and gone.
            server.create(Completed(), "sweep:a")
        elif kind == 7:
            self.picture.connected() if how % 2 else self.picture.disconnected()
        elif kind == 8:
            for id in self.late[:how]:
                self.picture.touch(id)
            del self.late[:how]
        elif self.edits:
            self.edit(kind, one, how)

    def edit(self, kind: int, one: FlowRun, how: int) -> None:
        """Somebody changes or deletes what no event is emitted for."""
        if kind == 9:
            self.server.delete(one.id)
        elif kind == 10:
            tags = [EXPERIMENT_TAG, *(("sweep:a",), ("session:s", ARCHIVED_TAG), ())[how % 3]]
            self.server.change(one.id, tags=tags, name=f"n{how}")
        else:
            labels = {f"{LABEL_PREFIX}started_at": 5.0, f"{LABEL_PREFIX}archived": how % 2 == 0}
            self.server.change(one.id, labels=labels)


@settings(max_examples=150, deadline=None)
@given(steps=st.lists(STEP, max_size=40), looks=st.sets(st.integers(0, 40)))
def test_after_any_history_it_tells_what_a_fresh_read_tells(
    steps: list[tuple[int, int, int]], looks: set[int]
) -> None:
    asyncio.run(live_through(History(edits=True), steps, looks))


@settings(max_examples=150, deadline=None)
@given(steps=st.lists(STEP, max_size=40), looks=st.sets(st.integers(0, 40)))
def test_once_the_stream_is_open_again_no_state_is_missed_however_many_events_were(
    steps: list[tuple[int, int, int]], looks: set[int]
) -> None:
    asyncio.run(live_through(History(edits=False), steps, looks))


async def live_through(
    history: History, steps: list[tuple[int, int, int]], looks: set[int]
) -> None:
    """Let it happen, with looks in between during which more happens; then compare."""
    server, picture = history.server, history.picture
    for at, step in enumerate(steps):
        if at in looks:
            server.meanwhile = lambda step=step: history.happen(*step)  # type: ignore[misc]
            await picture.fresh()
        else:
            history.happen(*step)
    server.meanwhile = lambda: None
    if not history.edits:
        picture.connected()
        server.seconds += 1.5
        await picture.fresh()
    else:
        await picture.fresh()
        await picture.compare()
    same(picture, server)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 6)), max_size=20))
def test_readings_in_any_order_leave_the_newest(
    readings: list[tuple[int, int, int]],
) -> None:
    server, table = FlowRuns(), RunTable()
    states = [server.create(Scheduled())]
    for how in range(6):
        server.seconds += 1
        states.append(server.change(states[0].id, state=STATES[how % 4]()))
    numbered = sorted((begin * 10 + version, version) for begin, version, _ in readings)
    for at, (_, version) in reversed(list(enumerate(numbered))):
        table.take([states[version]], Reading(2 * at, 2 * at + 1))
    if numbered:
        assert table.rows[str(states[0].id)].stamp[1] == states[numbered[-1][1]].state.id  # type: ignore[union-attr]


async def test_what_this_process_writes_is_told_at_once() -> None:
    server = FlowRuns()
    picture = picture_of(server)
    picture.connected()
    await picture.fresh()
    begin = picture.begin()
    run = server.create(ready_state(), "sweep:a")
    picture.took([run], begin)
    await picture.fresh()
    assert [one.status for one in told(picture)] == [RunStatus.READY]
    server.change(run.id, state=Cancelled())
    picture.owe(str(run.id))
    await picture.fresh()
    assert [one.status for one in told(picture)] == [RunStatus.STOPPED]
    server.delete(run.id)
    picture.owe(str(run.id))
    await picture.fresh()
    assert told(picture) == []


async def test_what_is_written_while_a_look_is_under_way_is_read_by_another() -> None:
    server = FlowRuns()
    picture = picture_of(server)
    run = server.create(Running())
    await picture.fresh()
    server.seconds += 2

    def write() -> None:
        server.change(run.id, state=Completed())
        picture.owe(str(run.id))

    server.meanwhile = write
    await picture.fresh()
    await picture.fresh()
    assert [one.status for one in told(picture)] == [RunStatus.FINISHED]


async def test_an_answer_that_began_earlier_undoes_nothing() -> None:
    server = FlowRuns()
    picture = picture_of(server)
    begin = picture.begin()
    early = server.create(Scheduled())
    server.seconds += 1
    server.change(early.id, state=Running())
    await picture.fresh()
    picture.took([early], begin)
    assert [one.status for one in told(picture)] == [RunStatus.LAUNCHING]


async def test_nobody_asks_prefect_where_nothing_runs_and_the_stream_is_open() -> None:
    server = FlowRuns()
    server.ended(450, "sweep:a")
    picture = picture_of(server)
    await picture.fresh()
    picture.connected()
    await picture.fresh()
    server.seconds += 4
    await picture.fresh()
    before = server.requests
    for _ in range(5):
        server.seconds += 1.1
        await picture.fresh()
    assert server.requests == before


async def test_labels_of_a_run_that_holds_a_slot_are_seen_without_an_event() -> None:
    server = FlowRuns()
    picture = picture_of(server)
    picture.connected()
    run = server.create(Running())
    await picture.fresh()
    server.change(run.id, labels={f"{LABEL_PREFIX}started_at": 7.0})
    server.seconds += 1.1
    await picture.fresh()
    assert [one.status for one in told(picture)] == [RunStatus.RUNNING]


async def test_deleted_runs_and_a_changed_name_are_found_by_comparing() -> None:
    server = FlowRuns()
    runs = server.ended(450)
    picture = picture_of(server)
    await picture.fresh()
    picture.connected()
    server.delete(runs[250].id)
    server.delete(runs[0].id)
    server.change(runs[300].id, name="renamed")
    keeping = asyncio.create_task(picture.keep())
    for _ in range(200):
        server.seconds += COUNT_SECONDS / 40
        await picture.fresh()
        await asyncio.sleep(0.01)
        if len(told(picture)) == 448:
            break
    keeping.cancel()
    assert told(picture) == truth(server)
    assert CHECK_SECONDS > COUNT_SECONDS


@faults
async def test_a_server_that_is_away_is_told_to_who_asks_and_asked_again(away: Exception) -> None:
    server = FlowRuns()
    picture = picture_of(server)
    await picture.fresh()
    run = server.create(Scheduled())
    picture.owe(str(run.id))

    def refuse() -> None:
        raise away

    server.meanwhile = refuse
    with pytest.raises(type(away)):
        await picture.fresh()
    await picture.fresh()
    assert [one.id for one in told(picture)] == [str(run.id)]


@faults
async def test_keeping_goes_on_when_the_server_is_back(
    away: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AGAIN_SECONDS", "TICK_SECONDS"):
        monkeypatch.setattr(picture_module, name, 0.0)
    server, refused = FlowRuns(), list[int]()
    runs = server.ended(3)
    picture = picture_of(server)

    def refuse() -> None:
        refused.append(1)
        raise away

    async def until(wanted: Callable[[], bool]) -> None:
        while not wanted():
            await asyncio.sleep(0)

    server.meanwhile = refuse
    keeping = asyncio.create_task(picture.keep())
    async with asyncio.timeout(20):
        # As it begins: unfilled, each answer would read all that is open from Prefect.
        await until(lambda: picture.is_filled)
        assert len(refused) == 1
        await picture.fresh()
        server.meanwhile = refuse
        server.change(runs[0].id, name="renamed")
        picture.touch(str(runs[0].id))
        await until(lambda: told(picture) == truth(server))
    assert len(refused) == 2
    assert not keeping.done()
    keeping.cancel()


async def test_a_session_is_found_by_every_name_it_has() -> None:
    server = FlowRuns()
    one, two = (server.session(Running(), chat_session_id="chat") for _ in range(2))
    server.change(two.id, tags=[*two.tags, "chat:chat"])
    picture = picture_of(server)
    await picture.fresh()
    seen = Seen(picture)

    async def found(name: str) -> UUID | None:
        session = await seen.session(server, name)  # type: ignore[arg-type]
        return session.id if session else None

    assert await found(str(one.id)) == one.id
    assert await found(str(one.id).upper()) == one.id
    assert await found("chat") == two.id
    assert await found(str(one.id)[:13]) == one.id
    assert await found("nobody") is None
    assert seen.as_of is not None
    assert [session.id for session in await seen.sessions([StateType.RUNNING], 9)] == [
        two.id,
        one.id,
    ]


async def test_all_who_ask_at_once_share_one_look() -> None:
    server = FlowRuns()
    server.create(Running())
    picture = picture_of(server)
    await picture.fresh()
    server.seconds += 5
    before = server.requests
    await asyncio.gather(*(picture.fresh() for _ in range(20)))
    assert server.requests - before == 2


def test_every_state_is_either_open_or_an_end() -> None:
    final = {StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED}
    assert set(OPEN) | final == set(StateType)


class SlowFlowRuns(FlowRuns):
    """Each page takes a second."""

    async def read_flow_runs(self, **asked: Any) -> list[FlowRun]:
        """A page of them."""
        page = await super().read_flow_runs(**asked)
        self.seconds += 1.0
        return page


async def test_all_that_waits_is_read_behind_the_answers_where_that_takes_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(picture_module, "TICK_SECONDS", 0.0)
    server = SlowFlowRuns()
    picture = picture_of(server)
    picture.connected()
    runs = [server.create(Scheduled()) for _ in range(1000)]
    await picture.fresh()
    server.seconds += 5
    await picture.fresh()
    # Nobody tells of these.
    server.change(runs[7].id, state=Cancelled())
    server.delete(runs[8].id)
    server.seconds += 60
    before = server.requests
    await picture.fresh()
    assert server.requests - before <= 1
    server.seconds += 200
    keeping = asyncio.create_task(picture.keep())
    async with asyncio.timeout(20):
        while len(picture.table.open) > 998:
            await picture.fresh()
            await asyncio.sleep(0)
    keeping.cancel()
    same(picture, server)
