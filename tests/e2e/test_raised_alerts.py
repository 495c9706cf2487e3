"""Alerts that Wildloop raises by itself over real runs."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.gates import Gate
from tests.support.project import TOML, make_project
from tests.support.script import Script, planned
from tests.support.server import Server

pytestmark = pytest.mark.e2e
NAN = 'echo \'{"step": 1, "loss": NaN}\' >> "$WILDLOOP_RUN_DIR/metrics.jsonl"'


def alerts(server: Server, run: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(one) for one in server.get(f"/runs/{run['id']}/alerts")]


def kinds(server: Server, run: dict[str, Any]) -> list[str]:
    return sorted(one["kind"] for one in alerts(server, run))


def test_nan_loss_is_told_while_the_run_goes_on_and_stop_ends_it(server: Server) -> None:
    run = server.run(f"{NAN}; {NAN}; sleep 900")
    (alert,) = server.wait_for(lambda: alerts(server, run), "an alert")
    assert (alert["kind"], alert["severity"], alert["status"]) == ("nan", "critical", "open")
    server.post(f"/alerts/{alert['id']}/respond", {"choice": "stop"})
    assert server.ended(run["id"])["status"] == "stopped"
    assert kinds(server, run) == ["nan"]


def test_nan_of_a_short_run_is_told_at_its_end(server: Server) -> None:
    run = server.ended(server.run(NAN)["id"])
    assert (run["status"], kinds(server, run)) == ("finished", ["nan"])


def test_a_spike_is_told(server: Server) -> None:
    script = 'for v in $(seq 30) 900; do echo "{\\"loss\\": $v}"; done'
    run = server.ended(server.run(f'{script} >> "$WILDLOOP_RUN_DIR/metrics.jsonl"')["id"])
    assert kinds(server, run) == ["spike"]


def test_a_healthy_run_has_no_alert(server: Server) -> None:
    run = server.ended(server.run("echo 'score: 1'")["id"])
    assert alerts(server, run) == []


@pytest.mark.parametrize(
    ("command", "kind", "severity"),
    [
        ("exit 7", "exit", "info"),
        ("echo 'MemoryError: no' >&2; exit 1", "out_of_memory", "critical"),
    ],
)
def test_a_failure_is_told_with_its_cause(
    server: Server, command: str, kind: str, severity: str
) -> None:
    run = server.ended(server.run(command)["id"])
    (alert,) = alerts(server, run)
    assert (alert["kind"], alert["severity"]) == (kind, severity)
    assert alert["choices"] == ["continue", "rerun"]


def test_a_kill_is_told_as_far_as_the_kernel_tells_whose_it_was(server: Server) -> None:
    run = server.ended(server.run("kill -9 $$")["id"])
    (alert,) = alerts(server, run)
    knows = "not for want of memory" in run["error"]
    wanted = ("exit", "info") if knows else ("out_of_memory", "critical")
    assert (alert["kind"], alert["severity"]) == wanted
    assert "SIGKILL" in alert["message"]


def test_a_time_out_is_no_want_of_memory(server: Server) -> None:
    command = "trap '' TERM; sleep 60 & wait; sleep 60"
    run = server.ended(server.run(command, timeout_seconds=0.5)["id"])
    (alert,) = alerts(server, run)
    assert alert["kind"] == "exit"
    assert "time-out" in alert["message"]


def test_silence_is_told_by_the_projects_own_limit(server: Server, tmp_path: Path) -> None:
    project = make_project(tmp_path / "quiet", TOML + "[alerts]\nsilence_minutes = 0.05\n")
    run = server.run("echo begun; sleep 900", workdir=str(project))
    (alert,) = server.wait_for(lambda: alerts(server, run), "an alert")
    assert alert["kind"] == "silence"
    assert "last line: begun" in alert["message"]
    server.post(f"/runs/{run['id']}/stop")
    server.ended(run["id"])


def test_a_kind_in_stop_on_stops_the_run_by_itself(server: Server, tmp_path: Path) -> None:
    project = make_project(tmp_path / "strict", TOML + '[alerts]\nstop_on = ["nan"]\n')
    run = server.run(f"{NAN}; sleep 900", workdir=str(project))
    assert server.ended(run["id"])["status"] == "stopped"
    (alert,) = alerts(server, run)
    assert (alert["status"], alert["choice"]) == ("resolved", "stop")


def test_an_alert_wakes_a_waiting_session(server: Server, project: Path, tmp_path: Path) -> None:
    script = Script(tmp_path / "script").reply(1, planned())
    script.shell(
        2,
        'curl -sf -X POST "$WILDLOOP_SERVER_URL/runs" -H "X-Auth-Token: $WILDLOOP_AUTH_TOKEN" '
        '-H "Content-Type: application/json" -d @"' + str(tmp_path / "run.json") + '" >/dev/null; '
        "echo '<summary>started</summary><promise>WAITING</promise>'",
    )
    gate = Gate(tmp_path / "gate")
    session_id = server.start(project, script.agent, wait_seconds=900)
    (tmp_path / "run.json").write_text(
        json.dumps(
            {
                "name": "nan",
                "command": f"{gate.command}; {NAN}; sleep 900",
                "workdir": str(project),
                "chat_session_id": session_id,
                "auto_start": True,
                "gpus": 0,
            }
        )
    )
    server.wait_for(lambda: server.session(session_id)["phase"] == "waiting", "it waits")
    gate.await_runs(1)
    gate.open()
    server.wait_for(lambda: script.calls() >= 3, "the agent is asked again")
    events = server.get(f"/wild/v2/events/{session_id}")
    assert [event["type"] for event in events] == ["alert"]
    server.post("/wild/v2/stop", {"session_id": session_id, "runs": "stop"})
    server.session_ended(session_id)
