"""A cautious session asks before it goes on: by HTTP and typed, over kills and pauses."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.project import git
from tests.support.script import STOP, Script, planned
from tests.support.server import HANG_SECONDS, Server
from tests.support.trials import TRAIN, experiments
from wildloop.flows.session.agent_token import agent_token

pytestmark = pytest.mark.e2e
WORKER = "wildloop.flows.worker.main"
CAUTIOUS = {"autonomy_level": "cautious", "max_iterations": 1}


@pytest.fixture
def script(tmp_path: Path) -> Script:
    made = Script(tmp_path / "script").default(STOP)
    made.reply(1, planned())
    return made.reply(2, planned().replace("planned", "planned anew"))


def asked(server: Server, session_id: str, but: str = "") -> dict[str, Any]:
    """The open question of a session, once there is one (another than `but`)."""

    def look() -> dict[str, Any] | None:
        found = server.get("/alerts", status="open", session_id=session_id)
        return next((dict(one) for one in found if one["id"] != but), None)

    return server.wait_for(look, "the session asks")


def answer(server: Server, alert: dict[str, Any], choice: str, **body: Any) -> dict[str, Any]:
    return dict(server.post(f"/alerts/{alert['id']}/respond", {"choice": choice, **body}))


def cli(server: Server, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "wildloop.shim.cli.main", *arguments]
    return subprocess.run(command, env=server.env, capture_output=True, text=True, check=False)


def test_a_rejected_plan_is_written_anew_and_an_approved_one_carried_out(
    server: Server, project: Path, script: Script
) -> None:
    session_id = server.start(project, script.agent, **CAUTIOUS)
    first = asked(server, session_id)
    assert (first["kind"], first["run_id"]) == ("approval", session_id)
    assert first["choices"] == ["approve", "reject"]
    assert "planned" in first["message"] and "P1-T1" in first["message"]
    # The question is raised before the session says that it waits.
    server.wait_for(
        lambda: "wildloop approve" in server.session(session_id)["note"],
        "it says what it waits for",
    )
    agent = {"X-Auth-Token": agent_token(server.token, session_id)}
    with httpx.Client(base_url=server.url, headers=agent, timeout=HANG_SECONDS) as client:
        refused = client.post(f"/alerts/{first['id']}/respond", json={"choice": "approve"})
    assert refused.status_code == 403 and "approval" in refused.json()["detail"]
    assert script.calls() == 1
    said = cli(server, "approve", session_id, "--reject", "Too wide: measure the seeds first.")
    assert said.returncode == 0 and said.stdout.endswith("rejected\n"), said.stderr
    second = asked(server, session_id, but=first["id"])
    assert "planned anew" in second["message"]
    assert "rejected it: Too wide: measure the seeds first." in script.prompt(2)
    assert cli(server, "approve", session_id).returncode == 0
    session = server.session_ended(session_id)
    assert session["status"] == "completed"
    kinds = [one["kind"] for one in session["history"]]
    assert kinds[:3] == ["planning", "planning", "iteration"]
    told = server.get(f"/alerts/{first['id']}")
    assert (told["choice"], told["reason"]) == ("reject", "Too wide: measure the seeds first.")
    late = cli(server, "approve", session_id)
    assert late.returncode != 0 and "asks for no approval" in late.stderr


def test_a_question_outlives_a_kill_a_pause_and_is_closed_by_a_stop(
    rough_server: Server, project: Path, script: Script
) -> None:
    server = rough_server
    session_id = server.start(project, script.agent, **CAUTIOUS)
    first = asked(server, session_id)
    tail = server.tail("worker")
    server.child(WORKER).kill()
    server.wait_for(lambda: f"session {session_id} resumed" in tail.text(), "it is taken up")
    assert asked(server, session_id) == first and script.calls() == 1
    answer(server, first, "reject", reason="no")
    second = asked(server, session_id, but=first["id"])
    server.post("/wild/v2/pause", {"session_id": session_id})
    server.wait_for(lambda: server.session(session_id)["status"] == "paused", "it is paused")
    server.post("/wild/v2/stop", {"session_id": session_id})
    server.session_ended(session_id)
    server.wait_for(
        lambda: not server.get("/alerts", status="open", session_id=session_id),
        "nothing is asked any more",
    )
    closed = server.http.post(f"/alerts/{second['id']}/respond", json={"choice": "approve"})
    assert closed.status_code == 409 and "session has ended" in closed.json()["detail"]


def test_a_time_out_goes_on_as_if_approved(server: Server, project: Path, script: Script) -> None:
    session_id = server.start(project, script.agent, **CAUTIOUS, approval_timeout_seconds=0.1)
    session = server.session_ended(session_id)
    assert session["status"] == "completed" and session["iteration"] == 1
    (alert,) = server.get("/alerts", session_id=session_id)
    assert alert["choice"] == "approve" and "nobody answered" in alert["reason"]


def test_a_rejected_change_is_taken_back(server: Server, project: Path, script: Script) -> None:
    (project / "train.sh").write_text(TRAIN)
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", "train")
    block = experiments("wide")
    script.shell(2, f"cat <<'END'\n{block}END\n")
    script.shell(3, f"sed -i s/base=800/base=900/ train.sh\ncat <<'END'\n{block}END\n")
    options = CAUTIOUS | {"max_iterations": 2, "keep": "better", "approve": "changes"}
    session_id = server.start(project, script.agent, **options)
    plan = asked(server, session_id)
    answer(server, plan, "approve")
    change = asked(server, session_id, but=plan["id"])
    assert "iteration-02" in change["message"]
    server.child(WORKER).kill()
    answer(server, change, "reject", reason="it costs too much")
    session = server.session_ended(session_id)
    assert session["status"] == "completed"
    rows = server.get(f"/wild/v2/results/{session_id}")["rows"]
    assert [row["status"] for row in rows] == ["keep", "discard"]
    assert "the user rejected it: it costs too much" in rows[1]["why"]
    assert git(project, "show", f"{session['branch']}:train.sh") == TRAIN
