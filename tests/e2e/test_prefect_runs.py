"""Runs and sessions that people create by Prefect itself: its UI, its API, a schedule."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.schedules import fired, scheduled
from tests.support.script import STOP, Script, planned
from tests.support.server import Server, alive, wait_for

pytestmark = pytest.mark.e2e

LISTS = (
    "/runs",
    "/sweeps",
    "/alerts",
    "/cluster",
    "/wild/v2/sessions",
    "/wild/v2/system-health",
)


@pytest.fixture
def script(server: Server, tmp_path: Path) -> Iterator[Script]:
    """An agent whose sessions end with the test."""
    yield Script(tmp_path / "script")
    for session in server.get("/wild/v2/sessions"):
        if session["is_active"]:
            # It may be over meanwhile, or deleted behind the API's back a moment ago.
            asked = {"session_id": session["session_id"], "runs": "stop"}
            if server.http.post("/wild/v2/stop", json=asked).is_success:
                server.session_ended(session["session_id"])


def create(server: Server, deployment: str, parameters: Any, **more: Any) -> str:
    """A flow run, created as the Prefect UI does it; its id."""
    found = server.prefect.get(f"/deployments/name/{deployment}").json()
    body = {"parameters": parameters, "name": "by hand"} | more
    answer = server.prefect.post(f"/deployments/{found['id']}/create_flow_run", json=body)
    assert answer.is_success, answer.text
    return str(answer.json()["id"])


def state(server: Server, flow_run_id: str) -> dict[str, Any]:
    """The flow run's state, once it has ended."""

    def look() -> dict[str, Any] | None:
        found = dict(server.prefect.get(f"/flow_runs/{flow_run_id}").json()["state"])
        return found if found["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED") else None

    return server.wait_for(look, "it has ended")


@pytest.mark.parametrize(
    ("deployment", "parameters", "named"),
    [
        ("experiment/wildloop", {}, "spec"),
        ("experiment/wildloop", {"spec": "true"}, "spec"),
        ("experiment/wildloop", {"spec": {"name": "x"}}, "spec.command"),
        ("experiment/wildloop", {"spec": {"name": "x", "command": 5}}, "spec.command"),
        ("research-loop/wildloop", {}, "goal"),
        ("research-loop/wildloop", {"goal": "", "workdir": "/nope"}, "goal"),
        ("research-loop/wildloop", {"goal": "g", "workdir": "/", "budget": {"runs": 0}}, "runs"),
    ],
)
def test_wrong_parameters_fail_one_run_and_nothing_else(
    server: Server, deployment: str, parameters: Any, named: str
) -> None:
    # A server that was deployed to before does not check sessions either.
    id = create(server, deployment, parameters, enforce_parameter_schema=False)
    ended = state(server, id)
    assert ended["type"] == "FAILED" and named in ended["message"]
    for path in LISTS:
        server.get(path)
    assert server.ended(server.run("echo next")["id"])["status"] == "finished"
    if deployment.startswith("experiment"):
        run = server.get(f"/runs/{id}")
        assert run["status"] == "failed" and named in run["error"]
        assert server.http.post(f"/runs/{id}/rerun").status_code == 422
    else:
        session = server.session(id)
        assert session["status"] == "failed" and named in session["error"]


def test_wrong_form_of_a_session_is_refused_at_once(server: Server) -> None:
    found = server.prefect.get("/deployments/name/research-loop/wildloop").json()
    body = {"parameters": {"goal": "g", "workdir": "/", "budget": {"runs": 0}}}
    answer = server.prefect.post(f"/deployments/{found['id']}/create_flow_run", json=body)
    assert answer.is_client_error and "budget.runs" in answer.text


def test_run_of_the_prefect_form_is_a_run(server: Server) -> None:
    spec = {"name": "by hand", "command": "echo score=0.5", "workdir": str(server.workdir)}
    id = create(server, "experiment/wildloop", {"spec": spec})
    ended = server.ended(id)
    assert (ended["status"], ended["metrics"]) == ("finished", {"score": 0.5})


def test_session_of_a_coming_night_is_not_there_yet(
    server: Server, project: Path, script: Script
) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    coming = create(
        server,
        "research-loop/wildloop",
        {"goal": "g", "workdir": str(project), "budget": None},
        state={"type": "SCHEDULED", "state_details": {"scheduled_time": tomorrow.isoformat()}},
    )
    script.default("<summary>x</summary><promise>WAITING</promise>")
    session_id = server.start(project, script.agent)
    listed = [one["session_id"] for one in server.get("/wild/v2/sessions")]
    assert session_id in listed and coming not in listed
    # Of the sessions of tests before this one the last may still be ending.
    server.wait_for(
        lambda: server.http.get("/wild/v2/status").json().get("session_id") == session_id,
        "it is the one that is meant",
    )
    assert server.session(coming)["status"] == "queued"
    server.prefect.delete(f"/flow_runs/{coming}")


def test_scheduled_session_leaves_a_project_alone_where_another_works(
    server: Server, project: Path, script: Script
) -> None:
    script.reply(1, planned())
    script.shell(2, "sleep 900")
    first = server.start(project, script.agent)
    server.wait_for(lambda: script.calls() == 2, "the first one works")
    second = create(
        server,
        "research-loop/wildloop",
        {"goal": "g", "workdir": str(project), "agent": "baseline"},
    )
    ended = state(server, second)
    assert ended["type"] == "FAILED" and first in ended["message"]
    assert server.session(first)["status"] == "running"
    assert server.session(second)["branch"] is None


def test_retry_in_the_prefect_ui_runs_the_command_again(server: Server, tmp_path: Path) -> None:
    count = tmp_path / "count"
    run = server.run(f"echo x >> '{count}'; [ $(wc -l < '{count}') = 2 ] || exit 3; echo score=1")
    first = server.ended(run["id"])
    assert (first["status"], first["exit_code"]) == ("failed", 3)
    body = {"state": {"type": "SCHEDULED", "name": "AwaitingRetry"}, "force": True}
    answer = server.prefect.post(f"/flow_runs/{run['id']}/set_state", json=body)
    assert answer.json()["status"] == "ACCEPT"
    again = server.wait_for(
        lambda: (found := server.ended(run["id"]))["attempt"] == 1 and found, "it ran again"
    )
    assert (again["status"], again["exit_code"], again["metrics"]) == ("finished", 0, {"score": 1})
    assert count.read_text() == "x\nx\n"
    assert (Path(again["run_dir"]) / "attempts" / "0" / "exit_code").read_text() == "3\n"


def test_run_that_is_deleted_in_the_prefect_ui_is_ended(server: Server) -> None:
    run = server.reaches(server.run("sleep 900")["id"], "running")
    pid = json.loads((Path(run["run_dir"]) / "process.json").read_text())["pid"]
    assert server.prefect.delete(f"/flow_runs/{run['id']}").is_success
    wait_for(lambda: not alive(pid), "its command is ended")
    made = [server.run("sleep 1") for _ in range(2)]
    server.wait_for(
        lambda: all(server.get(f"/runs/{one['id']}")["started_at"] for one in made),
        "its slot is free",
    )
    assert [server.ended(one["id"])["status"] for one in made] == ["finished"] * 2


def test_broken_wildloop_toml_hides_no_session(
    server: Server, project: Path, script: Script
) -> None:
    script.reply(1, planned())
    script.shell(2, "sleep 900")
    session_id = server.start(project, script.agent)
    server.wait_for(lambda: script.calls() == 2, "the agent works")
    (project / "wildloop.toml").write_text("[metric\n", encoding="utf-8")
    assert server.session(session_id)["status"] == "running"
    assert session_id in [one["session_id"] for one in server.get("/wild/v2/sessions")]


def test_schedule_starts_its_session_at_its_time(
    server: Server, script: Script, project: Path
) -> None:
    script.reply(1, planned()).default(STOP)
    parameters = {"goal": "Raise the score", "workdir": str(project), "agent": script.agent}
    with scheduled(server.prefect, "research-loop/nightly", parameters) as nightly:
        started = fired(server.prefect, nightly)
    session = server.session_ended(started["id"])
    assert session["status"] == "completed", session["error"]


def test_a_night_that_meets_the_one_before_is_skipped_or_waits_as_the_user_says(
    server: Server, script: Script, project: Path
) -> None:
    script.reply(1, planned()).shell(2, "sleep 900")
    found = server.prefect.get("/deployments/name/research-loop/nightly").json()
    path = f"/deployments/{found['id']}"
    parameters = {"goal": "Raise the score", "workdir": str(project), "agent": script.agent}

    def night(strategy: str) -> str:
        body = {"concurrency_limit": 1, "concurrency_options": {"collision_strategy": strategy}}
        server.prefect.patch(path, json=body).raise_for_status()
        return create(server, "research-loop/nightly", parameters)

    def now(flow_run_id: str) -> dict[str, Any]:
        return dict(server.prefect.get(f"/flow_runs/{flow_run_id}").json()["state"])

    first = night("CANCEL_NEW")
    server.wait_for(lambda: script.calls() == 2, "the agent of the first night works")
    skipped = night("CANCEL_NEW")
    server.wait_for(lambda: now(skipped)["type"] == "CANCELLED", "the next night is skipped")
    waiting = night("ENQUEUE")
    server.wait_for(
        lambda: now(waiting)["name"] == "AwaitingConcurrencySlot", "the next night waits"
    )
    assert now(first)["type"] == "RUNNING" and script.calls() == 2
    assert server.prefect.delete(f"/flow_runs/{waiting}").is_success
