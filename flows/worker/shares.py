"""This worker's share of the GPU limits that others may take from too.

Each run, and each flow of a team's own that asks for slots, takes its slots before it gets devices,
and gives them back when its processes are gone, so that Prefect's pages show what is held. What
cannot be had keeps a run in the queue, where it holds nothing.

A run that ends hands its slots to the next one in the queue without a word to the server. But a
limit that is full of ours is never seen free by others, who only ask now and then, and of whose
waiting the server knows nothing: so after some time what one run gives back is left free for
`TURN_SECONDS`, while others go on handing theirs over. Where nobody takes it, that is done ever
more rarely.
"""

import time
from collections.abc import Callable, Collection
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.responses import GlobalConcurrencyLimitResponse
from pydantic import BaseModel, Field, ValidationError

from wildloop.flows.store import limits

TURN_SECONDS = 3.0
FIRST_TURN_SECONDS = 30.0
WANTED_TURN_SECONDS = 5.0
LAST_TURN_SECONDS = 120.0
FRESH_SECONDS = 5.0
RENEW_SECONDS = 150.0
DOUBTFUL_SECONDS = 30.0


class Share(BaseModel):
    """Slots of the limits, held by a lease. Times are Unix seconds."""

    lease: UUID
    slots: int
    names: list[str]
    renewed_at: float


class Kept(BaseModel):
    """What the next worker must know after a crash.

    Attributes:
        limit: what Wildloop has set as the host's limit.
        shares: by flow run.
        free: of flow runs that are over, for the next one.
    """

    limit: int | None = None
    shares: dict[UUID, Share] = Field(default_factory=dict)
    free: list[Share] = Field(default_factory=list)


class Shares:
    """What this worker holds of the shared limits.

    Args:
        host: whose limit.
        path: where what is held is noted for the next worker.
        clock: tells Unix seconds.
    """

    def __init__(self, host: str, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._host, self._path, self._clock = host, path, clock
        self._kept = _read(path)
        self._lacking: dict[UUID, int] = {}
        self._limits: list[GlobalConcurrencyLimitResponse] = []
        self._read_at = 0.0
        self._waits = False
        self._full_since: float | None = None
        self._turn_after = FIRST_TURN_SECONDS
        self._turn: tuple[float, int] | None = None

    @property
    def bound(self) -> int | None:
        """The lowest of the limits, as last seen: no more slots can be held; None: no limit."""
        return min((limit.limit for limit in self._limits), default=None)

    @property
    def taken(self) -> set[UUID]:
        """The flow runs that have slots, also those of the worker before this one."""
        return set(self._kept.shares)

    async def refresh(self, client: PrefectClient, slots: int, driven: Collection[UUID]) -> None:
        """Keep the host's limit in step, renew leases, and give back those of runs that are over.

        Args:
            client: the Prefect client.
            slots: what the host has.
            driven: the flow runs that this worker drives.
        """
        known = await limits.set_limit(client, self._host, slots, self._kept.limit)
        if known != self._kept.limit:
            self._kept.limit = known
            self._note()
        await self._look(client)
        for id in [id for id in self._kept.shares if id not in driven]:
            self.give(id)
        await self.settle(client)
        for id, share in list(self._kept.shares.items()):
            if self._clock() - share.renewed_at > RENEW_SECONDS:
                await self._renew(client, id, share)
        for id, count in list(self._lacking.items()):
            if id not in driven or await self._acquire(client, id, count):
                self._lacking.pop(id, None)

    async def take(self, client: PrefectClient, id: UUID, slots: int) -> bool:
        """Take slots for a flow run that is about to begin; False if they are not to be had now."""
        if slots == 0 or id in self._kept.shares or not self._limits:
            return True
        is_turn = self._turn is not None and not await self._turn_is_over(client)
        share = next((share for share in self._kept.free if share.slots == slots), None)
        if share is None:
            # What is free in a turn is left to others.
            if is_turn or (self._waits and not await self._has_room(client, slots)):
                return False
            return await self._acquire(client, id, slots)
        now = self._clock()
        self._full_since = self._full_since or now
        if now - self._read_at > FRESH_SECONDS:
            await self._look(client)
            if any(limit.active_slots > limit.limit for limit in self._limits):
                # Lowered meanwhile; `settle` gives it back.
                return False
        if not is_turn and now - self._full_since > self._turn_after:
            await self._look(client)
            self._turn = (now + TURN_SECONDS, self._others())
            self._kept.free.remove(share)
            await self._return(client, share)
            self._note()
            return await self.take(client, id, slots)
        self._kept.free.remove(share)
        self._kept.shares[id] = share
        self._note()
        return True

    def adopt(self, id: UUID, slots: int) -> None:
        """Count a flow run that has begun before: where its lease is lost, another is asked for."""
        if slots and id not in self._kept.shares:
            self._lacking[id] = slots

    def give(self, id: UUID) -> None:
        """Have the slots of a flow run that is over for the next one."""
        self._lacking.pop(id, None)
        share = self._kept.shares.pop(id, None)
        if share is not None:
            self._kept.free.append(share)

    async def settle(self, client: PrefectClient) -> None:
        """Give back what no run has taken over."""
        if not self._kept.free:
            return
        unused, self._kept.free = self._kept.free, []
        if self._turn is None:
            self._full_since = None
        for share in unused:
            await self._return(client, share)
        self._note()

    async def _return(self, client: PrefectClient, share: Share) -> None:
        is_doubtful = self._clock() - share.renewed_at > DOUBTFUL_SECONDS
        if is_doubtful and not await limits.renew(client, share.lease):
            await self._forget_lost(client, share)
        else:
            await limits.give_back(client, share.lease)

    async def _acquire(self, client: PrefectClient, id: UUID, slots: int) -> bool:
        names = [limit.name for limit in self._limits]
        if not names:
            return True
        lease = await limits.take_slots(client, names, slots, id)
        self._waits = lease is None
        if lease is None:
            self._full_since = self._full_since or self._clock()
            return False
        self._kept.shares[id] = Share(
            lease=lease, slots=slots, names=names, renewed_at=self._clock()
        )
        self._note()
        return True

    async def _turn_is_over(self, client: PrefectClient) -> bool:
        """Whether others have taken what was left free for them, or have not wanted it."""
        assert self._turn is not None
        until, before = self._turn
        await self._look(client)
        if self._others() > before:
            self._turn_after = WANTED_TURN_SECONDS
        elif self._clock() < until:
            return False
        else:
            self._turn_after = min(LAST_TURN_SECONDS, max(self._turn_after * 2, FIRST_TURN_SECONDS))
        self._turn, self._full_since = None, self._clock()
        return True

    async def _has_room(self, client: PrefectClient, slots: int) -> bool:
        await self._look(client)
        return all(limit.limit - limit.active_slots >= slots for limit in self._limits)

    async def _look(self, client: PrefectClient) -> None:
        self._limits = await limits.read_limits(client, self._host)
        self._read_at = self._clock()

    def _others(self) -> int:
        """How many slots others hold, at most, as last seen."""
        own = [*self._kept.shares.values(), *self._kept.free]
        return max(
            (
                limit.active_slots - sum(one.slots for one in own if limit.name in one.names)
                for limit in self._limits
            ),
            default=0,
        )

    async def _renew(self, client: PrefectClient, id: UUID, share: Share) -> None:
        if await limits.renew(client, share.lease):
            share.renewed_at = self._clock()
        else:
            await self._forget_lost(client, share)
            del self._kept.shares[id]
            self._lacking[id] = share.slots
        self._note()

    async def _forget_lost(self, client: PrefectClient, share: Share) -> None:
        """A lease that is gone before its time was lost by the server, which counts it still."""
        if self._clock() - share.renewed_at < limits.LEASE_SECONDS:
            await limits.give_back_lost(client, share.names, share.slots)

    def _note(self) -> None:
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(self._kept.model_dump_json() + "\n", encoding="utf-8")
        temporary.replace(self._path)


def _read(path: Path) -> Kept:
    try:
        return Kept.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return Kept()
