"""The watch over a run's files: what it tells, once each, and what it bears."""

import asyncio
import os
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tests.support.waiting import until
from wildloop.blocks.launchers.base import ProcessState, ProcessStatus
from wildloop.flows.alerts.watch import RunWatch, WatchedRun, watch_run
from wildloop.flows.errors import Conflict
from wildloop.flows.files.paths import RunPaths
from wildloop.flows.models.alert import Alert, AlertKind, AlertStatus, Finding
from wildloop.flows.models.run import RunSpec
from wildloop.flows.project import AlertsConfig
from wildloop.flows.run.attempts import Cause, Retry
from wildloop.flows.run.control import RunControl
from wildloop.flows.run.execution import Execution, Outcome

FAILED = Outcome(status="failed", message="exit code 3", exit_code=3)
MINUTE = 60.0


class Recorder:
    """Where alerts go, kept in lists; may be out of order for a while."""

    def __init__(self) -> None:
        self.told: list[Finding] = []
        self.answers: list[tuple[str, str]] = []
        self.error: Exception | None = None

    async def report(self, run_id: str, session_id: str | None, finding: Finding) -> Alert | None:
        if self.error is not None:
            raise self.error
        if finding.key in [one.key for one in self.told]:
            return None
        self.told.append(finding)
        return Alert(
            id=f"alert of {finding.key}",
            run_id=run_id,
            session_id=session_id,
            kind=finding.kind,
            severity=finding.severity,
            message=finding.message,
            choices=list(finding.choices),
            created_at=0,
        )

    async def respond(self, alert_id: str, choice: str) -> Alert:
        self.answers.append((alert_id, choice))
        finding = next(one for one in self.told if alert_id.endswith(one.key))
        return Alert(
            id=alert_id,
            run_id="run",
            kind=finding.kind,
            severity=finding.severity,
            message=finding.message,
            choices=list(finding.choices),
            status=AlertStatus.RESOLVED,
            created_at=0,
        )

    def kinds(self) -> list[AlertKind]:
        return [finding.kind for finding in self.told]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def run(tmp_path: Path) -> WatchedRun:
    paths = RunPaths(tmp_path / "my rün")
    paths.root.mkdir()
    quiet = AlertsConfig(off=[AlertKind.DISK])
    return WatchedRun(
        id="run",
        session_id=None,
        paths=paths,
        workdir=tmp_path,
        started_at=time.time(),
        config=quiet,
    )


def metrics(run: WatchedRun, *lines: str) -> None:
    with run.paths.metrics.open("a") as file:
        file.write("".join(line + "\n" for line in lines))


async def test_a_nan_is_told_once_over_many_looks(run: WatchedRun, recorder: Recorder) -> None:
    watch = RunWatch(run, recorder)
    metrics(run, '{"step": 1, "loss": 0.5}')
    await watch.look_and_tell()
    assert recorder.told == []
    metrics(run, '{"step": 2, "loss": NaN}')
    await watch.look_and_tell()
    metrics(run, '{"step": 3, "loss": NaN}')
    await watch.look_and_tell()
    assert recorder.kinds() == [AlertKind.NAN]


async def test_a_new_watch_of_the_same_files_finds_the_same_keys(
    run: WatchedRun, recorder: Recorder
) -> None:
    lines = ['{"loss": 1.0}'] * 30 + ['{"loss": 50.0}', '{"loss": NaN}']
    metrics(run, *lines)
    await RunWatch(run, recorder).look_and_tell()
    await RunWatch(run, recorder).look_and_tell()
    assert recorder.kinds() == [AlertKind.SPIKE, AlertKind.NAN]


async def test_another_attempt_has_alerts_of_its_own(run: WatchedRun, recorder: Recorder) -> None:
    metrics(run, '{"loss": NaN}')
    await RunWatch(run, recorder).look_and_tell()
    await RunWatch(replace(run, attempt=1), recorder).look_and_tell()
    assert [one.key for one in recorder.told] == ["0:nan:loss", "1:nan:loss"]


async def test_what_the_server_does_not_take_is_told_later(
    run: WatchedRun, recorder: Recorder
) -> None:
    watch = RunWatch(run, recorder)
    recorder.error = httpx.ConnectError("down")
    metrics(run, '{"loss": NaN}')
    await watch.look_and_tell()
    recorder.error = Conflict("full")
    await watch.look_and_tell()
    recorder.error = None
    await watch.look_and_tell()
    assert recorder.kinds() == [AlertKind.NAN]


def test_silence_is_told_with_the_last_line(run: WatchedRun, recorder: Recorder) -> None:
    watch = RunWatch(run, recorder)
    run.paths.log.write_text("loading\nepoch 3 of 10\n\n")
    now = run.paths.log.stat().st_mtime
    assert watch.look(0, now) == []
    assert watch.look(9 * MINUTE, now) == []
    (finding,) = watch.look(11 * MINUTE, now)
    assert finding.kind is AlertKind.SILENCE
    assert finding.message == "no output and no metric for 11 min; last line: epoch 3 of 10"
    assert watch.look(99 * MINUTE, now) == []


def test_silence_after_a_gpu_error_names_the_gpu(run: WatchedRun, recorder: Recorder) -> None:
    watch = RunWatch(run, recorder)
    run.paths.log.write_text("NVRM: GPU 0 has fallen off the bus\n")
    watch.look(0, time.time())
    (finding,) = watch.look(11 * MINUTE, time.time())
    assert finding.kind is AlertKind.GPU_LOST
    assert "fallen off the bus" in finding.message


def test_silence_while_no_worker_looked_is_found_at_the_first_look(
    run: WatchedRun, recorder: Recorder
) -> None:
    run.paths.log.write_text("hello\n")
    then = time.time() - 30 * MINUTE
    os.utime(run.paths.log, (then, then))
    watch = RunWatch(replace(run, started_at=then - 5), recorder)
    (finding,) = watch.look(0, time.time())
    assert "30 min" in finding.message


def test_waiting_for_a_scheduler_is_no_silence(run: WatchedRun, recorder: Recorder) -> None:
    watch = RunWatch(replace(run, started_at=None), recorder)
    assert watch.look(0, time.time()) == []
    assert watch.look(5000 * MINUTE, time.time()) == []
    run.paths.log.write_text("begun\n")
    began = run.paths.log.stat().st_mtime
    assert watch.look(5001 * MINUTE, began) == []
    assert len(watch.look(5012 * MINUTE, began)) == 1


def test_a_full_disk_is_told(run: WatchedRun, recorder: Recorder) -> None:
    config = AlertsConfig(disk_free_percent=100, disk_free_gb=1e12)
    watch = RunWatch(replace(run, config=config), recorder)
    assert [one.kind for one in watch.look(0, time.time())] == [AlertKind.DISK]
    assert watch.look(5 * MINUTE, time.time()) == []


async def test_kinds_that_are_off_are_not_told(run: WatchedRun, recorder: Recorder) -> None:
    config = AlertsConfig(off=[AlertKind.NAN, AlertKind.DISK])
    metrics(run, '{"loss": NaN}')
    await RunWatch(replace(run, config=config), recorder).look_and_tell()
    assert recorder.told == []


async def test_kinds_that_stop_the_run_are_answered_at_once(
    run: WatchedRun, recorder: Recorder
) -> None:
    config = AlertsConfig(off=[AlertKind.DISK], stop_on=[AlertKind.NAN, AlertKind.EXIT])
    watch = RunWatch(replace(run, config=config), recorder)
    metrics(run, '{"loss": NaN}')
    await watch.look_and_tell()
    await watch.ended(FAILED)
    assert recorder.kinds() == [AlertKind.NAN, AlertKind.EXIT]
    assert recorder.answers == [("alert of 0:nan:loss", "stop")]


async def test_a_failed_end_is_told_after_a_last_look(run: WatchedRun, recorder: Recorder) -> None:
    metrics(run, '{"loss": NaN}')
    await RunWatch(run, recorder).ended(FAILED)
    assert recorder.kinds() == [AlertKind.NAN, AlertKind.EXIT]
    assert recorder.told[1].message == "exit code 3"


async def test_a_good_end_is_looked_at_and_no_more(run: WatchedRun, recorder: Recorder) -> None:
    metrics(run, *['{"loss": 1.0}'] * 100_000, '{"loss": NaN}')
    outcome = Outcome(status="finished", message="exit code 0", exit_code=0)
    await RunWatch(run, recorder).ended(outcome)
    assert recorder.kinds() == [AlertKind.NAN]


@pytest.mark.parametrize("status", ["stopped", "detached"])
async def test_an_end_that_was_asked_for_is_not_told(
    run: WatchedRun, recorder: Recorder, status: str
) -> None:
    metrics(run, '{"loss": NaN}')
    await RunWatch(run, recorder).ended(Outcome(status=status, message=status, exit_code=143))
    assert recorder.told == []


async def test_a_failure_that_is_tried_again_is_not_told(
    run: WatchedRun, recorder: Recorder
) -> None:
    retry = Retry(cause=Cause.FAILURE, delay_seconds=0, message="again")
    await RunWatch(run, recorder).ended(FAILED.model_copy(update={"retry": retry}))
    assert recorder.told == []


@pytest.mark.parametrize(
    ("timeout", "kind"), [(None, AlertKind.OUT_OF_MEMORY), (5.0, AlertKind.EXIT)]
)
async def test_a_kill_by_wildloops_own_timeout_is_no_want_of_memory(
    run: WatchedRun, recorder: Recorder, timeout: float | None, kind: AlertKind
) -> None:
    timed = replace(run, started_at=time.time() - 6, timeout_seconds=timeout)
    run.paths.exit_code.write_text("137")
    await RunWatch(timed, recorder).ended(FAILED.model_copy(update={"exit_code": 137}))
    assert recorder.kinds() == [kind]


async def test_only_the_log_of_this_attempt_counts(run: WatchedRun, recorder: Recorder) -> None:
    run.paths.log.write_text("MemoryError\n")
    later = replace(run, attempt=1, log_offset=run.paths.log.stat().st_size)
    await RunWatch(later, recorder).ended(FAILED)
    assert recorder.kinds() == [AlertKind.EXIT]


def an_execution(folder: Path, toml: str = "") -> tuple[Execution, ProcessStatus]:
    (folder / "wildloop.toml").write_text(toml)
    spec = RunSpec(name="x", command="true", workdir=str(folder), chat_session_id="s")
    execution = Execution(spec, "run", folder, RunControl())
    execution.paths.root.mkdir(parents=True)
    return execution, ProcessStatus(state=ProcessState.RUNNING, started_at=time.time())


async def test_a_run_is_watched_while_it_runs(tmp_path: Path, recorder: Recorder) -> None:
    execution, status = an_execution(tmp_path, '[alerts]\noff = ["disk"]\n')
    async with watch_run(execution, status, recorder, look_seconds=0.01) as watch:
        execution.paths.metrics.write_text('{"loss": NaN}\n')
        await until(lambda: bool(recorder.told), "an alert")
    await watch.ended(FAILED)
    assert recorder.kinds() == [AlertKind.NAN, AlertKind.EXIT]


async def test_the_primary_metric_and_limits_are_the_projects(tmp_path: Path) -> None:
    execution, status = an_execution(
        tmp_path, '[metric]\nname = "score"\n[alerts]\nsilence_minutes = 3\n'
    )
    run = WatchedRun.of(execution, status)
    assert run.primary is not None
    assert (run.primary.name, run.config.silence_minutes) == ("score", 3)
    assert run.session_id == "s"


async def test_a_broken_project_file_means_defaults(tmp_path: Path) -> None:
    execution, status = an_execution(tmp_path, '[alerts]\nsilence_minutes = "soon"\n')
    assert WatchedRun.of(execution, status).config == AlertsConfig()


async def test_a_fault_of_the_watch_does_not_end_the_run(
    tmp_path: Path, recorder: Recorder
) -> None:
    execution, status = an_execution(tmp_path)
    recorder.error = ZeroDivisionError("a bug")
    execution.paths.metrics.write_text('{"loss": NaN}\n')
    async with watch_run(execution, status, recorder, look_seconds=0.01):
        await until(lambda: len(asyncio.all_tasks()) == 1, "the watch has ended")
    assert recorder.told == []


async def test_unreadable_files_are_borne(run: WatchedRun, recorder: Recorder) -> None:
    run.paths.metrics.mkdir()
    run.paths.log.mkdir()
    watch = RunWatch(run, recorder)
    await watch.look_and_tell()
    await watch.ended(FAILED)
    assert recorder.kinds() == [AlertKind.EXIT]
