"""What a run's time-out counts, where a scheduler may put its command back into the queue."""

import asyncio
import time
from pathlib import Path

from wildloop.blocks.launchers.base import Launcher, LaunchSpec, ProcessState, ProcessStatus
from wildloop.flows.models.run import RunSpec
from wildloop.flows.run.control import RunControl
from wildloop.flows.run.execution import Execution

PENDING = ProcessStatus(state=ProcessState.PENDING, reason="Priority", job_id="7")
EXITED = ProcessStatus(state=ProcessState.EXITED, exit_code=0, job_id="7")


def running(seconds_ago: float) -> ProcessStatus:
    started_at = time.time() - seconds_ago
    return ProcessStatus(state=ProcessState.RUNNING, started_at=started_at, job_id="7")


class Played(Launcher):
    """Plays statuses one after another, and notes how long it was told to wait for each."""

    def __init__(self, *statuses: ProcessStatus) -> None:
        self.statuses = list(statuses)
        self.limits: list[float | None] = []

    async def launch(self, spec: LaunchSpec) -> ProcessStatus:
        raise AssertionError("not launched here")

    async def status(self, folder: Path) -> ProcessStatus:
        return self.statuses[0]

    async def begun(self, folder: Path) -> ProcessStatus:
        return await self._next(None)

    async def ran(self, folder: Path, timeout_seconds: float | None = None) -> ProcessStatus:
        return await self._next(timeout_seconds)

    async def wait(self, folder: Path, timeout_seconds: float | None = None) -> ProcessStatus:
        return await self._next(timeout_seconds)

    async def stop(self, folder: Path, grace_seconds: float = 5.0) -> ProcessStatus:
        return EXITED

    async def _next(self, limit: float | None) -> ProcessStatus:
        self.limits.append(limit)
        await asyncio.sleep(0)
        return self.statuses.pop(0)


async def outcome(folder: Path, first: ProcessStatus, launcher: Played) -> str:
    spec = RunSpec(name="r", command="true", workdir=str(folder), timeout_seconds=60)
    execution = Execution(spec, "r1", folder, RunControl())
    execution.launcher = launcher
    return (await execution.follow(first)).message


async def test_run_that_waits_again_has_all_of_its_time_when_it_is_begun_anew(
    tmp_path: Path,
) -> None:
    launcher = Played(PENDING, running(0), EXITED)
    assert await outcome(tmp_path, running(50), launcher) == "exit code 0"
    first, waiting, second = launcher.limits
    assert first is not None and first <= 10.5
    assert waiting is None
    assert second is not None and second > 59


async def test_run_is_ended_when_it_has_run_for_its_time(tmp_path: Path) -> None:
    late = running(61)
    assert await outcome(tmp_path, late, Played(late)) == "time-out after 60 s"


async def test_suspended_run_goes_on_where_it_was(tmp_path: Path) -> None:
    same = running(50)
    launcher = Played(PENDING, same, EXITED)
    assert await outcome(tmp_path, same, launcher) == "exit code 0"
    assert launcher.limits[2] is not None and launcher.limits[2] <= 10.5
