"""Killed processes: nothing lost, nothing run twice."""

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from tests.support.chaos import most_at_once
from tests.support.gates import Gate
from tests.support.pace import patient
from tests.support.project import make_project
from tests.support.script import STOP, Script, planned
from tests.support.server import Server, alive, start_server, wait_for
from tests.support.workers import another_worker

pytestmark = pytest.mark.e2e
WORKER = "wildloop.flows.worker.main"
TWO = ("--slots", "2")


def test_killed_worker_is_replaced_and_its_run_adopted(
    rough_server: Server, tmp_path: Path
) -> None:
    server, gate = rough_server, Gate(tmp_path / "gate")
    run = server.run(f"echo begun; {gate.command}; exit 5")
    running = server.reaches(run["id"], "running")
    record = Path(running["run_dir"]) / "manifest.json"
    wait_for(record.exists, "manifest")
    waiting = server.run("echo next")
    up, worker = server.tail("up"), server.tail("worker")
    server.child(WORKER).kill()
    server.wait_for(lambda: "starting it again" in up.text(), "`up` notices")
    server.wait_for(lambda: "adopting" in worker.text(), "adopted")
    assert server.get(f"/runs/{waiting['id']}")["status"] == "queued"
    gate.open()
    ended = server.ended(run["id"])
    assert (ended["status"], ended["exit_code"]) == ("failed", 5)
    assert (Path(running["run_dir"]) / "run.log").read_text() == "begun\n"
    assert server.ended(waiting["id"])["status"] == "finished"
    assert server.get(f"/runs/{waiting['id']}")["started_at"] >= ended["finished_at"]


def test_run_that_ends_while_nobody_looks_keeps_its_exit_code(
    rough_server: Server, tmp_path: Path
) -> None:
    server, gate, ended_file = rough_server, Gate(tmp_path / "gate"), tmp_path / "ended"
    run = server.run(f"{gate.command}; touch {ended_file}; exit 6")
    server.reaches(run["id"], "running")
    gate.await_runs(1)
    queued = server.run("echo later")
    assert server.stop() == 0
    gate.open()
    wait_for(ended_file.exists, "it ends while nobody looks")
    server.launch()
    launched_at = time.time()
    ended = server.ended(run["id"])
    assert (ended["status"], ended["exit_code"]) == ("failed", 6)
    true_end = ended_file.stat().st_mtime
    assert abs(ended["finished_at"] - true_end) < patient(2.5)
    assert ended["started_at"] < ended["finished_at"] < launched_at
    assert server.ended(queued["id"])["status"] == "finished"


@pytest.mark.long
def test_killed_up_can_be_started_again(rough_server: Server, tmp_path: Path) -> None:
    server, gate = rough_server, Gate(tmp_path / "gate")
    run = server.run(f"{gate.command}; echo survived")
    server.reaches(run["id"], "running")
    gate.await_runs(1)
    pids = [child.pid for child in server.process_tree()]
    server.kill()
    server.launch()
    gate.open()
    assert server.ended(run["id"])["status"] == "finished"
    assert server.get(f"/runs/{run['id']}/logs")["content"] == "survived\n"
    assert not any(alive(pid) for pid in pids)


def test_session_resumes_at_its_iteration_and_never_replans(
    rough_server: Server, project: Path, tmp_path: Path
) -> None:
    server, script = rough_server, Script(tmp_path / "script")
    gate = Gate(tmp_path / "gate")
    script.reply(1, planned())
    script.reply(2, "<summary>before</summary>")
    script.shell(
        3,
        f'until [ -e "{script.folder}/go" ]; do sleep 0.2; done\n'
        "echo '<summary>survived</summary>'",
    )
    script.reply(4, "<summary>after</summary>")
    script.finish(5)
    script.default(STOP)
    session_id = server.start(project, script.agent)
    server.wait_for(lambda: script.calls() == 3, "iteration 2 runs")
    run = server.run(gate.command)
    server.reaches(run["id"], "running")
    gate.await_runs(1)
    worker = server.tail("worker")
    server.child(WORKER).kill()
    server.wait_for(lambda: "adopting" in worker.text(), "adopted")
    (script.folder / "go").touch()
    gate.open()
    session = server.session_ended(session_id)
    assert session["status"] == "completed"
    iterations = ["iteration-01", "iteration-02", "iteration-03", "iteration-04"]
    assert [s["kind"] for s in session["history"]] == [
        "planning",
        *["iteration"] * 4,
        "reflection",
    ]
    assert session["history"][2]["summary"] == "survived"
    assert script.calls() == 6
    # In the Prefect UI each step has one record, the interrupted ones too, and none runs for ever.
    steps = server.steps(session_id)
    assert sorted(step["name"] for step in steps) == [*iterations, "planning", "reflection-04"]
    assert {step["state_name"] for step in steps} == {"Completed"}
    begun = {step["name"]: step["start_time"] for step in steps}
    assert sorted(iterations, key=lambda name: begun[name]) == iterations
    assert server.ended(run["id"])["status"] == "finished"
    tasks = server.wait_for(
        lambda: len(found := server.tasks(run["id"])) == 2 and found, "both tasks are recorded"
    )
    assert {task["state_name"] for task in tasks} == {"Crashed", "Completed"}


def test_stop_while_no_worker_is_there_ends_the_command(rough_server: Server) -> None:
    server = rough_server
    run = server.reaches(server.run("sleep 900")["id"], "running")
    pid = json.loads((Path(run["run_dir"]) / "process.json").read_text())["pid"]
    server.child(WORKER).kill()
    assert server.post(f"/runs/{run['id']}/stop")["status"] == "running"
    assert server.ended(run["id"])["status"] == "stopped"
    assert not alive(pid)
    assert server.ended(server.run("echo next")["id"])["status"] == "finished"


@pytest.mark.long
def test_session_stopped_while_no_worker_is_there_leaves_no_agent(
    rough_server: Server, project: Path
) -> None:
    server = rough_server
    session_id = server.start(project, "command:sleep 900")
    (record,) = wait_for(
        lambda: list(project.glob(f".wild/runs/agents-{session_id}/planning.1/process.json")),
        "the agent works",
    )
    pid = json.loads(record.read_text())["pid"]
    server.child(WORKER).kill()
    server.post("/wild/v2/stop", {"session_id": session_id})
    assert server.session_ended(session_id)["status"] == "stopped"
    assert not alive(pid)


def test_session_paused_while_no_worker_is_there_leaves_no_agent(
    rough_server: Server, project: Path, tmp_path: Path
) -> None:
    server, script = rough_server, Script(tmp_path / "script")
    script.reply(1, planned())
    script.shell(2, f'echo $$ > "{script.folder}/pid"\nexec sleep 900')
    script.default(STOP)
    session_id = server.start(project, script.agent)
    pid_file = script.folder / "pid"
    wait_for(lambda: pid_file.exists() and pid_file.read_text().strip(), "the agent works")
    pid = int(pid_file.read_text())
    server.child(WORKER).kill()
    server.post("/wild/v2/pause", {"session_id": session_id})
    wait_for(lambda: not alive(pid), "its agent is ended")
    server.wait_for(lambda: server.session(session_id)["status"] == "paused", "it is paused")
    server.post("/wild/v2/resume", {"session_id": session_id})
    server.wait_for(lambda: len(server.session(session_id)["history"]) >= 2, "it is called again")
    server.post("/wild/v2/stop", {"session_id": session_id})
    session = server.session_ended(session_id)
    assert session["history"][1]["kind"] == "iteration" and not session["history"][1]["failed"]
    assert "interrupted" in script.prompt(3)


def test_second_up_on_the_same_home_is_refused(rough_server: Server) -> None:
    with pytest.raises(AssertionError, match="runs already on"):
        start_server(rough_server.home, rough_server.workdir, slots=1)
    assert httpx.get(f"{rough_server.url}/health", timeout=patient(30)).is_success


def test_second_worker_on_one_host_stands_by(rough_server: Server, tmp_path: Path) -> None:
    server, ready = rough_server, tmp_path / "ready"
    counts = tmp_path / "starts"
    with another_worker(server, ready, "--slots", "3"):
        assert "stands by" in ready.read_text()
        assert server.get("/cluster")["capacity"]["g"] == 1
        runs = [server.run(f"echo x >> {counts}; sleep 0.3") for _ in range(6)]
        ended = sorted((server.ended(run["id"]) for run in runs), key=lambda run: run["started_at"])
    assert [run["status"] for run in ended] == ["finished"] * 6
    assert counts.read_text().count("x") == 6
    for first, second in pairwise(ended):
        assert first["finished_at"] <= second["started_at"]


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with one slot that soon misses a host."""
    quick = {
        "PREFECT_WORKER_HEARTBEAT_SECONDS": "2",
        "WILDLOOP_HOST_PATIENCE_SECONDS": f"{patient(2):.0f}",
    }
    folder = tmp_path_factory.mktemp("impatient")
    project = make_project(folder / "project")
    running = start_server(folder / "home", project, slots=1, extra=quick)
    yield running
    running.stop()


def test_workers_of_two_hosts_share_the_queue_and_keep_their_own_slots(
    impatient: Server, tmp_path: Path
) -> None:
    server, gate = impatient, Gate(tmp_path / "gate")
    with another_worker(server, tmp_path / "ready", *TWO, host="elsewhere"):
        view = server.get("/cluster")
        assert (view["capacity"]["g"], view["cluster"]["node_count"]) == (3, 2)
        refused = server.http.post("/runs", json={"name": "x", "command": "true", "gpus": 3})
        assert refused.status_code == 422, "3 slots in all, but no host has more than 2"
        times = f"date +%s%N; {gate.command}; sleep 0.3; date +%s%N"
        runs = [server.run(times) for _ in range(12)]
        gate.await_runs(3)
        gate.open()
        ended = [server.ended(run["id"]) for run in runs]
        logs = {run["id"]: server.get(f"/runs/{run['id']}/logs")["content"] for run in ended}
    assert [run["status"] for run in ended] == ["finished"] * 12
    by_host: dict[str, list[tuple[int, int]]] = {}
    for run in ended:
        first, last = logs[run["id"]].split()
        by_host.setdefault(run["host"], []).append((int(first), int(last)))
    assert set(by_host) == {socket.gethostname(), "elsewhere"}
    assert most_at_once(by_host[socket.gethostname()]) == 1
    assert most_at_once(by_host["elsewhere"]) == 2


def test_runs_of_a_host_that_is_gone_hold_nobody_up(impatient: Server, tmp_path: Path) -> None:
    server = impatient
    with another_worker(server, tmp_path / "ready", *TWO, host="elsewhere") as worker:
        made = [server.run("sleep 900") for _ in range(3)]
        runs = [server.reaches(run["id"], "running") for run in made]
        worker.kill()
    here = [run for run in runs if run["host"] == socket.gethostname()]
    there = [run for run in runs if run["host"] == "elsewhere"]
    assert (len(here), len(there)) == (1, 2)
    alerts = server.wait_for(
        lambda: len(found := server.get("/alerts")) == 2 and found, "both are told of"
    )
    assert {alert["run_id"] for alert in alerts} == {run["id"] for run in there}
    assert {alert["kind"] for alert in alerts} == {"host_lost"}
    assert "'elsewhere'" in alerts[0]["message"]
    server.post(f"/runs/{here[0]['id']}/stop")
    assert server.ended(server.run("echo on")["id"])["status"] == "finished"
    given_up, left = (server.get(f"/runs/{run['id']}") for run in there)
    pid = json.loads((Path(given_up["run_dir"]) / "process.json").read_text())["pid"]
    server.post(f"/runs/{given_up['id']}/stop")
    assert server.ended(given_up["id"])["status"] == "stopped"
    assert (left["status"], alive(pid)) == ("running", True)
    with another_worker(server, tmp_path / "again", *TWO, host="elsewhere"):
        wait_for(lambda: not alive(pid), "what was stopped is ended on its host")
        assert server.ended(given_up["id"])["status"] == "stopped"
        server.post(f"/runs/{left['id']}/stop")
        assert server.ended(left["id"])["status"] == "stopped"
    assert len(server.get("/alerts")) == 2


def test_all_processes_killed_at_once_lose_nothing(rough_server: Server, tmp_path: Path) -> None:
    server, gate = rough_server, Gate(tmp_path / "gate")
    going = server.run(f"echo a; {gate.command}; echo b; exit 7")
    waiting = server.run("echo later")
    ready = server.post("/runs", {"name": "ready", "command": "true"})
    pid = server.reaches(going["id"], "running")["run_dir"] + "/process.json"
    gate.await_runs(1)
    before = json.loads(Path(pid).read_text())["pid"]
    for child in server.process_tree():
        child.kill()
    server.kill()
    server.launch()
    gate.open()
    ended = server.ended(going["id"])
    assert (ended["status"], ended["exit_code"]) == ("failed", 7)
    assert json.loads(Path(pid).read_text())["pid"] == before
    assert "taken up again: run test" in (server.home / "up.log").read_text()
    assert server.get(f"/runs/{going['id']}/logs")["content"] == "a\nb\n"
    assert server.ended(waiting["id"])["status"] == "finished"
    assert server.get(f"/runs/{ready['id']}")["status"] == "ready"


def test_run_whose_process_is_gone_after_a_reboot_is_failed_with_the_reason(
    rough_server: Server,
) -> None:
    server = rough_server
    run = server.reaches(server.run("sleep 900")["id"], "running")
    record = Path(run["run_dir"]) / "process.json"
    assert server.stop() == 0
    told = json.loads(record.read_text())
    os.killpg(told["pid"], signal.SIGKILL)
    record.write_text(json.dumps(told | {"boot": "another boot"}))
    server.launch()
    ended = server.ended(run["id"])
    assert (ended["status"], ended["exit_code"]) == ("failed", None)
    assert "lost" in ended["error"]
    assert server.ended(server.run("true")["id"])["status"] == "finished"
