"""The runs of a session for its flow, kept in step by asking only for what has changed."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterId,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort

from wildloop.flows.errors import AWAY
from wildloop.flows.models.run import Run
from wildloop.flows.store.base import CLOCK_SLACK, PAGE
from wildloop.flows.store.run_mapping import EXPERIMENT_TAG, to_run
from wildloop.flows.store.states import ACTIVE, in_states

OPEN = (*ACTIVE, StateType.PAUSED)
WHOLE_SECONDS = 900.0
OPEN_SECONDS = 5.0
NEAR_SLACK = timedelta(seconds=5)
AT_ONCE = 3

logger = logging.getLogger("wildloop.runs")


class RunIndex:
    """A copy of the runs of sweeps and sessions; all of it can be read again at any time.

    Ten thousand ended runs are read once, then only those that are open, were so at the look
    before, or are new: ends are not asked for by time, since each host has its own clock. Within
    five seconds of such a look, the ones after it ask for what was open and what is new alone;
    what a host whose clock is wrong created and ended meanwhile, or what was begun anew, follows
    then. What is changed of ended runs (name, sweep) is seen when all is read again, every 15
    minutes and behind the answers. The API has the live picture instead (`picture.py`).

    Args:
        session_id: of the only session whose runs are wanted (default: all runs).
    """

    def __init__(self, session_id: str | None = None) -> None:
        self.session_id = session_id
        of_session = [f"session:{session_id}"] if session_id is not None else []
        self._wanted = FlowRunFilterTags(all_=[EXPERIMENT_TAG, *of_session])
        self._runs: dict[str, Run] = {}
        self._open: set[str] = set()
        self._read_at: datetime | None = None
        self._looked_at = -math.inf
        self._whole_at = 0.0
        self._opened_at = -math.inf
        self._rereading: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()

    async def by_sweep(self, client: PrefectClient) -> dict[str, list[Run]]:
        """The runs of each sweep as they stand, oldest first."""
        return await self._by(client, lambda run: run.sweep_id)

    async def by_session(self, client: PrefectClient) -> dict[str, list[Run]]:
        """The runs of each session as they stand, oldest first."""
        return await self._by(client, lambda run: run.chat_session_id)

    async def of_session(
        self, client: PrefectClient, session_id: str, max_age_s: float = 0.0
    ) -> list[Run]:
        """The runs of one session, oldest first, as they stood at most `max_age_s` ago."""
        async with self._lock:
            if time.monotonic() - self._looked_at > max_age_s:
                await self._refresh(client)
            found = [run for run in self._runs.values() if run.chat_session_id == session_id]
            return sorted(found, key=lambda run: run.created_at)

    async def _by(
        self, client: PrefectClient, key: Callable[[Run], str | None]
    ) -> dict[str, list[Run]]:
        async with self._lock:
            await self._refresh(client)
            found: dict[str, list[Run]] = {}
            for run in sorted(self._runs.values(), key=lambda run: run.created_at):
                if (of := key(run)) is not None:
                    found.setdefault(of, []).append(run)
            return found

    async def _refresh(self, client: PrefectClient) -> None:
        now, looked_at = datetime.now(UTC), time.monotonic()
        if self._read_at is None:
            runs = await _read(client, FlowRunFilter(tags=self._wanted))
            self._whole_at = time.monotonic()
        else:
            if time.monotonic() - self._whole_at > WHOLE_SECONDS:
                self._whole_at = time.monotonic()
                self._rereading = asyncio.create_task(self._reread(client))
            runs = await self._moved(client, self._read_at)
            ended = self._open - {run.id for run in runs}
            found = await asyncio.gather(
                *(
                    _read(client, FlowRunFilter(id=FlowRunFilterId(any_=ids)))
                    for ids in _parts(ended)
                )
            )
            # One that was open and is in no answer has been deleted.
            for id in self._open:
                self._runs.pop(id, None)
            self._open = set()
            runs += [run for some in found for run in some]
        self._take(runs)
        self._read_at, self._looked_at = now, looked_at

    async def _reread(self, client: PrefectClient) -> None:
        """Replace the copy by a new one, while others are answered from the old one."""
        began = datetime.now(UTC)
        try:
            runs = await _read(client, FlowRunFilter(tags=self._wanted))
        except AWAY as error:
            logger.warning("runs not read anew (%r): the copy stays as it is", error)
            return
        async with self._lock:
            self._runs, self._open = {}, set()
            self._take(runs)
            # Those that ended meanwhile are asked for at the next look.
            self._read_at = began

    async def _moved(self, client: PrefectClient, read_at: datetime) -> list[Run]:
        """What was created since, which may have ended unseen, and now and then all that is open.

        What was open, and is in neither, is asked for by its id.
        """
        is_near = time.monotonic() - self._opened_at < OPEN_SECONDS
        since = read_at - (NEAR_SLACK if is_near else CLOCK_SLACK)
        after = FlowRunFilterExpectedStartTime(after_=since)
        looks = [FlowRunFilter(tags=self._wanted, expected_start_time=after)]
        if not is_near:
            self._opened_at = time.monotonic()
            looks.insert(0, FlowRunFilter(tags=self._wanted, state=in_states(OPEN)))
        found = await asyncio.gather(*(_read(client, look) for look in looks))
        return [run for some in found for run in some]

    def _take(self, runs: Iterable[Run]) -> None:
        for run in runs:
            self._open.discard(run.id)
            if run.sweep_id is None and run.chat_session_id is None:
                self._runs.pop(run.id, None)
                continue
            # What is worked out of a run holds for as long as it is the same object.
            if self._runs.get(run.id) != run:
                self._runs[run.id] = run
            if not run.status.is_terminal:
                self._open.add(run.id)


def _parts(ids: Iterable[str]) -> Iterator[list[UUID]]:
    """The ids, as many at once as a request may name."""
    ordered = sorted(ids)
    for start in range(0, len(ordered), PAGE):
        yield [UUID(id) for id in ordered[start : start + PAGE]]


async def _read(client: PrefectClient, wanted: FlowRunFilter) -> list[Run]:
    """Every flow run that matches, a few pages at once."""
    found: dict[UUID, FlowRun] = {}
    offset = 0
    while True:
        pages = await asyncio.gather(
            *(
                client.read_flow_runs(
                    flow_run_filter=wanted,
                    sort=FlowRunSort.EXPECTED_START_TIME_DESC,
                    limit=PAGE,
                    offset=offset + number * PAGE,
                )
                for number in range(AT_ONCE if offset else 1)
            )
        )
        offset += PAGE * len(pages)
        found |= {flow_run.id: flow_run for page in pages for flow_run in page}
        if len(pages[-1]) < PAGE:
            # Thousands take seconds, in which the other requests are not to wait.
            return await asyncio.to_thread(_to_runs, list(found.values()))


def _to_runs(flow_runs: list[FlowRun]) -> list[Run]:
    return [to_run(flow_run) for flow_run in flow_runs]
