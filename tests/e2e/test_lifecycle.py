"""A run's life beyond start and stop: again, later, first, hidden, exactly as before."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.project import git, make_project
from tests.support.server import Server, wait_for

pytestmark = pytest.mark.e2e


def manifest(run: dict[str, Any]) -> dict[str, Any]:
    """The manifest of a run."""
    return dict(json.loads((Path(run["run_dir"]) / "manifest.json").read_text()))


def test_rerun_repeats_command_and_parameters_and_links_back(server: Server, project: Path) -> None:
    first = server.run("exit 4", workdir=str(project), parameters={"lr": 0.1}, seed=7)
    assert server.ended(first["id"])["exit_code"] == 4
    again = server.post(f"/runs/{first['id']}/rerun")
    assert again["parent_run_id"] == first["id"]
    ended = server.ended(again["id"])
    assert (ended["command"], ended["parameters"], ended["seed"]) == ("exit 4", {"lr": 0.1}, 7)
    assert (ended["status"], ended["exit_code"]) == ("failed", 4)
    ready = server.post(f"/runs/{first['id']}/rerun", {"auto_start": False, "command": "exit 0"})
    assert (ready["status"], ready["command"]) == ("ready", "exit 0")


def test_exact_rerun_runs_the_code_of_the_first_time(server: Server, project: Path) -> None:
    (project / "train.sh").write_text("echo committed\n")
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", "train")
    (project / "train.sh").write_text("echo dirty\n")
    first = server.ended(server.run("sh train.sh", workdir=str(project))["id"])
    (project / "train.sh").write_text("echo later\n")
    git(project, "commit", "-q", "-a", "-m", "later")
    exact = server.ended(server.post(f"/runs/{first['id']}/rerun", {"exact": True})["id"])
    plain = server.ended(server.post(f"/runs/{first['id']}/rerun")["id"])
    logs = [server.get(f"/runs/{run['id']}/logs")["content"] for run in (first, exact, plain)]
    assert logs == ["dirty\n", "dirty\n", "later\n"]
    assert exact["git_commit"] == first["git_commit"] != plain["git_commit"]
    assert manifest(exact)["dirty"] is True
    assert (project / "train.sh").read_text() == "echo later\n"
    assert git(project, "status", "--porcelain") == ""


def test_exact_rerun_without_a_known_commit_is_refused(server: Server, tmp_path: Path) -> None:
    run = server.ended(server.run("true", workdir=str(tmp_path))["id"])
    answer = server.http.post(f"/runs/{run['id']}/rerun", json={"exact": True})
    assert answer.status_code == 422
    assert "commit" in answer.json()["detail"]


def test_failed_run_is_tried_again_with_one_log(server: Server, project: Path) -> None:
    count = project / "count"
    run = server.run(
        f"echo x >> '{count}'; echo attempt; [ $(wc -l < '{count}') = 3 ] || exit 9",
        workdir=str(project),
        retries=4,
    )
    ended = server.ended(run["id"])
    assert (ended["status"], ended["exit_code"], ended["attempt"]) == ("finished", 0, 2)
    assert (Path(ended["run_dir"]) / "run.log").read_text() == "attempt\n" * 3
    earlier = [
        json.loads((Path(ended["run_dir"]) / "attempts" / n / "manifest.json").read_text())
        for n in ("0", "1")
    ]
    assert [(one["exit_code"], one["attempt"]) for one in earlier] == [(9, 0), (9, 1)]


def test_run_that_waits_for_its_next_attempt_can_be_stopped(server: Server) -> None:
    run = server.run("exit 1", retries=1, retry_delay_seconds=600)

    def look() -> dict[str, Any] | None:
        found = dict(server.get(f"/runs/{run['id']}"))
        return found if (found["attempt"], found["status"]) == (1, "queued") else None

    assert "exit code 1" in server.wait_for(look, "it waits for its second attempt")["reason"]
    server.post(f"/runs/{run['id']}/stop")
    assert server.ended(run["id"])["status"] == "stopped"


def test_higher_priority_starts_first(server: Server) -> None:
    blockers = [server.run("sleep 300") for _ in range(2)]
    for blocker in blockers:
        server.reaches(blocker["id"], "running")
    names = [("low", -1), ("first", 0), ("second", 0), ("urgent", 5)]
    runs = {name: server.run("sleep 0.2", name=name, priority=rank) for name, rank in names}
    server.post(f"/runs/{blockers[0]['id']}/stop")
    ended = {name: server.ended(run["id"]) for name, run in runs.items()}
    order = sorted(ended, key=lambda name: ended[name]["started_at"])
    server.post(f"/runs/{blockers[1]['id']}/stop")
    assert order == ["urgent", "first", "second", "low"]


def test_archived_runs_are_hidden_and_shown_again(server: Server, tmp_path: Path) -> None:
    sweep = server.post("/sweeps/wild", {"name": "archive", "goal": "hide"})["id"]
    run = server.ended(server.run("true", sweep_id=sweep)["id"])
    assert server.post(f"/runs/{run['id']}/archive")["is_archived"] is True
    assert server.get("/runs", sweep_id=sweep, archived="false") == []
    assert [r["id"] for r in server.get("/runs", sweep_id=sweep, archived="true")] == [run["id"]]
    assert server.post(f"/runs/{run['id']}/unarchive")["is_archived"] is False
    assert [r["id"] for r in server.get("/runs", sweep_id=sweep, archived="false")] == [run["id"]]


def test_waiting_run_can_be_changed_and_a_running_one_not(server: Server) -> None:
    ready = server.post("/runs", {"name": "change me", "command": "exit 1"})
    change = {"command": "exit 0", "name": "changed", "priority": 3}
    response = server.http.put(f"/runs/{ready['id']}", json=change)
    assert response.status_code == 200, response.text
    server.post(f"/runs/{ready['id']}/start")
    ended = server.ended(ready["id"])
    assert (ended["name"], ended["status"], ended["priority"]) == ("changed", "finished", 3)
    late = server.http.put(f"/runs/{ready['id']}", json={"command": "true"})
    assert late.status_code == 409
    assert server.http.put(f"/runs/{ready['id']}", json={"status": "x"}).status_code == 422


def test_request_sent_twice_with_one_key_creates_one_run(server: Server) -> None:
    body = {"name": "once", "command": "true"}
    headers = {"Idempotency-Key": "the same"}
    ids = {server.http.post("/runs", json=body, headers=headers).json()["id"] for _ in range(3)}
    assert len(ids) == 1


def test_stop_ends_children_and_grandchildren(server: Server, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    command = (
        f"(sleep 301 & echo $! >> {pids}; exec setsid sh -c 'echo $$ >> {pids}; sleep 302') & "
        f"echo $! >> {pids}; nohup sleep 303 >/dev/null & echo $! >> {pids}; wait"
    )
    run = server.run(command)
    wait_for(lambda: pids.exists() and len(pids.read_text().split()) >= 4, "all have started")
    server.post(f"/runs/{run['id']}/stop")
    assert server.ended(run["id"])["status"] == "stopped"
    for pid in pids.read_text().split():
        stat = Path(f"/proc/{pid}/stat")
        assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z", pid


def test_large_log_is_complete_and_read_in_parts(server: Server, project: Path) -> None:
    size = 300 * 1024 * 1024
    run = server.run(
        f"yes 'a line of a log' | head -c {size}; echo; echo end", workdir=str(project)
    )
    worker = server.child("wildloop.flows.worker.main")
    before = worker.memory_info().rss
    quick = server.run("echo quick")
    assert server.ended(quick["id"])["status"] == "finished"
    ended = server.ended(run["id"], 120)
    assert ended["status"] == "finished"
    log = Path(ended["run_dir"]) / "run.log"
    assert log.stat().st_size == size + 5
    tail = server.get(f"/runs/{run['id']}/logs", offset=-5)
    assert (tail["content"], tail["eof"], tail["size"]) == ("\nend\n", True, size + 5)
    assert worker.memory_info().rss - before < 64 * 1024 * 1024
    log.unlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_run_waits_for_room_on_its_projects_disk(server: Server, tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)], capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode()}")
    try:
        project = make_project(place / "project")
        filled = place / "filler"
        descriptor = os.open(filled, os.O_WRONLY | os.O_CREAT)
        with pytest.raises(OSError, match="No space"):
            while True:
                os.write(descriptor, b"x" * 4096)
        os.close(descriptor)
        run = server.run("echo now", workdir=str(project))
        url = f"/runs/{run['id']}/alerts"
        (alert,) = server.wait_for(lambda: server.get(url), "the full disk is told")
        assert alert["kind"] == "disk" and f"at {project}: make room" in alert["message"]
        assert server.get(f"/runs/{run['id']}")["status"] == "queued"
        filled.unlink()
        assert server.ended(run["id"])["status"] == "finished"
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_manifest_tells_of_code_environment_and_outcome(server: Server, project: Path) -> None:
    run = server.ended(server.run("exit 3", workdir=str(project), seed=5)["id"])
    told = manifest(run)
    assert (told["seed"], told["exit_code"], told["status"]) == (5, 3, "failed")
    assert told["git_commit"] == git(project, "rev-parse", "HEAD").strip()
    packages = Path(told["environment"]["file"]).read_text()
    assert "prefect==" in packages and told["environment"]["hash"]
    again = manifest(server.ended(server.run("true", workdir=str(project))["id"]))
    assert again["environment"] == told["environment"]


def test_start_of_a_queued_run_leaves_it_queued(server: Server) -> None:
    holders = [server.run("sleep 300", name="holder") for _ in range(2)]
    for one in holders:
        server.reaches(one["id"], "running")
    run = server.run("true")
    assert server.post(f"/runs/{run['id']}/start")["status"] == "queued"
    for one in holders:
        server.post(f"/runs/{one['id']}/stop")
    assert server.ended(run["id"])["attempt"] == 0
    assert server.http.post(f"/runs/{run['id']}/start").status_code == 409


def test_a_rerun_takes_another_gpuwrap_config(server: Server) -> None:
    run = server.run("true", auto_start=False, gpuwrap_config={"retries": -1})
    assert run["gpuwrap_config"]["retries"] == -1
    again = server.post(f"/runs/{run['id']}/rerun", {"gpuwrap_config": {"enabled": False}})
    assert again["gpuwrap_config"]["enabled"] is False
    near = server.http.post(f"/runs/{run['id']}/rerun", json={"gpuwrap_config": {"retry": 1}})
    assert near.status_code == 422 and "'retries'" in near.text
