"""One contract for all launchers, and what is particular to the local one."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from tests.support.waiting import until
from wildloop.blocks.launchers import local, processes
from wildloop.blocks.launchers.base import (
    Launcher,
    LaunchFailed,
    LaunchSpec,
    ProcessState,
    ProcessStatus,
)
from wildloop.blocks.launchers.local import LocalLauncher
from wildloop.blocks.launchers.record import (
    CPU_TIMES,
    EXIT_CODE,
    PEAK_MEMORY,
    RECORD,
    cpu_seconds,
    read_record,
)

DEADLINE_S = 20.0
ON_LINUX = sys.platform == "linux"


def is_dead(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def pid_in(path: Path) -> int | None:
    text = path.read_text() if path.exists() else ""
    return int(text) if text.endswith("\n") else None


class Place:
    """A record folder with awkward letters, beside a working directory."""

    def __init__(self, root: Path) -> None:
        self.cwd = root / "pro ject 'ü' $x"
        self.folder = self.cwd / '.wild "runs"' / "run;1"
        self.folder.mkdir(parents=True)
        self.log = self.folder / "run.log"

    def spec(self, command: str, **changes: object) -> LaunchSpec:
        values: dict[str, object] = {
            "folder": self.folder,
            "command": command,
            "cwd": self.cwd,
            "env": dict(os.environ),
            "log": self.log,
        }
        return LaunchSpec.model_validate(values | changes)

    def file(self, name: str) -> Path:
        return self.cwd / name

    async def pid(self, name: str) -> int:
        await until(lambda: pid_in(self.file(name)) is not None, f"{name} holds a pid")
        pid = pid_in(self.file(name))
        assert pid is not None
        return pid


@pytest.fixture(params=[LocalLauncher])
def launcher(request: pytest.FixtureRequest) -> Launcher:
    made: Launcher = request.param()
    return made


@pytest.fixture
async def place(tmp_path: Path, launcher: Launcher) -> AsyncIterator[Place]:
    made = Place(tmp_path)
    yield made
    if (made.folder / RECORD).exists():
        await launcher.stop(made.folder, 0)


class TestLauncherContract:
    """What every launcher must do."""

    async def run(self, launcher: Launcher, spec: LaunchSpec) -> ProcessStatus:
        await launcher.launch(spec)
        return await launcher.wait(spec.folder, DEADLINE_S)

    async def test_finished_command_has_its_exit_code_and_its_log(
        self, launcher: Launcher, place: Place
    ) -> None:
        status = await self.run(launcher, place.spec("echo out; echo err >&2; pwd; exit 7"))
        assert (status.state, status.exit_code) == (ProcessState.EXITED, 7)
        assert status.started_at is not None and status.ended_at is not None
        assert abs(status.started_at - time.time()) < 600
        assert place.log.read_text() == f"out\nerr\n{place.cwd}\n"
        assert (place.folder / EXIT_CODE).read_text() == "7\n"

    async def test_success_is_exit_code_zero(self, launcher: Launcher, place: Place) -> None:
        status = await self.run(launcher, place.spec("true"))
        assert (status.state, status.exit_code) == (ProcessState.EXITED, 0)

    async def test_launch_reports_running_and_wait_times_out_as_running(
        self, launcher: Launcher, place: Place
    ) -> None:
        begun = await launcher.launch(place.spec("sleep 600"))
        assert begun.state is ProcessState.RUNNING and begun.pid is not None
        waited = await launcher.wait(place.folder, 0.01)
        assert waited == begun
        assert (await launcher.wait(place.folder, 0)).state is ProcessState.RUNNING

    @pytest.mark.parametrize(
        ("command", "code"),
        [
            ("no-such-command-anywhere", 127),
            ("kill -TERM $$", 128 + signal.SIGTERM),
            ("kill -KILL $$", 128 + signal.SIGKILL),
            ("-x", 127),
            ("if then", 2),
        ],
    )
    async def test_exit_codes_are_those_of_bash(
        self, launcher: Launcher, place: Place, command: str, code: int
    ) -> None:
        status = await self.run(launcher, place.spec(command))
        assert (status.state, status.exit_code) == (ProcessState.EXITED, code)

    async def test_stderr_and_stdin_can_be_files_of_their_own(
        self, launcher: Launcher, place: Place
    ) -> None:
        place.file("in").write_text("wörd\n")
        spec = place.spec(
            "cat; echo bad >&2", stdin=place.file("in"), stderr=place.file("deep") / ".." / "err"
        )
        place.file("deep").mkdir()
        await self.run(launcher, spec)
        assert place.log.read_text() == "wörd\n"
        assert place.file("err").read_text() == "bad\n"

    async def test_log_is_appended_to(self, launcher: Launcher, place: Place) -> None:
        place.log.write_text("before\n")
        await self.run(launcher, place.spec("echo after"))
        assert place.log.read_text() == "before\nafter\n"

    async def test_command_has_exactly_the_given_environment(
        self, launcher: Launcher, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FROM_THE_PARENT", "leaked")
        spec = place.spec("echo $ODD; env", env={"PATH": "/nowhere", "ODD": "a b'ü"})
        await self.run(launcher, spec)
        assert "leaked" not in place.log.read_text()
        assert place.log.read_text().startswith("a b'ü\n")

    async def test_nothing_launched_is_absent(self, launcher: Launcher, tmp_path: Path) -> None:
        for folder in (tmp_path, tmp_path / "missing"):
            absent = ProcessStatus(state=ProcessState.ABSENT)
            assert await launcher.status(folder) == absent
            assert await launcher.wait(folder, 1) == absent
            assert await launcher.stop(folder) == absent

    async def test_a_folder_is_launched_into_once(self, launcher: Launcher, place: Place) -> None:
        await self.run(launcher, place.spec("echo once; exit 3"))
        again = await launcher.launch(place.spec("echo twice"))
        assert (again.state, again.exit_code) == (ProcessState.EXITED, 3)
        assert place.log.read_text() == "once\n"

    async def test_launches_at_the_same_time_run_one_command(
        self, launcher: Launcher, place: Place
    ) -> None:
        spec = place.spec("echo $$ >> pids; sleep 600")
        found = await asyncio.gather(*(launcher.launch(spec) for _ in range(8)))
        assert {status.pid for status in found} == {found[0].pid}
        assert {status.state for status in found} == {ProcessState.RUNNING}
        await place.pid("pids")
        await launcher.stop(place.folder, 0)
        assert len(place.file("pids").read_text().splitlines()) == 1

    async def test_missing_folders_are_named(self, launcher: Launcher, place: Place) -> None:
        with pytest.raises(LaunchFailed, match=r"working directory .*gone"):
            await launcher.launch(place.spec("true", cwd=place.cwd / "gone"))
        with pytest.raises(LaunchFailed, match=r"record folder .*gone"):
            await launcher.launch(place.spec("true", folder=place.cwd / "gone"))
        with pytest.raises(LaunchFailed, match="gone"):
            await launcher.launch(place.spec("true", stdin=place.cwd / "gone"))
        assert (await launcher.status(place.folder)).state is ProcessState.ABSENT

    @pytest.mark.parametrize("command", ["echo \0", "x" * (1 << 18)])
    async def test_impossible_commands_fail_the_launch(
        self, launcher: Launcher, place: Place, command: str
    ) -> None:
        with pytest.raises(LaunchFailed):
            await launcher.launch(place.spec(command))

    async def test_stop_ends_the_tree_and_keeps_the_exit_code(
        self, launcher: Launcher, place: Place
    ) -> None:
        await launcher.launch(place.spec("sleep 600 & echo $! > child; sleep 600"))
        child = await place.pid("child")
        stopped = await launcher.stop(place.folder)
        assert (stopped.state, stopped.exit_code) == (ProcessState.EXITED, 128 + signal.SIGTERM)
        assert is_dead(child) and stopped.pid is not None and is_dead(stopped.pid)
        assert await launcher.stop(place.folder) == stopped

    async def test_command_may_end_well_when_it_is_stopped(
        self, launcher: Launcher, place: Place
    ) -> None:
        command = "trap 'echo saved; exit 5' TERM; echo $$ > own; while :; do sleep 0.01; done"
        await launcher.launch(place.spec(command))
        await place.pid("own")
        stopped = await launcher.stop(place.folder)
        assert (stopped.state, stopped.exit_code) == (ProcessState.EXITED, 5)
        assert "saved" in place.log.read_text()

    async def test_command_that_ignores_term_is_killed_after_the_grace(
        self, launcher: Launcher, place: Place
    ) -> None:
        await launcher.launch(
            place.spec("trap '' TERM; echo $$ > own; while :; do sleep 600; done")
        )
        own = await place.pid("own")
        stopped = await launcher.stop(place.folder, 0.05)
        assert (stopped.state, stopped.exit_code) == (ProcessState.EXITED, 128 + signal.SIGKILL)
        assert is_dead(own)

    async def test_stopped_children_and_children_in_other_sessions_are_ended(
        self, launcher: Launcher, place: Place
    ) -> None:
        await launcher.launch(
            place.spec(
                "setsid sh -c 'echo $$ > escaped; exec sleep 600' &\n"
                "(setsid sh -c 'echo $$ > orphan; exec sleep 600' &)\n"
                "sh -c 'echo $$ > frozen; kill -STOP $$' & wait"
            )
        )
        pids = [await place.pid(name) for name in ("escaped", "orphan", "frozen")]
        await launcher.stop(place.folder)
        assert all(is_dead(pid) for pid in pids)

    async def test_stop_ends_what_an_ended_command_left_behind(
        self, launcher: Launcher, place: Place
    ) -> None:
        status = await self.run(launcher, place.spec("sleep 600 & echo $! > left"))
        assert (status.state, status.exit_code) == (ProcessState.EXITED, 0)
        left = await place.pid("left")
        assert not is_dead(left)
        assert await launcher.stop(place.folder) == status
        assert is_dead(left)

    async def test_many_waiters_all_learn_of_the_end(
        self, launcher: Launcher, place: Place
    ) -> None:
        await launcher.launch(place.spec("read line < fifo; exit 4"))
        waiters = [asyncio.create_task(launcher.wait(place.folder)) for _ in range(5)]
        cancelled = asyncio.create_task(launcher.wait(place.folder))
        await asyncio.sleep(0)
        cancelled.cancel()
        os.mkfifo(place.file("fifo"))
        await launcher.stop(place.folder, 0)
        assert len({(await waiter).state for waiter in waiters}) == 1


class TestLocalLauncher:
    """Processes of this host: crashes, pid reuse, reboots."""

    async def test_command_outlives_the_process_that_launched_it(self, place: Place) -> None:
        code = (
            "import asyncio, os, sys; from pathlib import Path\n"
            "from wildloop.blocks.launchers.local import LocalLauncher\n"
            "from wildloop.blocks.launchers.base import LaunchSpec\n"
            "folder, cwd = map(Path, sys.argv[1:])\n"
            "asyncio.run(LocalLauncher().launch(LaunchSpec(folder=folder, cwd=cwd,"
            " command='until [ -e go ]; do sleep 0.01; done; exit 9', env=dict(os.environ),"
            " log=folder / 'run.log')))\n"
            "os.kill(os.getpid(), 9)\n"
        )
        gone = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", code, place.folder, place.cwd], check=False
        )
        assert gone.returncode == -signal.SIGKILL
        assert (await LocalLauncher().status(place.folder)).state is ProcessState.RUNNING
        place.file("go").touch()
        status = await LocalLauncher().wait(place.folder, DEADLINE_S)
        assert (status.state, status.exit_code) == (ProcessState.EXITED, 9)

    async def test_killed_wrapper_is_lost_and_its_command_can_still_be_ended(
        self, place: Place
    ) -> None:
        launcher = LocalLauncher()
        begun = await launcher.launch(place.spec("echo $$ > own; sleep 600; true"))
        own = await place.pid("own")
        assert begun.pid is not None
        os.kill(begun.pid, signal.SIGKILL)
        status = await launcher.wait(place.folder, DEADLINE_S)
        assert (status.state, status.exit_code) == (ProcessState.LOST, None)
        assert not is_dead(own)
        assert (await launcher.stop(place.folder)).state is ProcessState.LOST
        assert is_dead(own)

    async def test_another_process_with_the_recorded_pid_is_neither_trusted_nor_ended(
        self, place: Place
    ) -> None:
        await self._ended(place)
        other = subprocess.Popen(["sleep", "600"], start_new_session=True)
        try:
            # Within one clock tick (10 ms) a process cannot get another's number.
            self._rewrite(place, pid=other.pid, start=1.0)
            assert (await LocalLauncher().status(place.folder)).state is ProcessState.LOST
            assert (await LocalLauncher().stop(place.folder, 0)).state is ProcessState.LOST
            assert other.poll() is None
        finally:
            other.kill()
            other.wait()

    @pytest.mark.skipif(not ON_LINUX, reason="boot ids are Linux's")
    async def test_launch_of_an_earlier_boot_is_lost(self, place: Place) -> None:
        await self._ended(place)
        self._rewrite(place, boot="an-earlier-one")
        assert (await LocalLauncher().status(place.folder)).state is ProcessState.LOST

    @pytest.mark.skipif(not ON_LINUX, reason="boot ids are Linux's")
    async def test_launch_of_another_host_is_not_judged(self, place: Place) -> None:
        await self._ended(place)
        self._rewrite(place, boot="of-another-machine", host="node17")
        for call in (LocalLauncher().status, LocalLauncher().wait, LocalLauncher().stop):
            with pytest.raises(LaunchFailed, match="node17"):
                await call(place.folder)
        (place.folder / EXIT_CODE).write_text("0\n")
        assert (await LocalLauncher().status(place.folder)).exit_code == 0

    @pytest.mark.parametrize("content", ["", "{", '{"pid": "x"}'])
    async def test_damaged_record_is_lost_and_not_launched_over(
        self, place: Place, content: str
    ) -> None:
        (place.folder / RECORD).write_text(content)
        assert (await LocalLauncher().launch(place.spec("true"))).state is ProcessState.LOST
        assert (await LocalLauncher().wait(place.folder)).state is ProcessState.LOST

    @pytest.mark.parametrize("content", ["", "zero", "\n"])
    async def test_damaged_exit_code_is_never_a_success(self, place: Place, content: str) -> None:
        await self._ended(place)
        (place.folder / EXIT_CODE).write_text(content)
        assert (await LocalLauncher().status(place.folder)).state is ProcessState.LOST

    async def test_no_zombie_and_no_stray_file_stays(self, place: Place) -> None:
        status = await self._ended(place)
        assert status.pid is not None and not psutil.pid_exists(status.pid)
        left = {path.name for path in place.folder.iterdir()}
        assert left - {PEAK_MEMORY} == {RECORD, EXIT_CODE, CPU_TIMES, "run.log"}

    async def test_cancelled_launch_is_recorded_and_can_be_stopped(self, place: Place) -> None:
        launching = asyncio.create_task(LocalLauncher().launch(place.spec("sleep 600")))
        await asyncio.sleep(0)
        launching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await launching
        assert (await LocalLauncher().status(place.folder)).state is ProcessState.RUNNING
        stopped = await LocalLauncher().stop(place.folder)
        assert stopped.state is ProcessState.EXITED

    async def test_end_is_seen_without_kernel_notices(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(os, "pidfd_open", raising=False)
        await LocalLauncher().launch(place.spec("until [ -e go ]; do sleep 0.01; done; exit 6"))
        waiting = asyncio.create_task(LocalLauncher().wait(place.folder, DEADLINE_S))
        await asyncio.sleep(0.02)
        place.file("go").touch()
        assert (await waiting).exit_code == 6

    async def test_processes_are_known_by_start_time_where_there_is_no_proc(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(processes, "_ON_LINUX", False)
        begun = await LocalLauncher().launch(place.spec("sleep 600"))
        assert begun.state is ProcessState.RUNNING
        record = read_record(place.folder)
        assert record is not None and record.boot == ""
        assert (await LocalLauncher().stop(place.folder)).exit_code == 128 + signal.SIGTERM

    async def test_missing_bash_is_said(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(local.shutil, "which", lambda *_, **__: None)
        with pytest.raises(LaunchFailed, match="bash is not on PATH"):
            await LocalLauncher().launch(place.spec("true"))

    async def test_wrapper_that_cannot_record_itself_fails_the_launch(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(local, "WRAPPER", "exit 126")
        with pytest.raises(LaunchFailed, match="could not record itself"):
            await LocalLauncher().launch(place.spec("true"))

    async def test_wrapper_is_not_disturbed_by_bash_env(self, place: Place, tmp_path: Path) -> None:
        startup = tmp_path / "rc"
        startup.write_text("echo sourced; export FROM_RC=1\n")
        env = dict(os.environ) | {
            "BASH_ENV": str(startup),
            "BASH_FUNC_tool%%": "() { echo tool; }",
        }
        await LocalLauncher().launch(place.spec("tool; echo $FROM_RC", env=env))
        await LocalLauncher().wait(place.folder, DEADLINE_S)
        assert place.log.read_text() == "sourced\ntool\n1\n"

    async def _ended(self, place: Place) -> ProcessStatus:
        """Launch, wait, and take the exit code away, as a kill of the wrapper would."""
        await LocalLauncher().launch(place.spec("true"))
        return await LocalLauncher().wait(place.folder, DEADLINE_S)

    def _rewrite(self, place: Place, **changes: object) -> None:
        record = read_record(place.folder)
        assert record is not None
        (place.folder / RECORD).write_text(record.model_copy(update=changes).model_dump_json())
        (place.folder / EXIT_CODE).unlink()


async def test_the_cpu_time_of_a_command_is_known(tmp_path: Path) -> None:
    burn = 'while __import__("time").process_time() < 0.3: 0'
    folder, launcher = tmp_path / "run", LocalLauncher()
    folder.mkdir()
    spec = LaunchSpec(
        folder=folder,
        command=f"{sys.executable} -c '{burn}'",
        cwd=tmp_path,
        env=dict(os.environ),
        log=tmp_path / "run.log",
    )
    await launcher.launch(spec)
    await launcher.wait(folder)
    used = cpu_seconds(folder)
    assert used is not None
    assert 0.3 <= used < 10
    assert cpu_seconds(tmp_path) is None
