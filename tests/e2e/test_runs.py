"""Runs, by HTTP, on a real server."""

from pathlib import Path

import pytest

from tests.support.gates import Gate
from tests.support.pace import patient
from tests.support.server import Server, alive, wait_for

pytestmark = pytest.mark.e2e


def test_ready_run_waits_until_it_is_started(server: Server) -> None:
    run = server.post("/runs", {"name": "patient", "command": "echo started"})
    assert run["status"] == "ready"
    assert run["queued_at"] is None
    server.ended(server.run("echo other")["id"])
    assert server.get(f"/runs/{run['id']}")["status"] == "ready"
    assert server.post(f"/runs/{run['id']}/start")["status"] == "queued"
    ended = server.ended(run["id"])
    assert (ended["status"], ended["exit_code"]) == ("finished", 0)
    assert server.get(f"/runs/{run['id']}/logs")["content"] == "started\n"


def test_two_slots_hold_two_runs_at_most_first_in_first_out(server: Server, tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    command = f"{gate.command}; sleep 0.3"
    runs = [server.run(command, name=f"fifo-{n}")["id"] for n in range(10)]
    gate.await_runs(2)
    assert server.get("/cluster")["capacity"]["r"] == 2
    assert gate.came() == 2, "a third run took a slot"
    gate.open()
    ended = [server.ended(run_id) for run_id in runs]
    starts = [run["started_at"] for run in ended]
    assert starts == sorted(starts)
    for run in ended:
        moment = run["started_at"]
        held = [r for r in ended if r["started_at"] <= moment < r["finished_at"]]
        assert len(held) <= 2


@pytest.mark.parametrize(
    ("command", "code"),
    [("exit 7", 7), ("no-such-command-xyz", 127), ("kill -9 $$", 137), ("sh -c 'exit 3'", 3)],
)
def test_failed_command_keeps_its_exit_code(server: Server, command: str, code: int) -> None:
    run = server.ended(server.run(command)["id"])
    assert (run["status"], run["exit_code"]) == ("failed", code)
    assert f"exit code {code}" in run["error"]


def test_binary_and_huge_output_leave_the_log_whole(server: Server) -> None:
    run = server.ended(
        server.run("seq 1000000; head -c 100000 /dev/zero; printf '\\xff\\xfe'")["id"]
    )
    assert run["status"] == "finished"
    log = Path(run["run_dir"]) / "run.log"
    assert log.stat().st_size == 6_888_896 + 100_000 + 2
    last = server.get(f"/runs/{run['id']}/logs", offset=-2)
    assert last["content"] == "\ufffd\ufffd"
    assert last["eof"]


def test_log_is_paged_by_whole_characters(server: Server) -> None:
    run = server.ended(server.run("printf 'äöü€'")["id"])
    content, offset = "", 0
    for _ in range(20):
        chunk = server.get(f"/runs/{run['id']}/logs", offset=offset, limit=3)
        content, offset = content + chunk["content"], chunk["next_offset"]
        if chunk["eof"]:
            break
    assert content == "äöü€"


def test_stop_ends_the_whole_process_tree(server: Server) -> None:
    run = server.run("sleep 300 & setsid sleep 301 & echo $! > pid; sleep 302")
    server.reaches(run["id"], "running")
    pid_file = server.workdir / "pid"
    pid = int(wait_for(lambda: pid_file.exists() and pid_file.read_text().strip(), "pid file"))
    server.post(f"/runs/{run['id']}/stop")
    ended = server.ended(run["id"])
    assert ended["status"] == "stopped"
    assert not alive(pid)


def test_stopping_a_queued_run_never_launches_it(server: Server, tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    busy = [server.run(gate.command) for _ in range(2)]
    gate.await_runs(2)
    queued = server.run("touch launched.txt")
    stopped = server.post(f"/runs/{queued['id']}/stop")
    assert stopped["status"] == "stopped"
    gate.open()
    for run in busy:
        server.ended(run["id"])
    server.ended(server.run("true")["id"])
    assert not (server.workdir / "launched.txt").exists()


def test_timeout_ends_the_command_and_says_so(server: Server) -> None:
    run = server.ended(server.run("sleep 60", timeout_seconds=0.5)["id"])
    assert run["status"] == "failed"
    assert "time-out after 0.5 s" in run["error"]


def test_metrics_come_from_file_post_and_log(server: Server) -> None:
    wide = '{\\"step\\": 1, \\"loss\\": 0.5, \\"acc\\": 0.9}'
    run = server.ended(server.run(f'echo "{wide}" >> "$WILDLOOP_RUN_DIR/metrics.jsonl"')["id"])
    assert run["metrics"] == {"loss": 0.5, "acc": 0.9}
    going = server.run("sleep 300")["id"]
    server.reaches(going, "running")
    for step, loss in ((1, 0.5), (2, 0.25)):
        told = server.post(f"/runs/{going}/metrics", {"step": step, "loss": loss})
        assert told["accepted"] == 1
    series = server.get(f"/runs/{going}/metrics")["series"]
    assert [point["value"] for point in series["loss"]] == [0.5, 0.25]
    server.post(f"/runs/{going}/stop")
    assert server.ended(going)["metrics"] == {"loss": 0.25}
    logged = server.ended(server.run("echo 'noise'; echo 'score: 0.75'")["id"])
    assert logged["metrics"] == {"score": 0.75}


def test_environment_of_a_run_has_its_folder_and_no_secret(server: Server) -> None:
    run = server.ended(server.run("env")["id"])
    text = (Path(run["run_dir"]) / "run.log").read_text()
    assert f"WILDLOOP_RUN_ID={run['id']}" in text
    assert f"WILDLOOP_RUN_DIR={run['run_dir']}" in text
    assert f"WILDLOOP_SERVER_URL={server.url}" in text
    assert server.token not in text
    assert "PREFECT_" not in text


def test_manifest_tells_what_was_run(server: Server) -> None:
    run = server.ended(server.run("true", parameters={"lr": 0.1}, seed=3)["id"])
    manifest = (Path(run["run_dir"]) / "manifest.json").read_text()
    for part in (run["git_commit"], '"lr": 0.1', '"seed": 3', '"exit_code": 0', run["host"]):
        assert part in manifest


def test_more_slots_than_there_are_is_refused_at_once(server: Server) -> None:
    response = server.http.post("/runs", json={"name": "x", "command": "true", "gpus": 3})
    assert response.status_code == 422
    assert "gpus: 3 are asked for, no host has more than 2" in response.json()["detail"]


def test_missing_workdir_is_refused_by_name(server: Server) -> None:
    response = server.http.post(
        "/runs", json={"name": "x", "command": "true", "workdir": "/no/such/folder"}
    )
    assert response.status_code == 422
    assert "workdir '/no/such/folder' does not exist" in response.json()["detail"]


def test_wrong_transition_names_both_states(server: Server) -> None:
    run = server.ended(server.run("true")["id"])
    for verb, wanted in (("start", "queued"), ("stop", "stopped")):
        response = server.http.post(f"/runs/{run['id']}/{verb}")
        assert response.status_code == 409
        assert "'finished'" in response.json()["detail"]
        assert f"'{wanted}'" in response.json()["detail"]


@pytest.mark.parametrize(
    "path",
    [
        "/runs/nope",
        "/sweeps/nope",
        "/prompt-skills/nope",
        "/wild/v2/plan/nope",
        "/runs/00000000-0000-0000-0000-000000000000",
        "/wild/v2/events/nope",
        "/runs/nope/logs",
    ],
)
def test_unknown_id_is_404_with_the_id(server: Server, path: str) -> None:
    response = server.http.get(path)
    assert response.status_code == 404
    asked = next(part for part in path.split("/") if part in ("nope",) or part.startswith("0000"))
    assert asked in response.json()["detail"]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/runs", {"name": "x"}, "command"),
        ("/runs", {"name": "x", "command": "  "}, "command"),
        ("/runs", {"name": "x", "command": "true", "gpus": -1}, "gpus"),
        ("/sweeps/wild", {"name": "x"}, "goal"),
        ("/wild/v2/start", {"goal": ""}, "goal"),
        ("/wild/v2/steer", {"context": " "}, "context"),
    ],
)
def test_bad_body_is_422_with_the_field(
    server: Server, path: str, body: dict[str, object], field: str
) -> None:
    response = server.http.post(path, json=body)
    assert response.status_code == 422
    assert [fault["loc"][-1] for fault in response.json()["detail"]] == [field]


def test_sweep_counts_its_runs_and_knows_the_best(server: Server) -> None:
    sweep = server.post("/sweeps/wild", {"name": "heights", "goal": "which is best?"})
    assert (sweep["status"], sweep["progress"]["total"]) == ("pending", 0)
    for score in (1, 3, 2):
        server.run(f"echo 'score: {score}'", name=f"s{score}", sweep_id=sweep["id"])
    server.wait_for(
        lambda: server.get(f"/sweeps/{sweep['id']}")["status"] == "completed", "sweep completes"
    )
    done = server.get(f"/sweeps/{sweep['id']}")
    assert done["progress"]["completed"] == 3
    assert (done["best"]["run_name"], done["best"]["value"]) == ("s3", 3)
    assert sweep["id"] in [one["id"] for one in server.get("/sweeps", limit=100)]


def test_capacity_and_health_tell_the_same(server: Server, tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    runs = [server.run(gate.command) for _ in range(4)]
    for run in runs[:2]:
        server.reaches(run["id"], "running")
    capacity = server.get("/cluster")["capacity"]
    health = server.get("/wild/v2/system-health")
    assert capacity["g"] == health["max_concurrent"] == 2
    assert capacity["r"] == health["running"] == 2
    assert capacity["q"] == health["queued"] == 2
    assert capacity["max_new_runs"] == health["max_new_runs"] == 0
    gate.open()
    for run in runs:
        server.ended(run["id"])


def test_cancel_from_the_prefect_api_stops_the_command(server: Server) -> None:
    run = server.run("sleep 120")
    server.reaches(run["id"], "running")
    answer = server.prefect.post(
        f"/flow_runs/{run['id']}/set_state", json={"state": {"type": "CANCELLING"}}
    )
    assert answer.is_success
    assert server.ended(run["id"])["status"] == "stopped"
    state = server.prefect.get(f"/flow_runs/{run['id']}").json()["state"]
    assert state["type"] == "CANCELLED"


def test_requests_without_the_token_are_refused(server: Server) -> None:
    import httpx

    with httpx.Client(base_url=server.url, timeout=patient(30)) as bare:
        for path in ("/runs", "/sweeps", "/cluster", "/wild/v2/sessions"):
            assert bare.get(path).status_code == 401
        for path in (
            "/health",
            "/docs",
            "/openapi.json",
            "/prompt-skills",
            "/wild/v2/system-health",
        ):
            assert bare.get(path).status_code == 200
        wrong = bare.get("/runs", headers={"X-Auth-Token": "wröng".encode()})
        assert wrong.status_code == 401
        bearer = bare.get("/runs", headers={"Authorization": f"Bearer {server.token}"})
        assert bearer.status_code == 200
    prefect = f"http://127.0.0.1:{server.prefect_port}/api/flows/"
    assert httpx.get(prefect, timeout=patient(30)).status_code == 401


def test_a_run_starts_soon_after_the_last_one_ends(server: Server, tmp_path: Path) -> None:
    """No idle slot while work waits."""
    gate = Gate(tmp_path / "gate")
    first, second = server.run(gate.command, gpus=2), server.run("true", gpus=2)
    gate.await_runs(1)
    assert server.get(f"/runs/{second['id']}")["status"] == "queued"
    gate.open()
    ended, freed = server.ended(second["id"]), server.ended(first["id"])["finished_at"]
    assert freed <= ended["started_at"] < freed + patient(20)
