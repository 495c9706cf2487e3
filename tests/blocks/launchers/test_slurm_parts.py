"""The Slurm launcher's parts, without Slurm."""

import asyncio
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pytest
from pydantic import ValidationError

from wildloop.blocks.launchers.base import LaunchFailed, LaunchSpec, ProcessState
from wildloop.blocks.launchers.slurm import SlurmLauncher
from wildloop.blocks.launchers.slurm_commands import (
    JobView,
    SlurmSilent,
    list_jobs,
    parse_sacct,
    parse_scontrol,
    parse_squeue,
)
from wildloop.blocks.launchers.slurm_compute import SlurmCompute, SlurmOverride
from wildloop.blocks.launchers.slurm_options import gres_request, limit_minutes, sbatch_options
from wildloop.blocks.launchers.slurm_record import INTENT, End, Intent, Start
from wildloop.blocks.launchers.slurm_script import (
    batch_script,
    calls_sbatch,
    submission_environment,
)
from wildloop.blocks.launchers.slurm_submit import submission_lock
from wildloop.blocks.launchers.slurm_verdict import alive, ended, final_of, is_settled
from wildloop.blocks.launchers.slurm_watch import JobWatch, Seen

START = Start(job_id="7", restart=0, host="n1", pid=1, boot="b", devices="0,1", started_at=5)
END = End(job_id="7", restart=0, exit_code=143, signalled=True, ended_at=9)
INTENTION = Intent(token="t0k", run_id="r", arguments=[], written_at=1)


def view(state: str, **fields: object) -> JobView:
    return JobView.model_validate({"job_id": "7", "state": state, "nodes": "n1", **fields})


def seen(found: JobView | None, seconds: float = 0.0) -> Seen:
    return Seen(view=found, since=100.0, asked_at=100.0 + seconds)


def spec(folder: Path, command: str = "true", **changes: object) -> LaunchSpec:
    values = {"folder": folder, "command": command, "cwd": folder, "env": {}, "log": folder / "log"}
    return LaunchSpec.model_validate(values | changes)


@pytest.mark.parametrize(
    "argument",
    [
        *("--array=1-9", "--arr=1", "-a1", "-Ha1", "--wrap=ls", "--output=x", "-o/tmp/x", "-W"),
        *("--export=NONE", "--comment=x", "--parsable", "-Mother", "-D/tmp", "--wait"),
        *("evil.sh", "", "-", "--", "--constraint=a\n#SBATCH", "--=x", "-1"),
    ],
)
def test_argument_that_would_lose_the_job_is_refused(argument: str) -> None:
    with pytest.raises(ValidationError, match="sbatch argument"):
        SlurmOverride(extra_arguments=[argument])


@pytest.mark.parametrize(
    "argument", ["--constraint=a100&nvlink", "-Ca100", "--exclusive", "--wait-all-nodes=1", "-H"]
)
def test_other_arguments_are_passed_on(argument: str) -> None:
    options = SlurmOverride(extra_arguments=[argument])
    assert sbatch_options(options, 0, None, False)[-1] == argument


@pytest.mark.parametrize(
    "fields",
    [
        {"partition": "gpu --wrap=x"},
        {"partition": "--wrap"},
        {"account": "a\nb"},
        {"qos": ""},
        {"gres": "gpu:1 -p x"},
        {"memory": "lots"},
        {"cpus_per_task": 0},
        {"time_limit": "soon"},
        {"setup_lines": ["one\ntwo"]},
        {"nonsense": "x"},
    ],
)
def test_bad_values_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SlurmOverride.model_validate(fields)
    if "nonsense" not in fields:
        with pytest.raises(ValidationError):
            SlurmCompute.model_validate(fields)


def test_override_replaces_what_it_gives_and_keeps_the_rest() -> None:
    block = SlurmCompute(partition="gpu", account="lab", setup_lines=["module load x"])
    merged = block.merged(SlurmOverride(partition="big", setup_lines=[]))
    assert (merged.partition, merged.account, merged.setup_lines) == ("big", "lab", [])
    assert block.merged(None).partition == "gpu"


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("90", 90),
        ("1:30", 1.5),
        ("2:00:00", 120),
        ("1-12", 2160),
        ("1-0:30", 1470),
        ("infinite", float("inf")),
    ],
)
def test_time_limits_as_slurm_reads_them(text: str, minutes: float) -> None:
    assert limit_minutes(text) == minutes


@pytest.mark.parametrize(
    ("limit", "timeout", "own", "asked"),
    [
        (None, None, False, None),
        ("60", None, False, "60"),
        ("60", 90.0, False, "3"),
        ("2", 9000.0, False, "2"),
        (None, 59.0, False, "2"),
        ("60", 90.0, True, "60"),
    ],
)
def test_time_asked_for_is_just_over_the_run_s_own_time_out(
    limit: str | None, timeout: float | None, own: bool, asked: str | None
) -> None:
    options = sbatch_options(SlurmOverride(time_limit=limit), 0, timeout, own)
    times = [one.removeprefix("--time=") for one in options if one.startswith("--time=")]
    assert times == ([asked] if asked else [])


@pytest.mark.parametrize(
    ("fields", "gpus", "asked"),
    [
        ({}, 0, None),
        ({}, 2, "gpu:2"),
        ({"gpu_type": "a100"}, 1, "gpu:a100:1"),
        ({"gres": "gpu:h100:{gpus},nvme:1"}, 3, "gpu:h100:3,nvme:1"),
    ],
)
def test_gpus_are_asked_for_by_type_or_template(
    fields: dict[str, str], gpus: int, asked: str | None
) -> None:
    assert gres_request(SlurmOverride.model_validate(fields), gpus) == asked


def test_squeue_lines_of_another_form_are_left_out() -> None:
    text = "7|PENDING||Resources\n8|RUNNING|n1|None\n9_[1-3]|PENDING||x\nodd\n|||\n10||n1|x\n"
    views = parse_squeue(text)
    assert list(views) == ["7", "8"]
    assert (views["7"].is_pending, views["7"].reason) == (True, "Resources")
    assert (views["8"].is_running, views["8"].nodes, views["8"].reason) == (True, "n1", None)


def test_scontrol_and_sacct_tell_code_and_signal() -> None:
    shown = parse_scontrol(
        "JobId=7 JobName=JobState=X JobState=FAILED Reason=NonZeroExitCode ExitCode=7:0 "
        "NodeList=n1 Command=/x ExitCode=0:0 Comment=JobState=COMPLETED"
    )
    assert shown is not None
    assert (shown.state, shown.exit_code, shown.signal) == ("FAILED", 7, None)
    told = parse_sacct("7|COMPLETED|n1|0:0\n7|CANCELLED by 0|n1|0:15\n")
    assert (told["7"].state, told["7"].signal) == ("CANCELLED", 15)
    assert parse_scontrol("Invalid job id") is None and parse_sacct("disabled\n") == {}


@pytest.mark.parametrize("state", ["PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD"])
def test_waiting_states_are_pending_with_their_reason(state: str) -> None:
    status = alive("7", None, seen(view(state, reason="Priority")))
    assert (status.state, status.reason) == (ProcessState.PENDING, "Priority")


@pytest.mark.parametrize("state", ["RUNNING", "COMPLETING", "STAGE_OUT"])
def test_holding_states_are_running(state: str) -> None:
    status = alive("7", START, seen(view(state)))
    assert (status.state, status.host, status.devices) == (ProcessState.RUNNING, "n1", ("0", "1"))


def test_job_that_has_not_reported_its_start_is_pending_for_a_while() -> None:
    assert alive("7", None, seen(view("RUNNING"))).state is ProcessState.PENDING
    assert alive("7", None, seen(view("RUNNING"), 31)).state is ProcessState.RUNNING


@pytest.mark.parametrize(
    ("state", "fields", "last", "code", "reason"),
    [
        ("TIMEOUT", {}, END, 143, "TIMEOUT"),
        ("TIMEOUT", {}, None, None, "TIMEOUT"),
        ("OUT_OF_MEMORY", {"exit_code": 0, "signal": 125}, None, None, "OUT_OF_MEMORY"),
        ("NODE_FAIL", {"exit_code": 0}, None, None, "NODE_FAIL"),
        ("CANCELLED", {}, END, 143, "CANCELLED"),
        ("FAILED", {"exit_code": 7}, None, 7, None),
        ("COMPLETED", {"exit_code": 0}, None, 0, None),
        ("FAILED", {"exit_code": 0, "signal": 9}, None, None, "FAILED, signal 9"),
        ("FAILED", {"exit_code": 0}, END, 143, "SIGTERM from Slurm or a person"),
    ],
)
def test_end_states_are_named(
    state: str, fields: dict[str, int], last: End | None, code: int | None, reason: str | None
) -> None:
    final = final_of(view(state, **fields), START, last)
    assert (final.exit_code, final.reason) == (code, reason)
    status = ended("7", START, (code, 9.0) if code is not None else None, final)
    expected = ProcessState.LOST if code is None else ProcessState.EXITED
    assert (status.state, status.reason) == (expected, reason)


def test_success_is_not_believed_of_a_job_that_never_started() -> None:
    assert final_of(view("COMPLETED", exit_code=0), None, None).exit_code is None
    assert final_of(None, START, None).reason == "Slurm no longer knows the job"


def test_end_that_slurm_may_take_back_has_to_last() -> None:
    assert not is_settled(seen(view("PREEMPTED")), START, END)
    assert is_settled(seen(view("PREEMPTED"), 5), START, END)
    assert is_settled(seen(view("TIMEOUT")), START, END)
    assert not is_settled(seen(view("COMPLETED")), START, None)
    assert is_settled(seen(view("CANCELLED")), None, None)


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ("sbatch job.sh", True),
        ("cd x && A=1 /usr/bin/sbatch --parsable job.sh", True),
        ("echo hi\nsbatch job.sh", True),
        ("if true; then sbatch job.sh; fi", True),
        ("echo sbatch", False),
        ("python sbatch.py", False),
        ("cat < sbatch", False),
        ("srun python train.py", False),
        ("echo 'unclosed", False),
        ("", False),
    ],
)
def test_command_that_submits_by_itself_is_known(command: str, found: bool) -> None:
    assert calls_sbatch(command) == found


def test_environment_keeps_no_outer_job_and_no_devices(tmp_path: Path) -> None:
    env = {
        "MY": "1",
        "SLURM_JOB_ID": "9",
        "SLURM_MEM_PER_NODE": "1",
        "SBATCH_EXPORT": "NONE",
        "SBATCH_WAIT": "1",
        "SBATCH_ACCOUNT": "lab",
        "CUDA_VISIBLE_DEVICES": "3",
    }
    made = submission_environment(spec(tmp_path, env=env), INTENTION, {"SLURM_CONF": "/c"})
    assert made == {
        "MY": "1",
        "SBATCH_ACCOUNT": "lab",
        "SLURM_CONF": "/c",
        "WILDLOOP_LAUNCH_ID": "t0k",
    }


def test_batch_script_lets_no_text_become_an_option(tmp_path: Path) -> None:
    script = batch_script(
        spec(tmp_path, "#SBATCH --wrap=x\ntrue"),
        INTENTION,
        SlurmOverride(setup_lines=["#SBATCH -p x"]),
    )
    before = script[: script.index("#SBATCH")]
    assert any(line and not line.startswith("#") for line in before.splitlines())


class Scheduler:
    """Answers like squeue, and counts the calls."""

    def __init__(self) -> None:
        self.calls: list[set[str]] = []
        self.views: dict[str, JobView] = {}
        self.silent = False

    async def ask(self, job_ids: Iterable[str]) -> dict[str, JobView]:
        self.calls.append(set(job_ids))
        await asyncio.sleep(0)
        if self.silent:
            raise SlurmSilent("no answer")
        return {job: found for job, found in self.views.items() if job in self.calls[-1]}


async def test_many_jobs_cost_one_call() -> None:
    scheduler = Scheduler()
    watch = JobWatch(scheduler.ask)
    jobs = [str(number) for number in range(100)]
    scheduler.views = {job: view("RUNNING").model_copy(update={"job_id": job}) for job in jobs}
    found = await asyncio.gather(*(watch.look(job) for job in jobs))
    assert {one.view.job_id for one in found if one.view} == set(jobs)
    assert len(scheduler.calls) <= 3
    await asyncio.gather(*(watch.look(job) for job in jobs))
    assert len(scheduler.calls) <= 3


async def test_who_comes_just_as_a_call_ends_does_not_stop_the_loop() -> None:
    calls: list[asyncio.Future[None]] = []
    looks = 0

    async def ask(jobs: Iterable[str]) -> dict[str, JobView]:
        calls.append(asyncio.get_running_loop().create_future())
        await calls[-1]
        return {job: view("RUNNING").model_copy(update={"job_id": job}) for job in jobs}

    def clock() -> float:
        nonlocal looks
        looks += 1
        assert looks < 1000, "it looks again and again, and lets nobody else run"
        return float(looks)

    watch = JobWatch(ask, clock)
    first = asyncio.create_task(watch.look("1"))
    while not calls:
        await asyncio.sleep(0)
    calls[0].set_result(None)
    # Its first step comes after the call's last one, and before anybody is told of the end.
    second = asyncio.create_task(watch.look("2"))
    while len(calls) < 2:
        await asyncio.sleep(0)
    calls[1].set_result(None)
    assert [(await one).view for one in (first, second)] == [
        view("RUNNING").model_copy(update={"job_id": job}) for job in ("1", "2")
    ]


async def test_pace_slows_while_nothing_changes_and_more_while_silent() -> None:
    clock = [1000.0]
    scheduler = Scheduler()
    scheduler.views = {"7": view("RUNNING")}
    watch = JobWatch(scheduler.ask, lambda: clock[0])

    async def calls_in(seconds: int) -> int:
        before = len(scheduler.calls)
        for _ in range(seconds * 10):
            clock[0] += 0.1
            with suppress(SlurmSilent):
                await watch.look("7")
        return len(scheduler.calls) - before

    await calls_in(60)
    assert 10 <= await calls_in(60) <= 13
    scheduler.silent = True
    await calls_in(120)
    assert await calls_in(120) <= 5
    scheduler.silent = False
    await calls_in(31)
    assert (await watch.look("7")).view == view("RUNNING")


async def test_forgotten_job_is_seen_as_such() -> None:
    assert (await JobWatch(Scheduler().ask).look("7")).view is None


async def test_silent_slurm_keeps_the_last_known_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "squeue").write_text("#!/bin/sh\necho 'Unable to contact controller' >&2; exit 1\n")
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(SlurmSilent, match="Unable to contact"):
        await list_jobs(["7"])
    (tmp_path / INTENT).write_text(INTENTION.model_dump_json())
    status = await SlurmLauncher(SlurmCompute()).status(tmp_path)
    assert status.state is ProcessState.PENDING


async def test_missing_slurm_says_where_to_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LaunchFailed, match="sbatch is not on PATH"):
        await SlurmLauncher(SlurmCompute()).launch(spec(tmp_path))
    assert not (tmp_path / INTENT).exists()


async def test_damaged_record_is_said(tmp_path: Path) -> None:
    (tmp_path / INTENT).write_text("{")
    for call in (SlurmLauncher(SlurmCompute()).status, SlurmLauncher(SlurmCompute()).stop):
        with pytest.raises(LaunchFailed, match="is damaged"):
            await call(tmp_path)


def test_lock_is_held_by_one_and_outlasts_its_holder_in_a_child(tmp_path: Path) -> None:
    with submission_lock(tmp_path) as held:
        assert held is not None
        with submission_lock(tmp_path) as second:
            assert second is None
        copy = os.dup(held)
    with submission_lock(tmp_path) as third:
        assert third is None
    os.close(copy)
    with submission_lock(tmp_path) as fourth:
        assert fourth is not None
