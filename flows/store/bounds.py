"""Prefect's limits that runs count in, beside the slots of the hosts: how much of each is taken.

Those that people have lowered, and those of which others hold slots. Where Wildloop's own runs hold
all slots of a host there is nothing to be told.
"""

import asyncio
from collections.abc import Mapping, Sequence

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
from pydantic import BaseModel, ConfigDict, Field

from wildloop.flows.models.cluster import HostRecord
from wildloop.flows.models.run import Run
from wildloop.flows.prefect_inside.lean import GPU_TAG_LIMIT
from wildloop.flows.settings import CPU_QUEUE, POOL_NAME, RUNS_QUEUE
from wildloop.flows.store.hosts import set_by_wildloop
from wildloop.flows.store.limits import limit_name
from wildloop.flows.store.states import in_states

FRESH_SECONDS = 5.0
"""How old they may be: nothing tells of changes, which only people make."""
MOST_LIMITS = 200
COUNTED = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)


class Bound(BaseModel):
    """A limit of Prefect's, and how much of it is taken."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(description="As people know it.")
    limit: int = Field(description="What it is now.")
    taken: int = Field(description="Slots, or flow runs under way.")
    wanted: int | None = Field(
        default=None, description="What Wildloop would have it be; none: it is people's alone."
    )

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
        beside: slots of further computes, which have no such limit.
    """

    model_config = ConfigDict(frozen=True)

    whole: Bound | None = None
    queues: dict[str, Bound] = {}
    tag: Bound | None = None
    hosts: dict[str, Bound] = {}
    beside: int = 0

    @property
    def lowered(self) -> list[Bound]:
        """Those that leave less than Wildloop would have."""
        every = [self.whole, *self.queues.values(), self.tag, *self.hosts.values()]
        return [one for one in every if one is not None and one.is_lowered]

    def usable(self, g: int) -> int:
        """How many of `g` slots can be held while the limits are as they are."""
        found = [one.limit for one in (self.whole, self.tag) if one is not None]
        if self.hosts:
            own = sum(min(one.limit, one.wanted or 0) for one in self.hosts.values())
            found.append(own + self.beside)
        return max(0, min([g, *found]))


def reason_of(run: Run, bounds: Bounds, held: Mapping[str, int]) -> str | None:
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


async def read_bounds(client: PrefectClient, records: Sequence[HostRecord]) -> Bounds:
    """All limits as they are now.

    Args:
        client: the Prefect client.
        records: the hosts that are online.
    """
    whole, queues, limits = await asyncio.gather(
        _whole(client),
        asyncio.gather(*(_queue(client, name) for name in (RUNS_QUEUE, CPU_QUEUE))),
        client.read_global_concurrency_limits(limit=MOST_LIMITS),
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
        beside=sum(offer.slots for record in records for offer in record.further),
    )


async def _whole(client: PrefectClient) -> Bound | None:
    limit = (await client.read_work_pool(POOL_NAME)).concurrency_limit
    if limit is None:
        return None
    return Bound(
        name=f"the work pool '{POOL_NAME}'", limit=limit, taken=await _under_way(client, None)
    )


async def _queue(client: PrefectClient, name: str) -> tuple[str, Bound | None]:
    queue = await client.read_work_queue_by_name(name, POOL_NAME)
    limit, wanted = queue.concurrency_limit, set_by_wildloop(queue.description or "")
    if limit is None or wanted is None or limit >= wanted:
        return name, None
    taken = await _under_way(client, name)
    return name, Bound(name=f"the queue '{name}'", limit=limit, taken=taken, wanted=wanted)


async def _under_way(client: PrefectClient, queue: str | None) -> int:
    """How many flow runs of the pool, or of a queue of it, are under way."""
    queues = WorkQueueFilter(name=WorkQueueFilterName(any_=[queue])) if queue else None
    return await client.count_flow_runs(
        flow_run_filter=FlowRunFilter(state=in_states(list(COUNTED))),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[POOL_NAME])),
        work_queue_filter=queues,
    )


def _bound(limit: GlobalConcurrencyLimitResponse, record: HostRecord | None) -> Bound:
    return Bound(
        name=f"'{limit.name}'",
        limit=limit.limit,
        taken=limit.active_slots,
        wanted=record.slots if record is not None else None,
    )
