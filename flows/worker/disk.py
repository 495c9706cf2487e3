"""Keeps runs from beginning on a full disk; those that run go on."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from prefect.client.schemas.objects import FlowRun

from wildloop.flows.files.disk import DiskLimits, disk_fault, home_fault
from wildloop.flows.models.alert import CONTINUE, NOTED, AlertKind, Finding, Severity
from wildloop.flows.store.run_mapping import EXPERIMENT_TAG, spec_of

logger = logging.getLogger("wildloop.disk")

FRESH_SECONDS = 5.0


class DiskGuard:
    """What one worker knows of the disks of its home, its database and its projects.

    Args:
        home: WILDLOOP_HOME.
        limits: what is to be left (default: by the environment).
        clock: seconds of a clock that is never set.
    """

    def __init__(
        self,
        home: Path,
        limits: DiskLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._home = home
        self._limits = limits or DiskLimits.from_environment()
        self._clock = clock
        self._looked: dict[Path | None, tuple[float, str | None]] = {}
        self._told: set[Path | None] = set()
        self._times = 0

    async def admit(
        self, offered: Sequence[FlowRun]
    ) -> tuple[list[FlowRun], list[tuple[FlowRun, Finding]]]:
        """Those that may begin; and what is to be told, once for each disk that has become full."""
        admitted, news = [], []
        for flow_run in offered:
            place, fault = await self._fault_for(flow_run)
            if fault is None:
                admitted.append(flow_run)
            elif place not in self._told:
                self._told.add(place)
                logger.warning("%s; new runs wait", fault)
                news.append((flow_run, self._finding(fault)))
        return admitted, news

    async def _fault_for(self, flow_run: FlowRun) -> tuple[Path | None, str | None]:
        if (fault := await self._look(None)) is not None:
            return None, fault
        if EXPERIMENT_TAG not in flow_run.tags or not (workdir := spec_of(flow_run).workdir):
            return None, None
        return Path(workdir), await self._look(Path(workdir))

    async def _look(self, place: Path | None) -> str | None:
        """What is the matter with a project's disk, or, for None, with the home's."""
        at, fault = self._looked.get(place, (float("-inf"), None))
        if self._clock() - at >= FRESH_SECONDS:
            fault = await asyncio.to_thread(self._read, place)
            self._looked[place] = self._clock(), fault
            if fault is None and place in self._told:
                self._told.discard(place)
                logger.warning("there is room again at %s: runs begin", place or self._home)
        return fault

    def _read(self, place: Path | None) -> str | None:
        if place is None:
            return home_fault(self._home, self._limits, probe=True)
        return disk_fault(place, self._limits, probe=True)

    def _finding(self, fault: str) -> Finding:
        self._times += 1
        return Finding(
            kind=AlertKind.DISK,
            severity=Severity.CRITICAL,
            message=f"{fault}. New runs wait until that is mended; those that run go on",
            choices=(CONTINUE, NOTED),
            key=f"disk-guard:{time.time():.0f}:{self._times}",
        )
