"""Budgets: each bound ends its session with a reflection and a report, and no request passes it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.fake_agent import answers, fake_agent
from tests.support.pace import patient
from tests.support.script import STOP, Script, planned
from tests.support.server import Server

pytestmark = pytest.mark.e2e
WAITING = "<summary>queued</summary><promise>WAITING</promise>"


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path / "script").reply(1, planned()).default(STOP)


def check_end(session: dict[str, Any], name: str) -> None:
    """A proper end: completed, the reason said, a reflection last, a report written."""
    assert (session["status"], session["error"]) == ("completed", None)
    last = session["history"][-1]
    assert (last["kind"], last["failed"]) == ("reflection", False)
    report = Path(session["report_path"]).read_text()
    assert f"budget: {name}" in report
    assert not [step for step in session["history"] if step["failed"]]


def waits_for_runs(server: Server, script: Script, number: int, count: int) -> None:
    """Let call `number` create runs that take long, one slot each, and wait for them."""
    body = '{\\"name\\": \\"long\\", \\"command\\": \\"sleep 900\\", \\"auto_start\\": true, '
    body += '\\"chat_session_id\\": \\"$WILDLOOP_SESSION_ID\\"}'
    script.shell(
        number,
        f'for i in $(seq {count}); do curl -sf -H "X-Auth-Token: $WILDLOOP_AUTH_TOKEN" '
        f'-H "Content-Type: application/json" -d "{body}" $WILDLOOP_SERVER_URL/runs > /dev/null\n'
        f"done\necho '{WAITING}'\n",
    )


def test_hours_end_a_waiting_session_and_its_runs(
    server: Server, project: Path, script: Script
) -> None:
    waits_for_runs(server, script, 2, count=3)
    session_id = server.start(
        project, script.agent, wait_seconds=600, budget={"hours": patient(15) / 3600}
    )
    session = server.session_ended(session_id)
    check_end(session, "hours")
    assert (session["runs"]["canceled"], session["runs"]["total"]) == (3, 3)
    runs = server.get("/runs", chat_session_id=session_id)
    assert sorted(run["started_at"] is None for run in runs) == [False, False, True]
    assert "This session is at its end" in script.prompt(3)


def test_hours_cut_a_call_in_progress(server: Server, project: Path, script: Script) -> None:
    script.shell(2, "echo said so far; sleep 900")
    session_id = server.start(project, script.agent, budget={"hours": patient(10) / 3600})
    session = server.session_ended(session_id)
    check_end(session, "hours")
    step = session["history"][1]
    assert step["exit_reason"] == "timeout"
    assert "time was used up" in step["error"]
    assert "said so far" in Path(step["transcript"]).read_text()


def test_gpu_hours_stop_runs_that_go_beyond(server: Server, project: Path, script: Script) -> None:
    waits_for_runs(server, script, 2, count=1)
    session_id = server.start(
        project, script.agent, wait_seconds=600, budget={"gpu_hours": 4 / 3600}
    )
    session = server.session_ended(session_id)
    check_end(session, "gpu_hours")
    assert session["runs"]["canceled"] == 1
    assert 4 <= session["spent"]["gpu_hours"] * 3600 < patient(30)


def test_cost_ends_a_session_before_the_next_call(
    server: Server, project: Path, tmp_path: Path
) -> None:
    agent = fake_agent(server, "dear", tmp_path / "bin", answers(planned()), answers(STOP))
    session = server.session_ended(server.start(project, agent, budget={"cost_usd": 0.4}))
    check_end(session, "cost_usd")
    assert [step["kind"] for step in session["history"]] == ["planning", "reflection"]
    assert session["spent"]["cost_usd"] == pytest.approx(1.0)


def test_eight_requests_at_once_do_not_pass_the_bound_of_runs(
    server: Server, project: Path, script: Script
) -> None:
    go = script.folder / "go"
    script.shell(2, f'until [ -e "{go}" ]; do sleep 0.2; done; echo "<summary>made</summary>"')
    script.reply(3, "<summary>evaluated</summary>")
    session_id = server.start(project, script.agent, budget={"runs": 3})
    server.wait_for(lambda: script.calls() == 2, "iteration 1 runs")

    def create(number: int) -> httpx.Response:
        body = {"name": f"r{number}", "command": "true", "chat_session_id": session_id, "gpus": 0}
        headers = {"Idempotency-Key": f"{session_id}-{number}"}
        return server.http.post("/runs", json=body, headers=headers)

    with ThreadPoolExecutor(8) as pool:
        answers_ = list(pool.map(create, range(8)))
    made = [number for number, answer in enumerate(answers_) if answer.status_code == 201]
    refused = [answer for answer in answers_ if answer.status_code == 409]
    assert (len(made), len(refused)) == (3, 5)
    assert all("budget.runs: 3 of 3 are used" in one.json()["detail"] for one in refused)
    again = create(made[0])
    assert (again.status_code, again.json()["id"]) == (201, answers_[made[0]].json()["id"])
    check_other_ways(server, session_id, str(again.json()["id"]))
    ids = [run["id"] for run in server.get("/runs", chat_session_id=session_id)]
    assert len(ids) == 3
    for run_id in ids:
        assert server.http.post(f"/runs/{run_id}/start").status_code == 200
        server.ended(run_id)
    go.touch()
    session = server.session_ended(session_id)
    check_end(session, "runs")
    # One more iteration evaluates what the last runs have brought.
    assert [step["kind"] for step in session["history"]][1:] == ["iteration"] * 2 + ["reflection"]
    assert server.http.post(f"/runs/{ids[0]}/rerun").status_code == 201


def check_other_ways(server: Server, session_id: str, run_id: str) -> None:
    """Every operation that makes a run is refused, by whatever ids it is called."""
    own = {"chat_session_id": session_id}
    grid = {"name": "g", "base_command": "true", "parameters": {"a": [1, 2]}, "gpus": 0} | own
    draft = server.post("/sweeps", {**grid, "status": "draft"})["id"]
    sweep = server.post("/sweeps/wild", {"name": "w", "goal": "g"} | own)["id"]
    question = {"message": "again?", "choices": ["rerun", "no"]}
    alert = server.post(f"/runs/{run_id}/alerts", question)["id"]
    run = {"name": "x", "command": "true", "gpus": 0}
    doors: dict[str, list[tuple[str, Any]]] = {
        "POST /runs": [("/runs", run | own), ("/runs", run | {"sweep_id": sweep})],
        "POST /runs/{run_id}/rerun": [(f"/runs/{run_id}/rerun", {})],
        "POST /sweeps": [("/sweeps", grid), ("/sweeps", grid | {"auto_start": True})],
        "POST /sweeps/{sweep_id}/start": [(f"/sweeps/{draft}/start", None)],
        "POST /sweeps/{sweep_id}/runs": [(f"/sweeps/{sweep}/runs", run)],
        "PUT /sweeps/{sweep_id}": [
            (f"/sweeps/{draft}", {"status": status}) for status in ("pending", "running")
        ],
        "POST /alerts/{alert_id}/respond": [(f"/alerts/{alert}/respond", {"choice": "rerun"})],
    }
    sweeps = len(server.get("/sweeps"))
    for operation, calls in doors.items():
        for url, body in calls:
            answer = server.http.request(operation.split()[0], url, json=body)
            assert answer.status_code == 409, (operation, answer.text)
            assert "budget.runs" in answer.json()["detail"], operation
    assert len(server.get("/sweeps")) == sweeps, "what is refused leaves nothing behind"
    assert server.get(f"/sweeps/{draft}")["status"] == "draft"
    assert server.get(f"/alerts/{alert}")["status"] == "open"
    schema = server.get("/openapi.json")["paths"]
    told = {f"{method.upper()} {path}" for path, item in schema.items() for method in item}
    acting = {one for one in told if not one.startswith(("GET ", "DELETE "))}
    assert acting - doors.keys() == MAKING_NONE | STARTING, "say of each new operation what it does"


STARTING = {"POST /runs/{run_id}/start", "POST /runs/{run_id}/queue"}
"""They start runs that are counted already: the other bounds keep them from it."""
MAKING_NONE = {
    "PUT /runs/{run_id}",
    "POST /runs/{run_id}/code",
    "POST /runs/{run_id}/copy",
    "POST /runs/{run_id}/stop",
    "POST /runs/{run_id}/add-to-sweep",
    "POST /runs/{run_id}/status",
    "POST /runs/{run_id}/withdraw",
    "PUT /wild/v2/contract/{session_id}",
    # Wildloop's own runs, which the user asks for, are not the agent's.
    "POST /wild/v2/verify",
    "POST /runs/{run_id}/archive",
    "POST /runs/{run_id}/unarchive",
    "POST /runs/{run_id}/metrics",
    "POST /runs/{run_id}/alerts",
    "POST /sweeps/wild",
    "POST /wild/v2/page-link",
    "POST /cluster",
    "POST /cluster/detect",
    "POST /wild/v2/start",
    "POST /wild/v2/stop",
    "POST /wild/v2/pause",
    "POST /wild/v2/resume",
    "POST /wild/v2/steer",
    # One call of the agent, in a copy, with a token that opens nothing.
    "POST /wild/v2/ask/{session_id}",
    "POST /wild/v2/events/{session_id}/resolve",
    "POST /wild/v2/evo-sweep/{session_id}/stop",
    "POST /prompt-skills",
    "POST /prompt-skills/reload",
    "POST /prompt-skills/install",
    "PUT /prompt-skills/{skill_id}",
    "POST /prompt-skills/{skill_id}/render",
    "PUT /prompt-skills/{skill_id}/files/{path}",
    "POST /memories",
    "PATCH /memories/{memory_id}",
}


def test_runs_that_wait_are_not_started_once_slot_hours_are_used(
    server: Server, project: Path, script: Script
) -> None:
    script.shell(2, "sleep 300")
    session_id = server.start(project, script.agent, budget={"gpu_hours": 1 / 3600})
    own = {"chat_session_id": session_id, "gpus": 0}
    server.wait_for(lambda: script.calls() == 2, "iteration 1 runs")
    # Nobody ends a session that is paused, whatever its runs use meanwhile.
    server.post("/wild/v2/pause", {"session_id": session_id})
    server.wait_for(
        lambda: server.session(session_id)["status"] == "paused", "the session is paused"
    )
    run_id = server.post("/runs", {"name": "ready", "command": "true"} | own)["id"]
    grid = {"name": "g", "base_command": "true", "parameters": {"a": [1, 2]}} | own
    sweep_id = server.post("/sweeps", grid)["id"]
    server.ended(server.run("sleep 2", chat_session_id=session_id)["id"])
    doors = [
        ("POST", f"/runs/{run_id}/start", None),
        ("POST", f"/runs/{run_id}/queue", None),
        ("POST", f"/sweeps/{sweep_id}/start", None),
        ("PUT", f"/sweeps/{sweep_id}", {"status": "running"}),
    ]
    for method, url, body in doors:
        answer = server.http.request(method, url, json=body)
        assert answer.status_code == 409, (url, answer.text)
        assert "budget.gpu_hours" in answer.json()["detail"], url
    assert server.get(f"/sweeps/{sweep_id}")["progress"]["ready"] == 2
    server.post("/wild/v2/stop", {"session_id": session_id})
    server.session_ended(session_id)
