"""Wildloop on a real Slurm: whole sessions, and whatever Slurm may do to a run."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gates import Gate
from tests.support.project import git, make_project
from tests.support.server import Server, start_server, wait_for
from tests.support.slurm import Slurm

pytestmark = [pytest.mark.e2e, pytest.mark.slurm]
DIGITS = Path(__file__).parents[2] / "examples" / "digits"


@pytest.fixture(scope="module")
def shared_server(
    slurm_session: Slurm, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A `wildloop up` that finds Slurm by itself."""
    folder = tmp_path_factory.mktemp("slurm-server")
    extra = {"SLURM_CONF": str(slurm_session.conf)}
    project = make_project(folder / "project")
    running = start_server(folder / "home", project, slots=None, extra=extra)
    yield running
    running.stop()


@pytest.fixture
def slurm_server(slurm: Slurm, shared_server: Server) -> Iterator[Server]:
    """The server, alive, with an idle cluster and nothing else to do."""
    if shared_server.process.poll() is not None:
        shared_server.launch()
    yield shared_server
    shared_server.stop_runs()


def test_baseline_session_runs_wholly_on_slurm(
    slurm: Slurm, slurm_server: Server, tmp_path: Path
) -> None:
    cluster = slurm_server.get("/cluster")
    assert (cluster["cluster"]["type"], cluster["cluster"]["gpu_count"]) == ("slurm", 4)
    assert cluster["capacity"]["g"] == 4
    project = tmp_path / "digits"
    shutil.copytree(DIGITS, project)
    config = project / "wildloop.toml"
    text, fewer = re.subn(r"(?m)^runs = \d+$", "runs = 12", config.read_text())
    # How Wildloop confirms is tried without Slurm, where a run takes a second.
    text, unconfirmed = re.subn(r"(\[confirm\]\nseeds) = \d+\n", r"\1 = 0\n", text)
    assert (fewer, unconfirmed) == (1, 1), "the example's budget stands otherwise"
    config.write_text(text)
    git(project, "init", "-q", "-b", "main")
    for key, value in (("user.name", "T"), ("user.email", "t@localhost")):
        git(project, "config", key, value)
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", "start")
    session_id = slurm_server.start(project, "baseline")
    session = slurm_server.session_ended(session_id)
    assert session["status"] == "completed", session
    runs = slurm_server.get("/runs", chat_session_id=session_id, limit=1000)
    assert all(run["job_id"] and len(run["gpus"]) == 1 for run in runs), runs
    # At the corners of the space training diverges, which train.py says by exit code 3.
    left = [run for run in runs if run["status"] != "finished"]
    assert {(run["status"], run["exit_code"]) for run in left} <= {("failed", 3)}, left
    assert len(runs) - len(left) >= 8
    assert {run["host"] for run in runs} == {"n1"}
    # Whether twelve runs show a gain is chance: that none is told as a loss is not.
    assert session["best"]["value"] >= session["baseline"]["value"]


def test_what_slurm_does_to_a_run_is_its_outcome(slurm: Slurm, slurm_server: Server) -> None:
    server = slurm_server
    stopped = server.run("sleep 900")
    late = server.run("sleep 900", timeout_seconds=3)
    refused = server.run("true", slurm={"partition": "nowhere"})
    greedy = server.run(
        "python -c 'import time; held = b\"x\" * (300 << 20); time.sleep(60)'",
        slurm={"memory": "100M"},
    )
    server.reaches(stopped["id"], "running")
    server.post(f"/runs/{stopped['id']}/stop")
    assert server.ended(stopped["id"])["status"] == "stopped"
    job = server.get(f"/runs/{stopped['id']}")["job_id"]
    wait_for(lambda: slurm.state(job) == "CANCELLED", "the job is cancelled")
    ended = server.ended(late["id"])
    assert ended["status"] == "failed" and "time-out" in ended["error"].lower()
    full = server.ended(greedy["id"])
    assert full["status"] == "failed" and "OUT_OF_MEMORY" in full["error"], full
    told = server.ended(refused["id"])
    assert told["status"] == "failed" and "partition" in told["error"]


def test_run_on_a_node_that_fails_starts_again_or_is_failed_by_name(
    slurm: Slurm, slurm_server: Server
) -> None:
    server = slurm_server
    count = server.workdir / "starts"
    again = server.run(f"echo x >> '{count}'; [ $(wc -l < '{count}') = 2 ] && exit 3; sleep 900")
    once = server.run("sleep 900", slurm={"extra_arguments": ["--no-requeue"]})
    for run in (again, once):
        server.reaches(run["id"], "running")
    slurm.kill("slurmd")
    slurm.call("scontrol", "update", "nodename=n1", "state=down", "reason=test")
    lost = server.ended(once["id"])
    assert (lost["status"], lost["exit_code"]) == ("failed", None)
    assert "NODE_FAIL" in lost["error"]
    slurm.start("slurmd")
    slurm.resume()
    # Slurm lets two minutes pass before a job that it has put back may begin; the node refuses
    # one whose credential is as old as the loss.
    job = server.get(f"/runs/{again['id']}")["job_id"]
    wait_for(lambda: slurm.state(job) == "PENDING", "the job is put back")
    wait_for(lambda: slurm.node() == "idle", "the node answers")
    slurm.call("scontrol", "update", f"jobid={job}", "starttime=now+10")
    ended = server.ended(again["id"])
    assert (ended["status"], ended["exit_code"]) == ("failed", 3), ended
    assert count.read_text().split() == ["x", "x"]


def test_restart_in_mid_run_takes_the_job_up_again(
    slurm: Slurm, slurm_server: Server, tmp_path: Path
) -> None:
    server, gate = slurm_server, Gate(tmp_path / "gate")
    running = server.run(f"echo begun; {gate.command}; echo ended; exit 5")
    waiting = [server.run("sleep 900", gpus=4), server.run("sleep 900", gpus=4)]
    job = server.reaches(running["id"], "running")["job_id"]
    gate.await_runs(1)
    assert server.stop() == 0
    server.launch()
    gate.open()
    ended = server.ended(running["id"])
    assert (ended["status"], ended["exit_code"], ended["job_id"]) == ("failed", 5, job)
    log = server.get(f"/runs/{running['id']}/logs")["content"]
    assert log == "begun\nended\n"
    assert slurm.jobs(running["id"]) == [job]
    server.reaches(waiting[0]["id"], "running")
    assert server.get(f"/runs/{waiting[1]['id']}")["status"] == "queued"


def test_full_cluster_says_why_a_run_waits(slurm: Slurm, slurm_server: Server) -> None:
    server = slurm_server
    outside = slurm.call(
        "sbatch", "--parsable", "--partition=gpu", "--gres=gpu:4", "--wrap=sleep 900"
    ).strip()
    wait_for(lambda: slurm.state(outside) == "RUNNING", "another user's job holds all GPUs")
    run = server.run("echo at last")
    waiting = server.wait_for(
        lambda: (found := server.get(f"/runs/{run['id']}"))["reason"] == "Resources" and found,
        "it says why",
    )
    assert waiting["status"] == "launching"
    slurm.call("scancel", outside)
    ended = server.ended(run["id"])
    assert (ended["status"], ended["reason"]) == ("finished", None)


def test_large_and_small_requests_never_share_a_device(slurm: Slurm, slurm_server: Server) -> None:
    counts = [1, 4, 2, 1, 2]
    made = [slurm_server.run("echo $CUDA_VISIBLE_DEVICES; sleep 1", gpus=n) for n in counts]
    runs = [slurm_server.ended(run["id"]) for run in made]
    for run, count in zip(runs, counts, strict=True):
        assert run["status"] == "finished" and len(run["gpus"]) == count, run
    for one in runs:
        for other in runs:
            overlap = (
                one["started_at"] < other["finished_at"]
                and other["started_at"] < one["finished_at"]
            )
            if one is not other and overlap:
                assert not set(one["gpus"]) & set(other["gpus"])
