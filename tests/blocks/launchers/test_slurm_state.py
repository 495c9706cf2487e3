"""Where a Slurm job stands, what its reasons mean, and how often Slurm is asked."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest

from wildloop.blocks.launchers.base import LaunchSpec, ProcessState
from wildloop.blocks.launchers.slurm_accounts import Accounts
from wildloop.blocks.launchers.slurm_commands import JobView
from wildloop.blocks.launchers.slurm_inner import submitted
from wildloop.blocks.launchers.slurm_options import SlurmOverride, sbatch_options, warning_seconds
from wildloop.blocks.launchers.slurm_reasons import (
    Outlook,
    explained_end,
    is_submit_limit,
    mend_of_refusal,
    waiting,
)
from wildloop.blocks.launchers.slurm_record import (
    EARLIER,
    SUBMITTED,
    End,
    Intent,
    Start,
    earlier_seconds,
)
from wildloop.blocks.launchers.slurm_script import batch_script, contained
from wildloop.blocks.launchers.slurm_state import Phase, standing
from wildloop.blocks.launchers.slurm_verdict import TERMINATED, WARNED, alive, final_of
from wildloop.blocks.launchers.slurm_watch import JobWatch, Seen

START = Start(job_id="7", restart=0, host="n1", pid=1, boot="b", devices="0", started_at=1000)
END = End(job_id="7", restart=0, exit_code=143, signalled=True, ended_at=1027)


def view(state: str, **fields: object) -> JobView:
    return JobView.model_validate({"job_id": "7", "state": state, "nodes": "n1", **fields})


@pytest.mark.parametrize(
    ("found", "start", "end", "fresh", "phase", "restarts"),
    [
        (view("PENDING", reason="Priority"), None, None, False, Phase.WAITING, 0),
        (view("CONFIGURING"), None, None, False, Phase.WAITING, 0),
        (view("RUNNING"), None, None, False, Phase.STARTING, 0),
        (view("RUNNING", started_at=990.0), START, None, False, Phase.RUNNING, 0),
        (view("PENDING", reason="Priority"), START, None, True, Phase.RUNNING, 0),
        (view("SUSPENDED"), START, None, False, Phase.SUSPENDED, 0),
        (view("COMPLETING"), START, END, False, Phase.RUNNING, 0),
        (view("PENDING", reason="BeginTime"), START, END, False, Phase.REQUEUED, 1),
        (view("REQUEUED"), START, None, False, Phase.REQUEUED, 1),
        # Begun anew, and not yet reported: the old start is not its start.
        (view("RUNNING", started_at=1150.0), START, END, False, Phase.STARTING, 1),
        (view("RUNNING", started_at=1150.0), START, None, False, Phase.STARTING, 1),
        (view("RUNNING", started_at=1040.0), START, END, False, Phase.STARTING, 1),
        # It has ended, and Slurm has not seen that yet.
        (view("RUNNING", started_at=999.0), START, END, False, Phase.RUNNING, 0),
        (view("RUNNING"), START, END, False, Phase.RUNNING, 0),
        (view("PREEMPTED"), START, END, False, Phase.ENDED, 0),
        (None, START, None, False, Phase.ENDED, 0),
    ],
)
def test_phase_follows_from_what_slurm_and_the_job_say(
    found: JobView | None,
    start: Start | None,
    end: End | None,
    fresh: bool,
    phase: Phase,
    restarts: int,
) -> None:
    stands = standing(found, start, end, fresh)
    assert (stands.phase, stands.restarts) == (phase, restarts)
    assert (stands.start is not None) == (phase in (Phase.RUNNING, Phase.SUSPENDED, Phase.ENDED))


def test_requeued_job_waits_without_host_or_start() -> None:
    seen = Seen(view=view("PENDING", reason="Resources", nodes=""), since=0.0, asked_at=0.0)
    status = alive("7", START, seen, END)
    assert (status.state, status.started_at, status.host) == (ProcessState.PENDING, None, None)
    assert status.reason == "put back into the queue: Resources" and status.restarts == 1


def test_several_nodes_are_all_named() -> None:
    seen = Seen(view=view("RUNNING", nodes="n[1-2]"), since=0.0, asked_at=0.0)
    assert alive("7", START, seen).host == "n[1-2]"


def test_end_after_a_warning_is_named_by_its_cause() -> None:
    own = END.model_copy(update={"exit_code": 0})
    assert final_of(view("COMPLETED"), START, own, 20.0).reason == WARNED
    assert final_of(view("COMPLETED"), START, own, 2000.0).reason == TERMINATED
    assert final_of(view("TIMEOUT"), START, own).reason == "TIMEOUT"


def test_time_of_earlier_attempts_is_added_up(tmp_path: Path) -> None:
    lines = [START.model_dump_json(), END.model_dump_json(), START.model_dump_json(), '{"job']
    (tmp_path / EARLIER).write_text("\n".join(lines))
    third = START.model_copy(update={"restart": 2})
    assert earlier_seconds(tmp_path, third) == 27
    assert earlier_seconds(tmp_path, START) == 0


@pytest.mark.parametrize(
    ("reason", "outlook", "says"),
    [
        ("Resources", Outlook.QUEUE, ""),
        ("Priority", Outlook.QUEUE, ""),
        ("PartitionTimeLimit", Outlook.NEVER, "time_limit"),
        ("AssocGrpGRES", Outlook.LIMIT, "account"),
        ("QOSMaxJobsPerUserLimit", Outlook.LIMIT, "QOS"),
        ("QOSMaxGRESPerJob", Outlook.NEVER, "one job"),
        ("AssocMaxWallDurationPerJobLimit", Outlook.NEVER, "time"),
        ("ReqNodeNotAvail, UnavailableNodes:n[1-2]", Outlook.QUEUE, ""),
        ("JobHeldAdmin", Outlook.NEVER, "scontrol release"),
        ("launch failed requeued held", Outlook.NEVER, "scontrol release"),
    ],
)
def test_reason_of_a_pending_job_says_what_can_be_done(
    reason: str, outlook: Outlook, says: str
) -> None:
    means = waiting(reason)
    assert means.outlook is outlook and says in means.mend


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ("Invalid account or account/partition combination specified", "account"),
        ("invalid partition specified: nope", "sinfo"),
        ("Invalid qos specification", "QOS"),
        ("Requested node configuration is not available", "%G"),
        ("Job violates accounting/QOS policy (job submit limit, ...)", "sacctmgr"),
    ],
)
def test_refusal_names_what_was_refused(said: str, names: str) -> None:
    assert names in mend_of_refusal(said)
    assert not is_submit_limit(said)


def test_submit_limit_is_no_refusal() -> None:
    assert is_submit_limit("QOSMaxSubmitJobPerUserLimit / Batch job submission failed")
    assert is_submit_limit("AssocGrpSubmitJobsLimit / Batch job submission failed")


def test_end_by_slurm_says_what_it_means() -> None:
    assert "time_limit" in explained_end("TIMEOUT")
    assert "memory" in explained_end("OUT_OF_MEMORY")
    assert explained_end("something else") == "something else"


def test_run_over_several_nodes_asks_for_each_node_s_share() -> None:
    options = SlurmOverride(nodes=2, tasks_per_node=4, constraint="a100&nvlink")
    words = sbatch_options(options, 8, None, False)
    assert {"--nodes=2", "--ntasks-per-node=4", "--gres=gpu:4"} <= set(words)
    assert "--constraint=a100&nvlink" in words


@pytest.mark.parametrize(
    ("limit", "grace", "warning"),
    [("1", None, None), ("2:00:00", None, 60), ("2:00:00", 300, 300), ("infinite", None, None)],
)
def test_long_job_is_told_before_its_time_limit(
    limit: str, grace: int | None, warning: int | None
) -> None:
    options = SlurmOverride(time_limit=limit, grace_seconds=grace)
    assert warning_seconds(options, limit) == warning
    signals = [word for word in sbatch_options(options, 0, None, False) if "signal" in word]
    assert signals == ([] if warning is None else [f"--signal=B:TERM@{warning}"])


def test_container_and_modules_stand_around_the_command(tmp_path: Path) -> None:
    options = SlurmOverride(container="/img/a.sif", modules=["cuda/12.4"])
    assert contained("python 'x y'", options, tmp_path, True).startswith("exec apptainer exec --nv")
    pyxis = options.model_copy(update={"container_runtime": "pyxis"})
    assert "--container-image=/img/a.sif" in contained("true", pyxis, tmp_path, False)
    spec = LaunchSpec(folder=tmp_path, command="true", cwd=tmp_path, env={}, log=tmp_path / "log")
    intent = Intent(token="t", run_id="r", arguments=[], written_at=1)
    assert "module load cuda/12.4" in batch_script(spec, intent, options)


@pytest.mark.parametrize("said", ["Submitted batch job 12\n", "12\n", "12;cluster\n"])
def test_jobs_that_a_command_hands_in_are_known(tmp_path: Path, said: str) -> None:
    assert submitted(tmp_path) is None
    (tmp_path / SUBMITTED).write_text(said)
    assert submitted(tmp_path) == ["12"]


async def test_500_jobs_cost_few_calls_a_minute_though_something_always_changes() -> None:
    clock, calls = [1000.0], [0]
    states = ("PENDING", "RUNNING")

    async def ask(jobs: Iterable[str]) -> dict[str, JobView]:
        calls[0] += 1
        return {job: view(states[calls[0] % 2]).model_copy(update={"job_id": job}) for job in jobs}

    watch = JobWatch(ask, lambda: clock[0])
    jobs = [str(number) for number in range(500)]
    await asyncio.gather(*(watch.look(job) for job in jobs))
    before = calls[0]
    for step in range(120):
        clock[0] += 0.5
        asking = (watch.look(job, at_once=True) for job in jobs[step % 20 :: 20])
        await asyncio.gather(*asking)
    assert calls[0] - before < 12


async def test_all_forgotten_jobs_are_asked_about_by_one_sacct() -> None:
    calls: list[set[str]] = []

    async def ask(jobs: Iterable[str]) -> dict[str, JobView]:
        calls.append(set(jobs))
        return {"1": view("COMPLETED")}

    accounts = Accounts(ask, gather_seconds=0)
    found = await asyncio.gather(*(accounts.look(str(number)) for number in range(1, 50)))
    assert len(calls) == 1 and len(calls[0]) == 49
    assert [one is not None for one in found] == [True] + [False] * 48
