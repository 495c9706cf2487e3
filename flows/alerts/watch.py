"""The watch over one run: looks at its files every few seconds and raises alerts."""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import httpx
from prefect.logging import get_logger

from wildloop.blocks.launchers.base import ProcessStatus
from wildloop.flows.alerts.ending import end_finding, gpu_lost, lost_gpu
from wildloop.flows.alerts.machine import DiskWatch, SilenceWatch
from wildloop.flows.alerts.sources import MetricsWatch
from wildloop.flows.errors import InvalidRequest, WildloopError
from wildloop.flows.files.paths import RunPaths
from wildloop.flows.models.alert import STOP, Alert, Finding
from wildloop.flows.project import AlertsConfig, MetricConfig, ProjectConfig, load_project
from wildloop.flows.run.attempts import log_tail
from wildloop.flows.run.execution import Execution, Outcome
from wildloop.flows.text.log_end import last_line

LOOK_SECONDS = 3.0
DISK_SECONDS = 30.0
CLOSE_SECONDS = 5.0
LAST_LINE_BYTES = 4096
MAX_UNTOLD = 100
logger = get_logger("wildloop.alerts")


class Alerts(Protocol):
    """Where findings go: `flows.store.alerts.AlertStore`."""

    async def report(self, run_id: str, session_id: str | None, finding: Finding) -> Alert | None:
        """Raise an alert; None if there is one of this finding already."""

    async def respond(self, alert_id: str, choice: str) -> Alert:
        """Answer an alert."""


@dataclass(frozen=True)
class WatchedRun:
    """What the watch knows of a run.

    `started_at` (Unix seconds) is None while the command waits for a scheduler.
    """

    id: str
    session_id: str | None
    paths: RunPaths
    workdir: Path
    started_at: float | None = None
    attempt: int = 0
    log_offset: int = 0
    timeout_seconds: float | None = None
    config: AlertsConfig = field(default_factory=AlertsConfig)
    primary: MetricConfig | None = None
    execution: Execution | None = None

    @property
    def begun_at(self) -> float | None:
        """When its command was begun last."""
        again = self.execution.begun_at if self.execution is not None else None
        return again or self.started_at

    @property
    def waits(self) -> bool:
        """Whether a scheduler holds it back: its silence tells nothing."""
        return self.execution is not None and self.execution.waits

    @classmethod
    def of(cls, execution: Execution, status: ProcessStatus) -> "WatchedRun":
        """The run behind an attempt; a broken wildloop.toml means defaults, and is said."""
        try:
            project = load_project(execution.workdir) or ProjectConfig()
        except InvalidRequest as error:
            logger.warning("run %s is watched with default settings: %s", execution.run_id, error)
            project = ProjectConfig()
        return cls(
            id=execution.run_id,
            session_id=execution.spec.chat_session_id,
            paths=execution.paths,
            workdir=execution.workdir,
            started_at=status.started_at,
            attempt=execution.attempt.number,
            log_offset=execution.attempt.log_offset,
            timeout_seconds=execution.spec.timeout_seconds,
            config=project.alerts,
            primary=project.metric,
            execution=execution,
        )


class RunWatch:
    """Looks at one attempt of a run. All state is what the detectors remember."""

    def __init__(self, run: WatchedRun, alerts: Alerts, look_seconds: float = LOOK_SECONDS) -> None:
        self._run = run
        self._look_seconds = look_seconds
        self._alerts = alerts
        self._metrics = MetricsWatch(run.paths, run.workdir, run.config, run.primary)
        self._silence = SilenceWatch(run.config)
        self._disk = DiskWatch(run.config)
        self._disk_due = 0.0
        self._untold: list[Finding] = []
        self._unreadable = False
        self._closing = asyncio.Event()

    def look(self, now: float, wall: float, last: bool = False) -> list[Finding]:
        """What is new and wrong.

        Args:
            now: seconds of a clock that stands still while the machine sleeps.
            wall: Unix seconds.
            last: the run has ended.
        """
        paths = self._run.paths
        log, metrics = _stat_of(paths.log), _stat_of(paths.metrics)
        found = self._metrics.look(now, metrics.st_size if metrics else 0, last)
        grown = (metrics.st_size if metrics else 0) + self._metrics.seen
        sizes = (log.st_size if log else 0, grown)
        signs = [self._run.begun_at or 0.0] + [one.st_mtime for one in (log, metrics) if one]
        if any(signs) and not last and not self._run.waits:
            silent = self._silence.see(now, sizes, age=wall - max(signs))
            found += [self._explained(silent)] if silent else []
        if now >= self._disk_due and paths.root.is_dir():
            self._disk_due = now + DISK_SECONDS
            usage = shutil.disk_usage(paths.root)
            full = self._disk.see(usage.free, usage.total)
            found += [full] if full else []
        return found

    async def look_and_tell(self, last: bool = False) -> None:
        """Look once, and raise what is found; what cannot be told now is told at the next look."""
        try:
            found = await asyncio.to_thread(self.look, time.monotonic(), time.time(), last)
        except OSError as error:
            if not self._unreadable:
                logger.warning("the files of run %s cannot be read: %s", self._run.id, error)
            self._unreadable, found = True, []
        await self._tell(found)

    async def follow(self) -> None:
        """Look every few seconds until closed."""
        while not self._closing.is_set():
            try:
                async with asyncio.timeout(self._look_seconds):
                    await self._closing.wait()
            except TimeoutError:
                await self.look_and_tell()

    def close(self) -> None:
        """Let `follow` end."""
        self._closing.set()

    async def ended(self, outcome: Outcome) -> None:
        """Look a last time, and tell of a failure; nothing of a run that somebody has stopped."""
        if outcome.status not in ("finished", "failed"):
            return
        await self.look_and_tell(last=True)
        if outcome.status == "failed" and outcome.retry is None:
            found = await asyncio.to_thread(self._end, outcome)
            await self._tell([found])

    def _end(self, outcome: Outcome) -> Finding:
        try:
            tail = log_tail(self._run.paths.log, self._run.log_offset)
        except OSError as error:
            logger.warning("the log of run %s cannot be read: %s", self._run.id, error)
            tail = ""
        timed_out = self._timed_out()
        return end_finding(outcome.message, outcome.exit_code, tail, timed_out=timed_out)

    def _timed_out(self) -> bool:
        begun_at = self._run.begun_at
        if self._run.timeout_seconds is None or begun_at is None:
            return False
        left = _stat_of(self._run.paths.exit_code)
        ended = left.st_mtime if left else time.time()
        return ended - begun_at >= self._run.timeout_seconds

    def _explained(self, finding: Finding) -> Finding:
        """A silence, with the last thing that the run has said."""
        tail = log_tail(self._run.paths.log, self._run.log_offset, LAST_LINE_BYTES)
        words, said = gpu_lost(tail), last_line(tail)
        if words is not None:
            return lost_gpu(words, finding.message, finding.key)
        if not said:
            return finding
        return finding.model_copy(update={"message": f"{finding.message}; last line: {said}"})

    async def _tell(self, found: Sequence[Finding]) -> None:
        off = self._run.config.off
        waiting = [*self._untold, *(one for one in found if one.kind not in off)]
        self._untold = waiting[:MAX_UNTOLD]
        while self._untold:
            finding = self._untold[0]
            keyed = finding.model_copy(update={"key": f"{self._run.attempt}:{finding.key}"})
            try:
                alert = await self._alerts.report(self._run.id, self._run.session_id, keyed)
                if alert is not None:
                    logger.warning("run %s: %s", self._run.id, finding.message)
                    await self._stop_on(alert)
            except (httpx.HTTPError, WildloopError) as error:
                logger.warning("an alert of run %s waits: %s", self._run.id, error)
                return
            del self._untold[0]

    async def _stop_on(self, alert: Alert) -> None:
        if alert.kind in self._run.config.stop_on and STOP in alert.choices:
            await self._alerts.respond(alert.id, STOP)


def _stat_of(path: Path) -> os.stat_result | None:
    """A file's size and times; None where there is no such file."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None


@asynccontextmanager
async def watch_run(
    execution: Execution,
    status: ProcessStatus,
    alerts: Alerts,
    look_seconds: float = LOOK_SECONDS,
) -> AsyncIterator[RunWatch]:
    """Watch an attempt while the body runs; afterwards, tell the watch its `ended(outcome)`.

    A fault of the watch is logged and never ends the run.
    """
    watch = RunWatch(WatchedRun.of(execution, status), alerts, look_seconds)
    task = asyncio.create_task(watch.follow())
    try:
        yield watch
    finally:
        watch.close()
        # A look under way is let end: cut short, it might leave an answer half given.
        await asyncio.wait({task}, timeout=CLOSE_SECONDS)
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
        if not task.cancelled() and (fault := task.exception()) is not None:
            logger.error("the watch of run %s broke off", execution.run_id, exc_info=fault)
