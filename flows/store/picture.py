"""The live picture: runs and sessions in memory, never much older than what Prefect would say.

Prefect stays the only database: what is told here can all be read again, and is, at intervals.

- What its event stream tells of is read anew, a moment later; events only say which flow run to
  look at, so that lost, doubled and late ones undo nothing.
- What this process writes is read again before the next answer.
- Runs that hold a slot are looked at once a second while somebody asks: their labels change
  without an event.
- All that is open or young is read every ten seconds, and at each ask while there is no stream.
  Where thousands wait it is read behind the answers, a twentieth of the time.
- The rest is compared page by page, all of it where the server counts other than this table.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, StateType

from wildloop.flows.errors import AWAY, PrefectAway
from wildloop.flows.store.base import CLOCK_SLACK, PAGE
from wildloop.flows.store.flow_run_pages import EVERY, FlowRunPages, open_and_young
from wildloop.flows.store.recent import Recent
from wildloop.flows.store.run_table import Reading, RunTable

# How old an answer may be; the look behind it comes a little sooner.
OLDEST_SECONDS = 1.0
LOOK_SECONDS = 0.7
TICK_SECONDS = 0.25
ATTENDED_SECONDS = 5.0
OPEN_SECONDS = 10.0
OPEN_SHARE = 0.05
MANY_OPEN = 800
CHECK_SECONDS = 30.0
COUNT_SECONDS = 10.0
AGAIN_SECONDS = 2.0
SETTLE_SECONDS = 3.0
RARELY_SECONDS = 600.0
# With few that wait, a look tells all that is open as it was at one moment.
FEW_WAITING = 25

logger = logging.getLogger("wildloop.picture")


class Picture:
    """What one process knows of runs and sessions.

    Args:
        client: the Prefect client.
        clock: seconds of a clock that is never set.
        wall: the time of day, which may be set.
    """

    def __init__(
        self,
        client: PrefectClient,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.table = RunTable()
        self.recent = Recent(OLDEST_SECONDS, clock)
        self.is_filled = False
        self.is_live = False
        self.as_of = -math.inf
        self.as_of_wall = 0.0
        self.writes = 0
        self.news = 0
        self._pages, self._clock, self._wall = FlowRunPages(client), clock, wall
        self._count = 0
        self._owed: dict[str, int] = {}
        self._told: dict[str, tuple[int, float]] = {}
        self._owes_all = 0
        self._is_due = True
        self._open_at, self._open_wall = clock(), wall()
        self._open_seconds = OPEN_SECONDS
        self._connected_at = -math.inf
        self._checked_at = self._counted_at = clock()
        self._count_seconds = COUNT_SECONDS
        self._difference = 0
        self._checked = 0
        self._asked_at = -math.inf
        self._asked = asyncio.Event()
        self._look_task: asyncio.Task[None] | None = None
        self._look_at = -math.inf
        self._fill_task: asyncio.Task[None] | None = None

    def touch(self, id: str) -> None:
        """An event has told of a flow run: it is read anew within a second."""
        _, since = self._told.get(id, (0, self._clock()))
        self._told[id] = (self._next(), since)
        self.news += 1

    def owe(self, id: str) -> None:
        """This process has written a flow run: it is read before the next answer."""
        self._owed[id] = self._next()
        self._wrote()

    def owe_all(self) -> None:
        """This process has written what it cannot name: all that is open or young is read."""
        self._owes_all = self._next()
        self._wrote()

    def wrote_beside(self) -> None:
        """This process has written something else, as an artifact."""
        self._wrote()

    @property
    def heard(self) -> int | None:
        """Another number whenever something was written or told of; None: without a stream."""
        return self.news if self.is_live else None

    def begin(self) -> int:
        """The number of what begins now, for `took`."""
        return self._next()

    def took(self, flow_runs: Sequence[FlowRun], begin: int) -> None:
        """Take in the flow runs that a request which began then has answered with."""
        self.table.take(flow_runs, Reading(begin, self._next()))
        for flow_run in flow_runs:
            if self._owed.get(str(flow_run.id), begin) < begin:
                del self._owed[str(flow_run.id)]

    def connected(self) -> None:
        """The event stream has begun, or begun again: what it missed is read."""
        self.is_live = self._is_due = True
        self.news += 1
        self._connected_at = self._clock()

    def disconnected(self) -> None:
        """There is no event stream."""
        self.is_live = False

    async def fresh(self) -> None:
        """Wait until the table holds what this process has written, and is a second old at most.

        Raises:
            httpx.HTTPError, PrefectAway: Prefect does not answer.
        """
        self._asked_at = now = self._clock()
        self._asked.set()
        await self.fill()
        written, oldest = self._next(), now - OLDEST_SECONDS
        while not self._is_good(written, oldest):
            try:
                await self._look()
            except (httpx.TransportError, PrefectAway):
                # One that had waited for the server before is no answer to who comes only now.
                if self._look_at >= now:
                    raise

    async def fill(self) -> None:
        """Read all there is, once.

        Raises:
            httpx.HTTPError, PrefectAway: Prefect does not answer.
        """
        if not self.is_filled:
            if self._fill_task is None or self._fill_task.done():
                self._fill_task = asyncio.create_task(self._fill())
            await asyncio.shield(self._fill_task)

    async def keep(self) -> None:
        """Fill the table, then keep it while somebody asks; until cancelled."""
        while not self.is_filled:
            # Whatever else is being started goes first.
            await asyncio.sleep(AGAIN_SECONDS)
            try:
                await self.fill()
            except AWAY as error:
                logger.warning("runs not read (%r): trying again", error)
        while True:
            if self._clock() - self._asked_at > ATTENDED_SECONDS:
                self._asked.clear()
                await self._asked.wait()
            try:
                if self._has_news() or self._clock() - self.as_of > LOOK_SECONDS:
                    await self._look()
                await self._check()
            except AWAY as error:
                # Who asks is told so by its own look.
                logger.warning("runs not looked at (%r): trying again", error)
                await asyncio.sleep(AGAIN_SECONDS)
            await asyncio.sleep(TICK_SECONDS)

    def close(self) -> None:
        """End what is being read."""
        for task in (self._look_task, self._fill_task):
            if task is not None:
                task.cancel()

    def _wrote(self) -> None:
        self.writes += 1
        self.news += 1

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _has_news(self) -> bool:
        return bool(self._told or self._owed or self._owes_all or self.table.unsure)

    def _is_good(self, written: int, oldest: float) -> bool:
        """Whether what was written up to that number is known, and nothing is older than that."""
        if self._owes_all and self._owes_all < written:
            return False
        if any(number < written for number in self._owed.values()):
            return False
        if any(since < oldest for _, since in self._told.values()):
            return False
        return self.as_of >= oldest

    async def _look(self) -> None:
        """Read what is owed; those who come while it is read wait for its end, and look again."""
        if self._look_task is None or self._look_task.done():
            self._look_at = self._clock()
            self._look_task = asyncio.create_task(self._read_news())
        await asyncio.shield(self._look_task)

    async def _read_news(self) -> None:
        begin, at, wall = self._next(), self._clock(), self._wall()
        is_due = self._is_open_due(at)
        self._is_due = False
        found = await self._open_or_young(at, wall) if is_due else []
        seen = {str(one.id) for one in found}
        told = {id for id, (number, _) in self._told.items() if number < begin}
        owed = {id for id, number in self._owed.items() if number < begin}
        wanted = {*told, *owed, *self.table.unsure, *self._watched(is_due)} - seen
        read = await self._pages.by_id(wanted)
        reading = Reading(begin, self._next())
        self.table.take([*found, *read], reading)
        self.table.drop(wanted - {str(one.id) for one in read}, reading)
        self._told = {
            id: (number, max(since, at))
            for id, (number, since) in self._told.items()
            if number > begin
        }
        self._owed = {id: number for id, number in self._owed.items() if number > begin}
        if is_due:
            self._owes_all = self._owes_all if self._owes_all > begin else 0
            self._opened(at, wall)
        self.as_of, self.as_of_wall = at, wall.timestamp()

    def _watched(self, all_open: bool) -> Iterable[str]:
        """The open ones that are looked at without an event: those that hold a slot, at least."""
        if all_open or len(self.table.open) <= FEW_WAITING:
            return set(self.table.open)
        held = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)
        return {id for id in self.table.open if self.table.rows[id].type in held}

    async def _open_or_young(self, at: float, wall: datetime) -> list[FlowRun]:
        """All that is open, and all that was created since the last such look."""
        wanted = open_and_young(self._since(at, wall))
        both = await asyncio.gather(*map(self._pages.all_of, wanted))
        return [one for some in both for one in some]

    def _since(self, at: float, wall: datetime) -> datetime:
        """When what is young was created: after the last look at all that is open.

        Whoever creates a flow run puts a time on it, and a clock may have been set meanwhile.
        """
        return min(self._open_wall, wall - timedelta(seconds=at - self._open_at)) - CLOCK_SLACK

    def _is_open_due(self, at: float) -> bool:
        if not self.is_live or self._is_due or self._owes_all:
            return True
        # The server subscribes us a moment after it says so.
        settled_at = self._connected_at + SETTLE_SECONDS
        if self._open_at < settled_at <= at:
            return True
        # One that takes long is no part of an answer.
        return self._open_seconds <= OPEN_SECONDS and at - self._open_at > OPEN_SECONDS

    async def _fill(self) -> None:
        """Read all, page by page: what is created meanwhile pushes some into two of them."""
        at, wall, offset = self._clock(), self._wall(), 0
        while True:
            begin = self._next()
            page = await self._pages.page(EVERY, offset)
            self.table.take(page, Reading(begin, self._next()))
            offset += PAGE
            if len(page) < PAGE:
                break
        self._open_at, self._open_wall = at, wall
        self.is_filled = True

    async def _check(self) -> None:
        """Compare with Prefect what no event would tell of, a page at a time."""
        now = self._clock()
        if now - self._open_at > self._open_seconds > OPEN_SECONDS:
            await self._read_open()
        elif now - self._counted_at > self._count_seconds and not self._has_news():
            self._counted_at = now
            await self._check_count()
        elif now - self._checked_at > CHECK_SECONDS:
            self._checked_at = now
            # What people look at, and in turn all the rest.
            following = self._checked
            self._checked = await self._check_page(0)
            if following:
                self._checked = await self._check_page(following)

    async def _read_open(self) -> None:
        """Read all that is open or young, page by page, while others are answered."""
        at, wall = self._clock(), self._wall()
        seen: set[str] = set()
        for wanted in open_and_young(self._since(at, wall)):
            offset, is_last = 0, False
            while not is_last:
                begin = self._next()
                page = await self._pages.page(wanted, offset)
                self.table.take(page, Reading(begin, self._next()))
                seen |= {str(one.id) for one in page}
                offset, is_last = offset + PAGE, len(page) < PAGE
        missing = self.table.open - seen
        begin = self._next()
        read = await self._pages.by_id(missing)
        reading = Reading(begin, self._next())
        self.table.take(read, reading)
        self.table.drop(missing - {str(one.id) for one in read}, reading)
        self._opened(at, wall)

    def _opened(self, at: float, wall: datetime) -> None:
        """Note that all that is open was read, from then on until now."""
        self._open_at, self._open_wall = at, wall
        is_long = len(self.table.open) > MANY_OPEN
        self._open_seconds = max(OPEN_SECONDS, (self._clock() - at) / OPEN_SHARE * is_long)

    async def _check_count(self) -> None:
        """Compare all where the server counts otherwise, twice by the same number."""
        there = await self._pages.count()
        before, self._difference = self._difference, there - len(self.table.rows)
        if self._difference == 0:
            self._count_seconds = COUNT_SECONDS
        elif self._difference != before:
            # What others create is told of a moment later.
            self._is_due, self._counted_at = (
                True,
                self._clock() - self._count_seconds + AGAIN_SECONDS,
            )
        else:
            logger.info("the server has %+d runs and sessions: reading all", self._difference)
            # What reading does not mend is not read again and again.
            self._count_seconds = min(self._count_seconds * 2, RARELY_SECONDS)
            await self.compare()

    async def compare(self) -> None:
        """Compare all of the table with Prefect.

        Raises:
            httpx.HTTPError, PrefectAway: Prefect does not answer.
        """
        following = await self._check_page(0)
        while following:
            following = await self._check_page(following)

    async def _check_page(self, offset: int) -> int:
        """Compare the page that begins there; where the next one begins, 0 if there is none.

        The last of a page is the first of the next, so that nothing lies between them.
        """
        begin = self._next()
        page = await self._pages.page(EVERY, offset)
        self.table.take(page, Reading(begin, self._next()))
        is_last = len(page) < PAGE
        known = [str(one.id) for one in page if str(one.id) in self.table.rows]
        if known or (offset == 0 and is_last):
            newest = known[0] if offset else None
            oldest = None if is_last else known[-1]
            missing = {*self.table.between(newest, oldest)} - {str(one.id) for one in page}
            begin = self._next()
            read = await self._pages.by_id(missing)
            reading = Reading(begin, self._next())
            self.table.take(read, reading)
            self.table.drop(missing - {str(one.id) for one in read}, reading)
        return 0 if is_last else offset + PAGE - 1
