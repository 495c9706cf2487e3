"""Which of Prefect's limits a queued run waits for, told by the limit's name.

Those that people have lowered, and those of which others hold slots. Where Wildloop's own runs hold
all slots of a host there is nothing to be told.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    WorkPoolFilter,
    WorkPoolFilterName,
    WorkQueueFilter,
    WorkQueueFilterName,
)
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.responses import GlobalConcurrencyLimitResponse
from pydantic import BaseModel, ConfigDict

from wildloop.flows.models.cluster import HostRecord
from wildloop.flows.models.run import Run, RunStatus
from wildloop.flows.prefect_inside.lean import GPU_TAG_LIMIT
from wildloop.flows.settings import CPU_QUEUE, POOL_NAME, RUNS_QUEUE, Settings
from wildloop.flows.store.base import Store
from wildloop.flows.store.hosts import live_hosts, set_by_wildloop
from wildloop.flows.store.limits import limit_name
from wildloop.flows.store.runs import RunStore
from wildloop.flows.store.seen import Seen
from wildloop.flows.store.states import in_states

FRESH_SECONDS = 5.0
MOST_LIMITS = 200
COUNTED = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)


class Bound(BaseModel):
    """A limit, and how much of it is taken.

    Attributes:
        name: as people know it.
        limit: what it is now.
        taken: slots, or flow runs under way.
        wanted: what Wildloop would have it be; None: it is people's alone.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    limit: int
    taken: int
    wanted: int | None = None

    @property
    def is_lowered(self) -> bool:
        """Whether people have set it below what Wildloop would."""
        return self.wanted is None or self.limit < self.wanted

    def has_room(self, count: int) -> bool:
        """Whether so many more fit."""
        return self.limit - self.taken >= count

    @property
    def text(self) -> str:
        """What a run says that waits for it."""
        return f"waits for the limit of {self.name}: {self.taken} of {self.limit} taken"


class Bounds(BaseModel):
    """All limits that a run may wait for.

    Attributes:
        whole: that every run counts in: the pool's.
        queues: those of the queues, where people have lowered them, by queue.
        tag: that on the task tag `gpu`, where there is one.
        hosts: those of the hosts that are online, by host.
    """

    model_config = ConfigDict(frozen=True)

    whole: Bound | None = None
    queues: dict[str, Bound] = {}
    tag: Bound | None = None
    hosts: dict[str, Bound] = {}

    def usable(self, g: int) -> int:
        """How many of `g` slots can be held while the limits are as they are."""
        found = [one.limit for one in (self.whole, self.tag) if one is not None]
        if self.hosts:
            found.append(sum(min(one.limit, one.wanted or 0) for one in self.hosts.values()))
        return max(0, min([g, *found]))


def reason_of(run: Run, bounds: Bounds, held: dict[str, int]) -> str | None:
    """What limit a queued run waits for; None where there is nothing to be told.

    Args:
        run: the run.
        bounds: the limits.
        held: the slots that Wildloop's runs hold, by host.
    """
    gpus = run.gpus_requested
    queue = bounds.queues.get(RUNS_QUEUE if gpus else CPU_QUEUE)
    for bound in (bounds.whole, queue):
        if bound is not None and not bound.has_room(1):
            return bound.text
    if not gpus:
        return None
    if bounds.tag is not None and not bounds.tag.has_room(gpus):
        return bounds.tag.text
    if any(bound.has_room(gpus) for bound in bounds.hosts.values()):
        return None
    told = [
        bound.text
        for host, bound in bounds.hosts.items()
        if bound.is_lowered or bound.taken > held.get(host, 0)
    ]
    return told[0] if told else None


@dataclass
class Lately:
    """The limits as they were last read, and when, by the monotonic clock."""

    bounds: Bounds | None = None
    at: float = 0.0


class Waits(Store):
    """Tells of queued runs which limit they wait for.

    Args:
        client, settings: as of `Store`.
        seen: the live picture, which answers in Prefect's stead.
        lately: what all who ask share; nothing tells of changes, so it is read anew after 5 s.
    """

    def __init__(
        self, client: PrefectClient, settings: Settings, seen: Seen, lately: Lately
    ) -> None:
        super().__init__(client, settings)
        self.seen, self._lately = seen, lately

    async def bounds(self) -> Bounds:
        """The limits as they are, 5 s old at most."""
        now = time.monotonic()
        if self._lately.bounds is None or now - self._lately.at > FRESH_SECONDS:
            self._lately.bounds, self._lately.at = await self._read(), now
        return self._lately.bounds

    async def explained(self, runs: Sequence[Run]) -> list[Run]:
        """The runs; those that are queued without a reason say what limit they wait for."""
        if not any(run.status is RunStatus.QUEUED and not run.reason for run in runs):
            return list(runs)
        bounds = await self.bounds()
        held: dict[str, int] = {}
        for run in await RunStore(self.client, self.settings, seen=self.seen).active():
            if run.status.is_active and run.host is not None:
                held[run.host] = held.get(run.host, 0) + run.gpus_requested
        return [
            run.model_copy(update={"reason": reason_of(run, bounds, held)})
            if run.status is RunStatus.QUEUED and not run.reason
            else run
            for run in runs
        ]

    async def _read(self) -> Bounds:
        records = await self.seen.recent("hosts", lambda: live_hosts(self.client))
        whole, queues, limits = await asyncio.gather(
            self._whole(),
            asyncio.gather(*(self._queue(name) for name in (RUNS_QUEUE, CPU_QUEUE))),
            self.client.read_global_concurrency_limits(limit=MOST_LIMITS),
        )
        named = {one.name: one for one in limits if one.active}
        tag = named.get(GPU_TAG_LIMIT)
        return Bounds(
            whole=whole,
            queues={name: bound for name, bound in queues if bound is not None},
            tag=_bound(tag, None) if tag is not None else None,
            hosts={
                record.host: _bound(named[name], record)
                for record in records
                if (name := limit_name(record.host)) in named
            },
        )

    async def _whole(self) -> Bound | None:
        limit = (await self.client.read_work_pool(POOL_NAME)).concurrency_limit
        if limit is None:
            return None
        return Bound(
            name=f"the work pool '{POOL_NAME}'", limit=limit, taken=await self._under_way()
        )

    async def _queue(self, name: str) -> tuple[str, Bound | None]:
        queue = await self.client.read_work_queue_by_name(name, POOL_NAME)
        limit, wanted = queue.concurrency_limit, set_by_wildloop(queue.description or "")
        if limit is None or wanted is None or limit >= wanted:
            return name, None
        taken = await self._under_way(name)
        return name, Bound(name=f"the queue '{name}'", limit=limit, taken=taken, wanted=wanted)

    async def _under_way(self, queue: str | None = None) -> int:
        """How many flow runs of the pool, or of a queue of it, are under way."""
        queues = WorkQueueFilter(name=WorkQueueFilterName(any_=[queue])) if queue else None
        found = await self.client.read_flow_runs(
            flow_run_filter=FlowRunFilter(state=in_states(list(COUNTED))),
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[POOL_NAME])),
            work_queue_filter=queues,
        )
        return len(found)


def _bound(limit: GlobalConcurrencyLimitResponse, record: HostRecord | None) -> Bound:
    return Bound(
        name=f"'{limit.name}'",
        limit=limit.limit,
        taken=limit.active_slots,
        wanted=record.slots if record is not None else None,
    )
