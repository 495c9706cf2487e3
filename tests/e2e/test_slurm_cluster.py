"""Runs on a Slurm as clusters have it: limits, preemption, TERM to the batch shell alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.pace import patient
from tests.support.project import make_project
from tests.support.server import Server, start_server, wait_for
from tests.support.slurm import Slurm

pytestmark = [pytest.mark.e2e, pytest.mark.slurm]
TRAIN = """
import os, signal, sys, time

def save(*_):
    time.sleep(1)
    print("saved", flush=True)
    sys.exit(0)

signal.signal(signal.SIGTERM, save)
print("begun", os.environ["WILDLOOP_RESTART_COUNT"], flush=True)
while not os.path.exists("go"):
    time.sleep(0.1)
print("done", os.environ["MASTER_PORT"], flush=True)
"""
# As scripts do it: a shell in between, which the signal would end at once.
COMMAND = "python train.py; echo over"


@pytest.fixture(scope="module")
def server(slurm_cluster: Slurm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("slurm-cluster")
    project = make_project(folder / "project")
    (project / "train.py").write_text(TRAIN)
    extra = {"SLURM_CONF": str(slurm_cluster.conf)}
    running = start_server(folder / "home", project, slots=None, extra=extra)
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def quiet(server: Server) -> Iterator[None]:
    go = server.workdir / "go"
    go.unlink(missing_ok=True)
    yield
    go.unlink(missing_ok=True)
    server.stop_runs()


def log_of(server: Server, run: dict[str, Any]) -> str:
    return str(server.get(f"/runs/{run['id']}/logs")["content"])


def begun(server: Server, run: dict[str, Any], times: int = 1) -> None:
    server.reaches(run["id"], "running")
    server.wait_for(lambda: log_of(server, run).count("begun") == times, "it has begun")


def test_slots_are_those_of_the_partition_that_runs_go_to(server: Server) -> None:
    cluster = server.get("/cluster")
    assert cluster["cluster"]["gpu_count"] == 8
    assert cluster["capacity"]["g"] == 8
    assert {part["name"] for part in cluster["cluster"]["details"]["partitions"]} == {
        "gpu",
        "short",
    }


def test_stopped_run_writes_its_checkpoint(server: Server) -> None:
    run = server.run(COMMAND)
    begun(server, run)
    server.post(f"/runs/{run['id']}/stop")
    assert server.ended(run["id"])["status"] == "stopped"
    assert "saved" in log_of(server, run)


def test_preempted_run_waits_and_runs_again_from_its_checkpoint(
    slurm_cluster: Slurm, server: Server
) -> None:
    slurm = slurm_cluster
    here = {"extra_arguments": ["--nodelist=n1"]}
    run = server.run(COMMAND, gpus=4, timeout_seconds=600, slurm=here)
    begun(server, run)
    first = server.get(f"/runs/{run['id']}")
    urgent = slurm.call(
        "sbatch", "--parsable", "--qos=high", "--gres=gpu:4", "--nodelist=n1", "--wrap=sleep 900"
    ).strip()
    waiting = server.wait_for(
        lambda: (
            (found := server.get(f"/runs/{run['id']}"))["started_at"] is None
            and found["reason"]
            and found
        ),
        "it waits again",
    )
    assert waiting["status"] == "launching" and waiting["host"] is None, waiting
    assert "put back into the queue" in waiting["reason"]
    assert "saved" in log_of(server, run)
    slurm.call("scancel", urgent)
    # Slurm holds a job that it has put back for two minutes, unless told.
    slurm.call("scontrol", "update", f"jobid={first['job_id']}", "starttime=now")
    begun(server, run, times=2)
    again = server.wait_for(
        lambda: (found := server.get(f"/runs/{run['id']}"))["restarts"] == 1 and found,
        "its new start is shown",
    )
    assert again["started_at"] > first["started_at"] and again["host"] == "n1"
    assert again["earlier_seconds"] > 0
    (server.workdir / "go").touch()
    ended = server.ended(run["id"])
    assert (ended["status"], ended["restarts"], ended["reason"]) == ("finished", 1, None), ended
    assert "begun 1" in log_of(server, run)


def test_runs_beyond_the_submit_limit_wait_for_their_turn(server: Server) -> None:
    wait = "until [ -e go ]; do sleep 0.2; done"
    runs = [server.run(wait, slurm={"qos": "few"}) for _ in range(4)]
    server.wait_for(
        lambda: any(
            "MaxSubmitJobs" in (server.get(f"/runs/{run['id']}")["reason"] or "") for run in runs
        ),
        "one says that it waits to be submitted",
    )
    (server.workdir / "go").touch()
    ended = [server.ended(run["id"], 120) for run in runs]
    assert [one["status"] for one in ended] == ["finished"] * 4, ended


@pytest.mark.parametrize(("code", "status"), [(0, "finished"), (3, "failed")])
def test_run_lasts_until_the_job_that_its_script_handed_in(
    server: Server, code: int, status: str, tmp_path: Path
) -> None:
    script, mark = server.workdir / "submit.sh", tmp_path / f"inner-{code}"
    script.write_text(
        f"cat > inner.sh <<END\n#!/bin/bash\nsleep 3\ntouch {mark}\nexit {code}\nEND\n"
        "sbatch --output=/dev/null --job-name=mine inner.sh\n"
    )
    ended = server.ended(server.run("bash submit.sh")["id"])
    assert mark.exists()
    assert (ended["status"], ended["exit_code"]) == (status, code), ended


def test_time_limits_are_named_and_leave_time_for_a_checkpoint(server: Server) -> None:
    late = server.run(COMMAND, slurm={"time_limit": "1"})
    never = server.run("true", slurm={"partition": "short", "time_limit": "60"})
    refused = server.run("true", slurm={"account": "nobodys"})
    told = server.ended(refused["id"])
    assert told["status"] == "failed" and "account" in told["error"]
    assert "partition of" not in told["error"]

    def alert() -> dict[str, Any] | None:
        alerts = server.get(f"/runs/{never['id']}/alerts")
        return next((one for one in alerts if one["kind"] == "waiting"), None)

    said = server.wait_for(alert, "it is said that this run never starts", patient(90))
    assert "PartitionTimeLimit" in said["message"] and "time_limit" in said["message"]
    ended = server.ended(late["id"], 180)
    assert ended["status"] == "failed" and ended["error"].startswith("TIMEOUT"), ended
    assert "saved" in log_of(server, late)


def test_requeued_run_outlives_a_restart_of_slurmctld(slurm_cluster: Slurm, server: Server) -> None:
    slurm = slurm_cluster
    here = {"extra_arguments": ["--nodelist=n2"]}
    run = server.run(COMMAND, slurm=here)
    begun(server, run)
    job = server.get(f"/runs/{run['id']}")["job_id"]
    slurm.call("scontrol", "requeue", job)
    wait_for(lambda: slurm.state(job) == "PENDING", "it is put back")
    slurm.kill("slurmctld")
    slurm.start("slurmctld")
    wait_for(lambda: slurm.state(job) == "PENDING", "slurmctld is back")
    (server.workdir / "go").touch()
    slurm.call("scontrol", "update", f"jobid={job}", "starttime=now")
    ended = server.ended(run["id"])
    assert (ended["status"], ended["restarts"]) == ("finished", 1), ended
