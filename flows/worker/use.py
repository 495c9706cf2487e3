"""Notes how this host is used: means over two minutes, for twelve hours."""

import time
from collections import defaultdict
from uuid import UUID

import psutil
from prefect.client.orchestration import PrefectClient

from wildloop.blocks.cluster.contention import Occupancy
from wildloop.flows.models.use import SAMPLES, UseRecord, UseSample
from wildloop.flows.store.use import read_uses, write_use

EVERY_SECONDS = 120.0
MIB = 2.0**20


class UseNotes:
    """The series of one host; what an earlier worker has noted goes on.

    Args:
        host: its name.
        every_seconds: how much of it is one sample.
    """

    def __init__(self, host: str, every_seconds: float = EVERY_SECONDS) -> None:
        self._record = UseRecord(host=host, every_seconds=every_seconds)
        self._version: UUID | None = None
        self._due_at: float | None = None
        self._cpu: list[float] = []
        self._memory: list[float] = []
        self._devices: dict[str, list[tuple[float | None, float | None]]] = defaultdict(list)

    async def note(self, client: PrefectClient, seen: Occupancy | None) -> None:
        """Look at the host, and write a sample where one is due.

        Args:
            client: the Prefect client.
            seen: its GPUs; None on a host without.
        """
        now = time.time()
        if self._due_at is None:
            await self._take_up(client)
            # The first value of psutil is since the process began, or none.
            psutil.cpu_percent()
            self._due_at = now
        else:
            self._cpu.append(psutil.cpu_percent())
        memory = psutil.virtual_memory()
        self._memory.append((memory.total - memory.available) / MIB)
        self._record.memory_total = memory.total / MIB
        for sample in seen.samples if seen is not None else ():
            self._devices[sample.device].append((sample.memory_used_mib, sample.utilisation))
            if sample.memory_total_mib is not None:
                self._record.device_totals[sample.device] = sample.memory_total_mib
        if now >= self._due_at:
            self._due_at = now + self._record.every_seconds
            self._add(now)
            self._version = await write_use(client, self._record, self._version)

    async def _take_up(self, client: PrefectClient) -> None:
        for one in await read_uses(client):
            if one.host == self._record.host:
                self._record.samples = one.samples

    def _add(self, now: float) -> None:
        sample = UseSample(
            at=round(now),
            cpu=_mean(self._cpu),
            memory=_most(self._memory),
            devices={
                device: (_most([m for m, _ in seen]), _mean([use for _, use in seen]))
                for device, seen in self._devices.items()
            },
        )
        self._record.samples = [*self._record.samples, sample][-SAMPLES:]
        self._cpu.clear()
        self._memory.clear()
        self._devices.clear()


def _mean(values: list[float | None] | list[float]) -> float | None:
    known = [one for one in values if one is not None]
    return round(sum(known) / len(known), 1) if known else None


def _most(values: list[float | None] | list[float]) -> float | None:
    known = [one for one in values if one is not None]
    return round(max(known)) if known else None
