"""For which large runs slots are kept: those that smaller ones have passed for long enough.

Of several hosts that could serve one, one keeps slots for it, the next only after as long again:
each tells by itself which it is, from the run's id and the hosts' names.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Sequence
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun

from wildloop.flows.models.cluster import HostRecord
from wildloop.flows.models.run import RunSpec
from wildloop.flows.store.hosts import live_hosts

PATIENCE_VARIABLE = "WILDLOOP_LARGE_WAIT_SECONDS"
PATIENCE_SECONDS = 300.0
FRESH_SECONDS = 15.0
REMEMBERED = 1000


class Keeping:
    """Since when runs are passed by smaller ones on this host.

    Args:
        host: this host's name.
        patience_seconds: how long a run may be passed; None: what the environment says.
        clock: seconds of a clock that is never set.
    """

    def __init__(
        self,
        host: str,
        patience_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        told = os.environ.get(PATIENCE_VARIABLE) or PATIENCE_SECONDS
        self._host, self._clock = host, clock
        self._patience = float(told) if patience_seconds is None else patience_seconds
        self._passed: dict[UUID, float] = {}
        self._hosts: list[HostRecord] = []
        self._read_at: float | None = None

    async def due(
        self,
        client: PrefectClient,
        runs: Sequence[FlowRun],
        demand: Callable[[FlowRun], RunSpec],
    ) -> set[UUID]:
        """Those for which this host keeps what is free. One slot is had as soon as one is free."""
        large = [run for run in runs if demand(run).gpus > 1]
        if self._patience <= 0:
            return {run.id for run in large}
        now = self._clock()
        found = set()
        for run in large:
            turns = int((now - self._passed.get(run.id, now)) / self._patience)
            if turns > 0 and await self._place(client, run.id, demand(run)) < turns:
                found.add(run.id)
        return found

    def look(self, passed: Iterable[str], chosen: Iterable[str]) -> None:
        """Note which runs have been passed now, and which need no more be waited for."""
        for id in map(UUID, passed):
            self._passed.setdefault(id, self._clock())
        for id in map(UUID, chosen):
            self._passed.pop(id, None)
        while len(self._passed) > REMEMBERED:
            del self._passed[next(iter(self._passed))]

    async def _place(self, client: PrefectClient, id: UUID, spec: RunSpec) -> int:
        """How many hosts are to keep slots for a run before this one does."""
        if self._read_at is None or self._clock() - self._read_at > FRESH_SECONDS:
            self._hosts, self._read_at = await live_hosts(client), self._clock()
        names = [
            record.host
            for record in self._hosts
            if record.host != self._host and any(offer.serves(spec) for offer in record.offers)
        ]
        mine = _rank(id, self._host)
        return sum(_rank(id, name) < mine for name in names)


def _rank(id: UUID, host: str) -> str:
    return hashlib.sha256(f"{id} {host}".encode()).hexdigest()
