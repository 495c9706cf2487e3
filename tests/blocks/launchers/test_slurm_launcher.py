"""The Slurm launcher on a real, private Slurm."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.pace import patient
from tests.support.server import alive, wait_for
from tests.support.slurm import Slurm
from wildloop.blocks.launchers.base import LaunchFailed, LaunchSpec, ProcessState, ProcessStatus
from wildloop.blocks.launchers.record import EXIT_CODE
from wildloop.blocks.launchers.slurm import SlurmLauncher
from wildloop.blocks.launchers.slurm_compute import SlurmCompute, SlurmOverride
from wildloop.blocks.launchers.slurm_record import INTENT, JOB, Intent, is_slurm_launch, read

pytestmark = pytest.mark.slurm
DEADLINE_S = 120.0


class Place:
    """A project folder with awkward letters, and record folders in it."""

    def __init__(self, root: Path) -> None:
        self.cwd = root / "pro ject 'ü' $x %j"
        self.cwd.mkdir()
        self.launcher = SlurmLauncher(SlurmCompute())
        self.folders: list[Path] = []

    def spec(self, command: str, name: str = "run;1", **changes: object) -> LaunchSpec:
        folder = self.cwd / '.wild "runs"' / name
        folder.mkdir(parents=True, exist_ok=True)
        self.folders.append(folder)
        values: dict[str, object] = {
            "folder": folder,
            "command": command,
            "cwd": self.cwd,
            "env": dict(os.environ),
            "log": folder / "run.log",
            "name": "my run",
            "run_id": "0123-abc",
        }
        return LaunchSpec.model_validate(values | changes)

    async def launch(self, spec: LaunchSpec) -> ProcessStatus:
        return await self.launcher.launch(spec)

    async def run(self, spec: LaunchSpec) -> ProcessStatus:
        await self.launch(spec)
        return await self.launcher.wait(spec.folder, DEADLINE_S)

    async def running(self, spec: LaunchSpec) -> ProcessStatus:
        await self.launch(spec)
        async with asyncio.timeout(patient(DEADLINE_S)):
            status = await self.launcher.begun(spec.folder)
        assert status.state is ProcessState.RUNNING, status
        return status

    async def reaches(self, spec: LaunchSpec, state: ProcessState) -> ProcessStatus:
        async with asyncio.timeout(patient(DEADLINE_S)):
            while (status := await self.launcher.status(spec.folder)).state is not state:
                await asyncio.sleep(0.1)
        return status

    def pid(self, name: str) -> int:
        path = self.cwd / name
        wait_for(lambda: path.exists() and path.read_text().endswith("\n"), f"{name} is there")
        return int(path.read_text())


@pytest.fixture
async def place(slurm: Slurm, tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(tmp_path)
    yield made
    for folder in dict.fromkeys(made.folders):
        await made.launcher.stop(folder, 0)


@pytest.mark.parametrize("code", [0, 7])
async def test_command_leaves_its_exit_code_and_its_log_in_order(place: Place, code: int) -> None:
    spec = place.spec(f"for i in 1 2 3; do echo out $i; echo err $i >&2; done; pwd; exit {code}")
    status = await place.run(spec)
    assert (status.state, status.exit_code) == (ProcessState.EXITED, code)
    assert (status.host, status.reason) == ("n1", None)
    assert status.started_at is not None and status.ended_at is not None
    assert status.started_at <= status.ended_at
    lines = [f"{kind} {i}" for i in (1, 2, 3) for kind in ("out", "err")]
    assert spec.log.read_text().splitlines() == [*lines, str(place.cwd)]
    assert (spec.folder / EXIT_CODE).read_text() == f"{code}\n"
    assert is_slurm_launch(spec.folder)


async def test_job_bears_the_name_and_the_run_id(place: Place, slurm: Slurm) -> None:
    status = await place.launch(place.spec("true"))
    assert status.job_id is not None and slurm.jobs("run=0123-abc") != []
    name = slurm.call("squeue", "-h", "-t", "all", "-j", status.job_id, "-o", "%j").strip()
    assert name == "my run"


async def test_gpus_are_slurm_s_and_disjoint(place: Place) -> None:
    env = dict(os.environ) | {"CUDA_VISIBLE_DEVICES": "7", "SLURM_JOB_ID": "99999"}
    specs = [
        place.spec("echo $CUDA_VISIBLE_DEVICES; sleep 600", name, gpus=2, env=env)
        for name in ("one", "two")
    ]
    begun = [await place.running(spec) for spec in specs]
    devices = [device for status in begun for device in status.devices]
    assert sorted(devices) == ["0", "1", "2", "3"]
    for spec, status in zip(specs, begun, strict=True):
        wait_for(spec.log.read_text, "the log has a line")
        assert spec.log.read_text() == ",".join(status.devices) + "\n"


async def test_run_without_gpus_sees_none(place: Place) -> None:
    spec = place.spec('echo "[${CUDA_VISIBLE_DEVICES-unset}]"')
    assert (await place.run(spec)).devices == ()
    assert spec.log.read_text() == "[]\n"


async def test_set_up_lines_come_first_and_a_failing_one_ends_the_run(place: Place) -> None:
    lines = ["export GREETING='hello you'", "cd /"]
    good = place.spec("echo $GREETING; pwd", slurm=SlurmOverride(setup_lines=lines))
    assert (await place.run(good)).exit_code == 0
    assert good.log.read_text() == "hello you\n/\n"
    bad = place.spec("echo never", "bad", slurm=SlurmOverride(setup_lines=["(exit 3)"]))
    assert (await place.run(bad)).exit_code == 3
    assert bad.log.read_text() == "wildloop: set-up line failed: (exit 3)\n"


async def test_environment_reaches_the_job_and_no_process_list(place: Place, slurm: Slurm) -> None:
    env = dict(os.environ) | {"MY_SECRET": "s3cr3t 'value'", "SBATCH_EXPORT": "NONE"}
    spec = place.spec('echo "$MY_SECRET"', env=env)
    assert (await place.run(spec)).exit_code == 0
    assert spec.log.read_text() == "s3cr3t 'value'\n"
    intent = read(spec.folder, INTENT, Intent)
    assert intent is not None and "s3cr3t" not in str(intent.arguments)
    assert "s3cr3t" not in (spec.folder / "batch.sh").read_text()


async def test_stdin_and_stderr_go_where_they_should(place: Place, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("question")
    spec = place.spec("cat; echo oops >&2", stdin=tmp_path / "in", stderr=tmp_path / "err %x")
    assert (await place.run(spec)).exit_code == 0
    assert spec.log.read_text() == "question"
    assert (tmp_path / "err %x").read_text() == "oops\n"


async def test_full_cluster_is_pending_with_its_reason(place: Place) -> None:
    await place.running(place.spec("sleep 600", "holder", gpus=4))
    waiting = place.spec("true", "waiting", gpus=1)
    await place.launch(waiting)
    async with asyncio.timeout(patient(DEADLINE_S)):
        while (status := await place.launcher.status(waiting.folder)).reason != "Resources":
            assert status.state is ProcessState.PENDING
            await asyncio.sleep(0.1)
    assert (await place.launcher.wait(waiting.folder, 0.1)).state is ProcessState.PENDING
    await place.launcher.stop(place.folders[0], 0)
    assert (await place.launcher.wait(waiting.folder, DEADLINE_S)).exit_code == 0


async def test_stop_while_pending_never_runs_the_command(place: Place, slurm: Slurm) -> None:
    await place.running(place.spec("sleep 600", "holder", gpus=4))
    waiting = place.spec("touch ran", "waiting", gpus=1)
    begun = await place.launch(waiting)
    stopped = await place.launcher.stop(waiting.folder)
    assert (stopped.state, stopped.reason) == (ProcessState.LOST, "CANCELLED")
    assert begun.job_id is not None and slurm.state(begun.job_id) == "CANCELLED"
    assert not (place.cwd / "ran").exists()


async def test_stop_ends_the_whole_tree_and_keeps_the_true_code(place: Place) -> None:
    spec = place.spec(
        "trap 'echo bye; exit 9' TERM; sleep 600 & echo $! > child; "
        "setsid sleep 601 & echo $! > stray; while :; do sleep 0.1; done"
    )
    await place.running(spec)
    pids = [place.pid("child"), place.pid("stray")]
    stopped = await place.launcher.stop(spec.folder, 1)
    assert (stopped.state, stopped.exit_code) == (ProcessState.EXITED, 9)
    assert stopped.reason == "CANCELLED" and "bye" in spec.log.read_text()
    assert not any(alive(pid) for pid in pids)
    assert await place.launcher.stop(spec.folder) == stopped


async def test_command_that_ignores_term_is_killed_after_the_grace(place: Place) -> None:
    spec = place.spec("trap '' TERM; echo $$ > me; while :; do sleep 0.2; done")
    await place.running(spec)
    pid = place.pid("me")
    stopped = await place.launcher.stop(spec.folder, 0.5)
    assert (stopped.state, stopped.exit_code) == (ProcessState.EXITED, 137)
    assert not alive(pid)


async def test_term_reaches_the_command_once_and_what_it_started_may_end(place: Place) -> None:
    (place.cwd / "train.py").write_text(
        "import signal, sys, time\n"
        "def save(*_):\n    print('TERM', flush=True)\n    time.sleep(2)\n"
        "    print('saved', flush=True)\n    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, save)\nprint('begun', flush=True)\ntime.sleep(600)\n"
    )
    spec = place.spec(f"{sys.executable} train.py; echo over")
    await place.running(spec)
    wait_for(lambda: "begun" in spec.log.read_text(), "it has begun")
    await place.launcher.stop(spec.folder, 20)
    lines = spec.log.read_text().splitlines()
    assert lines.count("TERM") == 1 and lines.count("saved") == 1


async def test_time_out_of_slurm_is_named(place: Place, slurm: Slurm) -> None:
    spec = place.spec("sleep 600", slurm=SlurmOverride(time_limit="1"))
    begun = await place.running(spec)
    # A limit is at least a minute, but its end can be moved.
    slurm.call("scontrol", "update", f"jobid={begun.job_id}", "endtime=now+2")
    ended = await place.launcher.wait(spec.folder, DEADLINE_S)
    assert (ended.state, ended.reason) == (ProcessState.EXITED, "TIMEOUT")
    assert ended.exit_code == 128 + signal.SIGTERM
    assert (spec.folder / EXIT_CODE).read_text() == "143\n"


async def test_job_that_slurm_kills_for_its_memory_is_lost(place: Place) -> None:
    eat = "import time; x = bytes([1]) * 300_000_000; time.sleep(60)"
    command = f"{sys.executable} -c '{eat}'"
    ended = await place.run(place.spec(command, slurm=SlurmOverride(memory="50M")))
    # Without cgroups, Slurm has no better word for it.
    assert (ended.state, ended.reason) == (ProcessState.LOST, "FAILED, signal 9")


async def test_failed_node_is_lost_with_its_reason(place: Place, slurm: Slurm) -> None:
    arguments = SlurmOverride(extra_arguments=["--no-requeue"])
    spec = place.spec("sleep 600", slurm=arguments)
    await place.running(spec)
    slurm.kill("slurmd")
    try:
        slurm.call("scontrol", "update", "nodename=n1", "state=down", "reason=test")
        ended = await place.launcher.wait(spec.folder, DEADLINE_S)
    finally:
        slurm.start("slurmd")
        slurm.resume()
    assert (ended.state, ended.reason) == (ProcessState.LOST, "NODE_FAIL")
    assert ended.exit_code is None


async def test_preempted_job_runs_again_and_its_first_end_does_not_count(
    place: Place, slurm: Slurm
) -> None:
    spec = place.spec("echo attempt; until [ -e go ]; do sleep 0.1; done; exit 5", gpus=4)
    first = await place.running(spec)
    urgent = place.spec("true", "urgent", gpus=4, slurm=SlurmOverride(partition="urgent"))
    await place.launch(urgent)
    again = await place.reaches(spec, ProcessState.PENDING)
    assert not (spec.folder / EXIT_CODE).exists() and again.job_id == first.job_id
    assert (await place.launcher.wait(urgent.folder, DEADLINE_S)).exit_code == 0
    # Slurm holds a requeued job back for two minutes, unless told.
    (place.cwd / "go").touch()
    slurm.call("scontrol", "update", f"jobid={first.job_id}", "starttime=now")
    ended = await place.launcher.wait(spec.folder, DEADLINE_S)
    assert (ended.state, ended.exit_code) == (ProcessState.EXITED, 5)
    assert ended.started_at != first.started_at
    assert spec.log.read_text().count("attempt\n") == 2


async def test_dead_controller_loses_no_run(place: Place, slurm: Slurm) -> None:
    spec = place.spec("until [ -e go ]; do sleep 0.1; done; exit 3")
    begun = await place.running(spec)
    slurm.kill("slurmctld")
    try:
        silent = await SlurmLauncher(SlurmCompute()).status(spec.folder)
        assert (silent.state, silent.pid) == (ProcessState.RUNNING, begun.pid)
        assert silent.reason is not None and "squeue" in silent.reason
        (place.cwd / "go").touch()
        ended = await SlurmLauncher(SlurmCompute()).wait(spec.folder, DEADLINE_S)
        assert (ended.state, ended.exit_code) == (ProcessState.EXITED, 3)
    finally:
        slurm.start("slurmctld")


async def test_submission_waits_for_a_controller_that_is_away(place: Place, slurm: Slurm) -> None:
    slurm.kill("slurmctld")
    launching = asyncio.create_task(place.launch(place.spec("exit 4")))
    folder = place.folders[0]
    await asyncio.sleep(0.2)
    assert (await place.launcher.status(folder)).state is ProcessState.PENDING
    slurm.start("slurmctld")
    await launching
    assert (await place.launcher.wait(folder, DEADLINE_S)).exit_code == 4
    assert len(slurm.jobs(_comment(folder))) == 1


async def test_another_launcher_takes_the_job_up(place: Place) -> None:
    spec = place.spec("until [ -e go ]; do sleep 0.1; done; exit 6")
    begun = await place.running(spec)
    other = SlurmLauncher(SlurmCompute())
    assert await other.status(spec.folder) == begun
    assert await other.launch(spec) == begun
    (place.cwd / "go").touch()
    assert (await other.wait(spec.folder, DEADLINE_S)).exit_code == 6


async def test_ten_launches_into_one_folder_are_one_job(place: Place, slurm: Slurm) -> None:
    spec = place.spec("echo once")
    launchers = [place.launcher, SlurmLauncher(SlurmCompute())] * 5
    await asyncio.gather(*(launcher.launch(spec) for launcher in launchers))
    assert (await place.launcher.wait(spec.folder, DEADLINE_S)).exit_code == 0
    assert spec.log.read_text() == "once\n"
    assert len(slurm.jobs(_comment(spec.folder))) == 1


async def test_refused_job_says_why_and_the_folder_can_be_used_again(place: Place) -> None:
    bad = place.spec("true", slurm=SlurmOverride(partition="nowhere"))
    with pytest.raises(LaunchFailed, match=r"invalid partition.*that `sinfo` lists"):
        await place.launch(bad)
    assert (await place.launcher.status(bad.folder)).state is ProcessState.ABSENT
    with pytest.raises(LaunchFailed, match="no node has that many GPUs"):
        await place.launch(place.spec("true", gpus=64))
    assert (await place.run(place.spec("true"))).exit_code == 0


async def test_missing_folders_are_named(place: Place, tmp_path: Path) -> None:
    with pytest.raises(LaunchFailed, match="working directory"):
        await place.launch(place.spec("true", cwd=tmp_path / "nowhere"))
    assert await place.launcher.stop(place.folders[0]) == ProcessStatus(state=ProcessState.ABSENT)


_SUBMITTER = """
import asyncio, os, signal, sys
from pathlib import Path
from wildloop.blocks.launchers import slurm_submit
from wildloop.blocks.launchers.base import LaunchSpec
from wildloop.blocks.launchers.slurm import SlurmLauncher
from wildloop.blocks.launchers.slurm_compute import SlurmCompute

real = slurm_submit.submit

async def dies(*arguments):
    if sys.argv[2] == "after":
        await real(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)

slurm_submit.submit = dies
spec = LaunchSpec.model_validate_json(Path(sys.argv[1]).read_text())
asyncio.run(SlurmLauncher(SlurmCompute()).launch(spec))
"""


@pytest.mark.parametrize(("when", "found"), [("before", False), ("after", True)])
async def test_submitter_killed_around_sbatch_leaves_one_job(
    place: Place, slurm: Slurm, tmp_path: Path, when: str, found: bool
) -> None:
    spec = place.spec("echo once; sleep 1; exit 2")
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    arguments = [sys.executable, "-c", _SUBMITTER, tmp_path / "spec.json", when]
    done = subprocess.run(arguments, cwd=Path(__file__).parents[3], timeout=patient(60))
    assert done.returncode == -signal.SIGKILL
    assert (spec.folder / INTENT).exists() and not (spec.folder / JOB).exists()
    status = await place.launcher.status(spec.folder)
    assert (status.state is not ProcessState.ABSENT) == found
    assert (await place.run(spec)).exit_code == 2
    assert spec.log.read_text() == "once\n"
    assert len(slurm.jobs(_comment(spec.folder))) == 1


async def test_second_job_of_one_launch_does_nothing(place: Place, slurm: Slurm) -> None:
    spec = place.spec("echo once; sleep 1")
    await place.running(spec)
    intent = read(spec.folder, INTENT, Intent)
    assert intent is not None
    slurm.call("sbatch", *intent.arguments)
    assert (await place.launcher.wait(spec.folder, DEADLINE_S)).exit_code == 0
    wait_for(lambda: slurm.node() == "idle", "both jobs have ended")
    lines = spec.log.read_text().splitlines()
    assert lines.count("once") == 1


async def test_srun_in_a_command_uses_the_allocation(place: Place) -> None:
    spec = place.spec("srun --ntasks=1 sh -c 'echo $CUDA_VISIBLE_DEVICES; exit 8'", gpus=1)
    ended = await place.run(spec)
    assert ended.exit_code == 8
    assert ",".join(ended.devices) in spec.log.read_text().splitlines()


async def test_run_that_calls_sbatch_ends_with_the_inner_job(place: Place) -> None:
    inner = place.cwd / "inner.sbatch"
    inner.write_text(
        "#!/bin/sh\n#SBATCH --gres=gpu:4\nsleep 1\necho $CUDA_VISIBLE_DEVICES > inner.out\nexit 6\n"
    )
    spec = place.spec("sbatch --output=/dev/null inner.sbatch", gpus=4)
    ended = await place.run(spec)
    assert ended.exit_code == 6, spec.log.read_text()
    assert (place.cwd / "inner.out").read_text() == "0,1,2,3\n"


async def test_stop_of_a_run_that_calls_sbatch_ends_the_inner_job(
    place: Place, slurm: Slurm
) -> None:
    inner = place.cwd / "inner.sbatch"
    inner.write_text("#!/bin/sh\necho $$ > inner\nsleep 600\n")
    spec = place.spec("sbatch inner.sbatch")
    await place.running(spec)
    pid = place.pid("inner")
    await place.launcher.stop(spec.folder, 0)
    wait_for(lambda: not alive(pid), "the inner job has ended")


def _comment(folder: Path) -> str:
    intent = read(folder, INTENT, Intent)
    assert intent is not None
    return f"launch={intent.token}"
