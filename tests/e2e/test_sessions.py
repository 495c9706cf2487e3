"""Sessions, by HTTP, with an agent that replies by script."""

import json
import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.gates import Gate
from tests.support.pace import patient
from tests.support.project import git
from tests.support.script import DONE, STOP, Script, planned
from tests.support.server import Server, alive, wait_for

pytestmark = pytest.mark.e2e


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path / "script")


def test_plan_iterate_done_reflect_report(server: Server, project: Path, script: Script) -> None:
    script.reply(1, planned())
    script.shell(2, "echo change > work.txt; echo '<summary>wrote work.txt</summary>'")
    script.finish(3)
    script.default(STOP)
    session = server.session_ended(server.start(project, script.agent))
    assert (session["status"], session["error"]) == ("completed", None)
    labels = [step["label"] for step in iteration_labels(session)]
    assert labels[:3] == ["planning", "iteration-01", "iteration-02"]
    assert labels[3].startswith("reflection")
    assert session["tasks"]["done"] == 12
    branch = f"wild/{session['session_id']}"
    assert git(project, "branch", "--show-current").strip() == "main"
    assert git(project, "status", "--porcelain") == ""
    subjects = git(project, "log", "--format=%s", f"main..{branch}").splitlines()
    assert "wild: iteration-01: wrote work.txt" in subjects
    assert len(subjects) == len(labels) + 1
    assert "work.txt" in git(project, "show", "--stat", f"{branch}~3")
    report = server.get(f"/wild/v2/report/{session['session_id']}")
    assert Path(report["report_path"]).is_file()
    assert "Raise the score" in report["report"]
    assert report["report"].startswith("**No run of this session has finished")
    log = server.get(f"/wild/v2/iteration-log/{session['session_id']}")["log"]
    assert "wrote work.txt" in log
    assert "DONE is not believed yet: no run of this session has finished" in log


def iteration_labels(session: dict) -> list[dict]:  # type: ignore[type-arg]
    """The history with labels as folders and flow runs have them."""
    found = []
    for step in session["history"]:
        turn = f".{step['turn']}" if step["turn"] > 1 else ""
        name = "planning" if step["kind"] == "planning" else f"{step['kind']}-{step['index']:02d}"
        found.append({**step, "label": name + turn})
    return found


def test_every_step_is_in_the_audit_trail(server: Server, project: Path, script: Script) -> None:
    script.reply(1, planned())
    script.finish(2)
    script.default(STOP)
    session_id = server.start(project, script.agent)
    server.session_ended(session_id)
    found = server.prefect.post(
        "/flow_runs/filter",
        json={"flow_runs": {"tags": {"all_": [f"session:{session_id}"]}}},
    ).json()
    assert {"planning", "iteration-01"} <= {run["name"] for run in found}
    assert all(run["state"]["type"] == "COMPLETED" for run in found)
    assert all(run["parent_task_run_id"] for run in found)
    readable = f"raise-the-score-{session_id[:8]}"
    keys = [f"plan-{readable}", f"report-{readable}", f"iteration-log-{session_id}"]
    artifacts = server.prefect.post(
        "/artifacts/latest/filter", json={"artifacts": {"key": {"any_": keys}}}
    ).json()
    assert {artifact["key"] for artifact in artifacts} == set(keys)
    # Each call's page tells of it, and the session's own is not full of its log.
    steps = {run["id"]: run["name"] for run in found}
    ids = {"flow_run_id": {"any_": [session_id, *steps]}}
    shown = server.prefect.post("/artifacts/filter", json={"artifacts": ids}).json()
    pages = {steps[one["flow_run_id"]]: one["data"] for one in shown if one["key"] is None}
    assert {"planning", "iteration-01"} <= set(pages)
    assert "### Prompt" in pages["iteration-01"]
    own = {one["key"].split("-")[0] for one in shown if one["flow_run_id"] == session_id}
    assert own == {"position", "plan", "report"}
    assert session_id in server.session(session_id)["ui_url"]


def test_experiments_block_becomes_runs_and_results(
    server: Server, project: Path, script: Script
) -> None:
    script.reply(1, planned())
    script.reply(
        2,
        "<summary>two trials</summary>\n<experiments>\n"
        "- goal: first\n  command: echo score=1\n  parameters: {lr: 0.1}\n"
        "- goal: broken\n"
        "- goal: second\n  command: bash -c 'echo boom; exit 4'\n"
        "- goal: huge\n  command: echo\n  gpus: 99\n"
        "- goal: odd\n  command: echo\n  parameters: {n: 100000000000000000000}\n"
        "</experiments>\n",
    )
    script.finish(3)
    script.default(STOP)
    session = server.session_ended(server.start(project, script.agent))
    assert (session["runs"]["completed"], session["runs"]["failed"]) == (1, 1)
    runs = server.get("/runs", chat_session_id=session["session_id"])
    assert {run["command"] for run in runs} >= {"echo score=1 --lr=0.1"}
    prompt = script.prompt(3)
    assert "Experiment 2, command: is required" in prompt
    assert "gpus: 99 are asked for" in prompt
    assert "64 bits" in prompt
    assert "boom" in prompt
    assert "| iteration-01 experiments-1 | lr=0.1 | 1 " in prompt or "score" in prompt
    assert "failed (exit 4)" in prompt


def test_waiting_wakes_when_a_run_ends_and_costs_no_iteration(
    server: Server, project: Path, script: Script
) -> None:
    script.reply(1, planned())
    gate = Gate(script.folder / "gate")
    body = f'{{\\"name\\": \\"w\\", \\"command\\": \\"{gate.wait}\\", \\"auto_start\\": true, '
    body += '\\"chat_session_id\\": \\"$WILDLOOP_SESSION_ID\\"}'
    script.shell(
        2,
        f'curl -sf -H "X-Auth-Token: $WILDLOOP_AUTH_TOKEN" -H "Content-Type: application/json" '
        f'-d "{body}" $WILDLOOP_SERVER_URL/runs > /dev/null\n'
        "echo '<summary>queued</summary><promise>WAITING</promise>'\n",
    )
    script.reply(3, "<summary>it has ended</summary>")
    script.finish(4)
    script.default(STOP)
    session_id = server.start(project, script.agent, wait_seconds=600, max_iterations=2)
    server.wait_for(lambda: server.session(session_id)["phase"] == "waiting", "session waits")
    gate.open()
    session = server.session_ended(session_id)
    assert session["status"] == "completed"
    steps = [(s["index"], s["turn"]) for s in session["history"] if s["kind"] == "iteration"]
    assert steps == [(1, 1), (1, 2), (2, 1)]
    assert "| w |" in script.prompt(3)
    assert "1 of 1 runs have ended, 1 of them since the last call." in script.prompt(3)
    assert "You are called because all runs of this batch have ended." in script.prompt(3)


SWEEP = """curl -sf -H "X-Auth-Token: $WILDLOOP_AUTH_TOKEN" -H 'Content-Type: application/json' \\
  "$WILDLOOP_SERVER_URL/sweeps" -d '{"name": "six", "goal": "g", "base_command": "COMMAND",
  "parameters": {"lr": [1, 2], "seed": [0, 1, 2]}, "gpus": 0, "auto_start": true,
  "chat_session_id": "'$WILDLOOP_SESSION_ID'"}' > /dev/null
echo '<summary>six runs</summary><promise>WAITING</promise>'
"""


def test_a_batch_of_six_runs_is_one_call_when_all_have_ended(
    server: Server, project: Path, script: Script
) -> None:
    gate = Gate(script.folder / "gate")
    (project / "train.sh").write_text(
        f'case "$2" in --seed=2) {gate.wait};; esac; echo score=0.5\n', encoding="utf-8"
    )
    script.reply(1, planned()).shell(2, SWEEP.replace("COMMAND", "bash train.sh"))
    script.reply(3, "<summary>read</summary>").default(STOP)
    session_id = server.start(project, script.agent, wait_seconds=0.5, max_iterations=1)
    server.wait_for(
        lambda: server.session(session_id)["runs"]["completed"] == 4, "four of six have ended"
    )
    runs = server.get("/runs", chat_session_id=session_id)
    assert {run["workdir"] for run in runs} == {str(project)}
    held = [run["id"] for run in runs if run["parameters"]["seed"] == 2]
    # The last of them is taken when the fourth has ended: a moment later.
    for id in held:
        server.reaches(id, "running")
    # Looked at again and again meanwhile, and nobody called.
    time.sleep(3)
    assert script.calls() == 2
    gate.open()
    session = server.session_ended(session_id)
    steps = [(s["index"], s["turn"]) for s in session["history"] if s["kind"] == "iteration"]
    assert steps == [(1, 1), (1, 2)]
    told = script.prompt(3)
    assert "6 of 6 runs have ended, 6 of them since the last call." in told
    assert "You are called because all runs of this batch have ended." in told


def test_without_news_a_waiting_agent_is_called_after_a_long_time_that_doubles(
    server: Server, project: Path, script: Script
) -> None:
    gate = Gate(script.folder / "gate")
    (project / "train.sh").write_text(f"{gate.wait}; echo score=0.5\n", encoding="utf-8")
    script.reply(1, planned()).shell(2, SWEEP.replace("COMMAND", "bash train.sh"))
    script.default("<summary>waits</summary><promise>WAITING</promise>")
    session_id = server.start(
        project, script.agent, wait_seconds=0.5, wait_at_most_seconds=1, max_iterations=1
    )
    server.wait_for(lambda: script.calls() == 4, "it is called twice without news")
    assert "You are called because nothing has ended for 1 s." in script.prompt(3)
    assert "You are called because nothing has ended for 2 s." in script.prompt(4)
    gate.open()
    server.wait_for(lambda: script.calls() >= 5, "the ends are news")
    server.post("/wild/v2/stop", {"session_id": session_id, "runs": "stop"})
    server.session_ended(session_id)


def test_done_is_checked_and_the_rest_is_told(
    server: Server, project: Path, script: Script
) -> None:
    script.reply(1, planned())
    script.reply(2, DONE)
    session_id = server.start(project, script.agent, max_iterations=2)
    session = server.session_ended(session_id)
    assert session["status"] == "completed"
    assert "DONE is not believed: 12 tasks are open" in script.prompt(3)


def test_max_iterations_is_a_hard_stop(server: Server, project: Path, script: Script) -> None:
    script.reply(1, planned())
    session = server.session_ended(server.start(project, script.agent, max_iterations=3))
    assert session["status"] == "completed"
    assert session["iteration"] == 3
    assert [step["kind"] for step in session["history"]] == [
        "planning",
        *["iteration"] * 3,
        "reflection",
    ]
    assert "max_iterations: 3 iterations are used up" in script.prompt(5)
    assert Path(session["report_path"]).is_file()


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        ("I forgot the tags.", "the reply has no tags"),
        ("", "the agent gave no reply"),
    ],
)
def test_three_bad_replies_in_a_row_fail_the_session(
    server: Server, project: Path, script: Script, reply: str, fault: str
) -> None:
    script.reply(1, planned()).default(reply)
    session = server.session_ended(server.start(project, script.agent))
    assert session["status"] == "failed"
    assert "3 iterations in a row failed" in session["error"]
    assert fault in session["error"]
    assert fault in script.prompt(3)
    assert Path(session["report_path"]).is_file()


def test_failing_agent_is_told_its_own_error(server: Server, project: Path, script: Script) -> None:
    script.reply(1, planned()).shell(2, "echo 'no disk left' >&2; exit 9")
    session = server.session_ended(server.start(project, script.agent, max_iterations=2))
    assert session["history"][1]["failed"]
    assert "exit code 9: no disk left" in script.prompt(3)


def test_slow_agent_is_ended_at_its_timeout(server: Server, project: Path, script: Script) -> None:
    script.reply(1, planned()).shell(2, "echo partial; sleep 100")
    session = server.session_ended(
        server.start(project, script.agent, max_iterations=1, iteration_timeout_seconds=3)
    )
    assert session["history"][1]["exit_reason"] == "timeout"
    assert "partial" in Path(session["history"][1]["transcript"]).read_text()


def test_broken_tags_are_faults_told_next_time(
    server: Server, project: Path, script: Script
) -> None:
    script.reply(1, planned()).reply(
        2,
        "<summary>hm</summary><promise>LATER</promise>"
        "<experiments>\n- goal: [unclosed\n</experiments>",
    )
    server.session_ended(server.start(project, script.agent, max_iterations=2))
    assert "<promise> takes DONE or WAITING, not 'LATER'" in script.prompt(3)
    assert "<experiments> is not valid YAML" in script.prompt(3)


def test_bad_plan_is_sent_back_once(server: Server, project: Path, script: Script) -> None:
    script.reply(1, "<summary>short</summary><plan>\n## Goal\nx\n- [ ] do it\n</plan>")
    script.reply(2, planned())
    session = server.session_ended(server.start(project, script.agent, max_iterations=1))
    assert session["tasks"]["total"] == 12
    # What a session of one iteration is asked for.
    assert "The plan has 1 tasks; it takes 4 to 12." in script.prompt(2)
    assert [s["kind"] for s in session["history"]][:2] == ["planning", "planning"]


def test_no_plan_at_all_fails_the_session(server: Server, project: Path, script: Script) -> None:
    script.default("<summary>I would rather not</summary>")
    session = server.session_ended(server.start(project, script.agent))
    assert session["status"] == "failed"
    assert "no usable plan in 3 calls" in session["error"]


def test_missing_agent_fails_preflight_and_spends_nothing(
    server: Server, project: Path, script: Script
) -> None:
    # The door refuses it: a schedule, or Prefect's own API, does not go through it.
    name = "research-loop/wildloop"
    deployment = server.prefect.get(f"/deployments/name/{name}").json()["id"]
    asked = {"goal": "g", "workdir": str(project), "agent": "command:no-such-agent-xyz --headless"}
    made = server.prefect.post(
        f"/deployments/{deployment}/create_flow_run", json={"parameters": asked}
    )
    session_id = made.json()["id"]
    session = server.session_ended(session_id)
    assert session["status"] == "failed"
    assert "no-such-agent-xyz" in session["error"]
    state = server.prefect.get(f"/flow_runs/{session_id}").json()["state"]
    assert state["name"] == "Failed: preflight"
    plan = server.get(f"/wild/v2/plan/{session_id}")["plan"]
    assert "ABORT_EARLY_DOCS_CHECK_FAILED" in plan
    assert script.calls() == 0


def test_steer_reaches_the_next_prompt_and_wakes_a_waiting_session(
    server: Server, project: Path, script: Script
) -> None:
    run = server.post("/runs", {"name": "long", "command": "sleep 900", "auto_start": True})
    script.reply(1, planned())
    body = '{\\"name\\": \\"l2\\", \\"command\\": \\"sleep 900\\", \\"auto_start\\": true, '
    body += '\\"chat_session_id\\": \\"$WILDLOOP_SESSION_ID\\"}'
    script.shell(
        2,
        f'curl -sf -H "X-Auth-Token: $WILDLOOP_AUTH_TOKEN" -H "Content-Type: application/json" '
        f'-d "{body}" $WILDLOOP_SERVER_URL/runs > /dev/null\n'
        "echo '<summary>queued</summary><promise>WAITING</promise>'\n",
    )
    session_id = server.start(project, script.agent, wait_seconds=600, max_iterations=1)
    server.wait_for(lambda: server.session(session_id)["phase"] == "waiting", "session waits")
    server.post("/wild/v2/steer", {"context": "Try 7 layers", "session_id": session_id})
    server.wait_for(lambda: script.calls() >= 3, "the session wakes")
    assert "Try 7 layers" in script.prompt(3)
    server.post("/wild/v2/stop", {"session_id": session_id, "runs": "stop"})
    assert server.session_ended(session_id)["runs"]["running"] == 0
    server.post(f"/runs/{run['id']}/stop")


def test_pause_ends_the_agent_and_resume_goes_on_where_it_was(
    server: Server, project: Path, script: Script
) -> None:
    script.reply(1, planned()).shell(2, f'echo $$ > "{script.folder}/pid"; exec sleep 300')
    script.finish(3)
    script.default(STOP)
    session_id = server.start(project, script.agent)
    pid_file = script.folder / "pid"
    pid = int(wait_for(lambda: pid_file.exists() and pid_file.read_text().strip(), "agent runs"))
    server.post("/wild/v2/pause", {"session_id": session_id})
    wait_for(lambda: not alive(pid), "the agent is ended")
    assert server.session(session_id)["status"] == "paused"
    again = server.http.post("/wild/v2/pause", json={"session_id": session_id})
    assert again.status_code == 409
    server.post("/wild/v2/resume", {"session_id": session_id})
    session = server.session_ended(session_id)
    assert session["status"] == "completed"
    assert [s["kind"] for s in session["history"]].count("planning") == 1
    assert "was interrupted" in script.prompt(3)


def test_pause_and_cancel_by_the_api_that_the_prefect_ui_uses(
    server: Server, project: Path, script: Script
) -> None:
    script.reply(1, planned()).shell(2, "sleep 300").shell(3, "sleep 300")
    session_id = server.start(project, script.agent)
    server.wait_for(lambda: script.calls() == 2, "iteration 1 runs")
    pause = {
        "type": "PAUSED",
        "name": "Suspended",
        "state_details": {"pause_reschedule": True, "pause_timeout": "2030-01-01T00:00:00Z"},
    }
    server.prefect.post(f"/flow_runs/{session_id}/set_state", json={"state": pause, "force": True})
    server.wait_for(lambda: server.session(session_id)["status"] == "paused", "paused")

    def lasting() -> bool:
        details = server.prefect.get(f"/flow_runs/{session_id}").json()["state"]["state_details"]
        return details["pause_timeout"] is None

    server.wait_for(lasting, "the pause has no expiry")
    server.prefect.post(f"/flow_runs/{session_id}/resume")
    server.wait_for(lambda: script.calls() == 3, "it goes on")
    cancel = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    server.prefect.post(f"/flow_runs/{session_id}/set_state", json=cancel)
    session = server.session_ended(session_id)
    assert session["status"] == "stopped"
    state = server.prefect.get(f"/flow_runs/{session_id}").json()["state"]
    assert state["type"] == "CANCELLED"


def test_stop_leaves_no_queued_run_behind(server: Server, project: Path, script: Script) -> None:
    script.reply(1, planned()).shell(2, "sleep 300")
    session_id = server.start(project, script.agent)
    server.wait_for(lambda: script.calls() == 2, "iteration 1 runs")
    waiting = server.post("/runs", {"name": "w", "command": "true", "chat_session_id": session_id})
    server.post("/wild/v2/stop", {"session_id": session_id})
    assert server.session_ended(session_id)["status"] == "stopped"
    assert server.get(f"/runs/{waiting['id']}")["status"] == "stopped"


def test_second_session_in_the_same_workdir_is_refused(
    server: Server, project: Path, script: Script
) -> None:
    script.reply(1, planned()).shell(2, "sleep 300")
    session_id = server.start(project, script.agent)
    refused = server.http.post(
        "/wild/v2/start", json={"goal": "x", "workdir": str(project), "agent": script.agent}
    )
    assert refused.status_code == 409
    assert session_id in refused.json()["detail"]
    server.post("/wild/v2/stop", {"session_id": session_id})
    server.session_ended(session_id)


def test_what_does_not_belong_is_never_committed(
    server: Server, project: Path, script: Script
) -> None:
    script.reply(1, planned()).shell(
        2,
        "echo secret > .env; mkdir -p __pycache__ build; touch __pycache__/a.pyc build/out.bin\n"
        "head -c 6000000 /dev/zero > big.bin; echo fine > fine.txt\n"
        "echo '<summary>wrote much</summary>'",
    )
    session_id = server.start(project, script.agent, max_iterations=1)
    session = server.session_ended(session_id)
    tree = ("ls-tree", "-r", "--name-only", f"wild/{session_id}")
    tracked = git(project, *tree).splitlines()
    assert "fine.txt" in tracked
    assert f".wild/sessions/{session_id}/tasks.md" in tracked
    for name in (".env", "__pycache__/a.pyc", "build/out.bin", "big.bin"):
        assert name not in tracked
        assert (project / name).exists()
    assert not [name for name in tracked if name.startswith(".wild/runs")]
    assert session["history"][1]["files_changed"] == 1


def test_branch_current_commits_on_the_branch_that_is_checked_out(
    server: Server, project: Path, script: Script
) -> None:
    script.reply(1, planned())
    server.session_ended(server.start(project, script.agent, branch="current", max_iterations=1))
    assert git(project, "branch", "--show-current").strip() == "main"
    assert "wild: planning: planned" in git(project, "log", "--format=%s")


def test_token_is_in_no_prompt_transcript_log_or_artifact(
    server: Server, project: Path, script: Script
) -> None:
    script.reply(1, planned()).shell(2, 'echo "<summary>$WILDLOOP_AUTH_TOKEN</summary>"')
    session_id = server.start(project, script.agent, max_iterations=1)
    session = server.session_ended(session_id)
    assert server.token not in script.prompt(1) + script.prompt(2)
    assert server.token not in json.dumps(session)
    hits = subprocess.run(
        ["grep", "-rl", server.token, str(server.home / "logs"), str(project / ".wild/sessions")],
        check=False,
        capture_output=True,
        text=True,
    )
    assert hits.stdout == ""
    for table in ("/artifacts/filter", "/logs/filter", "/flow_runs/filter"):
        answer = server.prefect.post(table, json={"limit": 200})
        assert answer.is_success
        assert server.token not in answer.text


def test_curl_lines_of_the_protocol_work_as_written(
    server: Server, project: Path, script: Script
) -> None:
    """Every bash block of the ops protocol, as an agent gets it, in one shell."""
    script.reply(1, planned()).shell(2, "sleep 300")
    session_id = server.start(project, script.agent)
    server.wait_for(lambda: script.calls() == 2, "iteration 1 runs")
    skill = server.get("/prompt-skills/wild_v2_execution_ops_protocol")["template"]
    text = (
        skill.replace("{{ server_url }}", server.url)
        .replace("{{ session_id }}", session_id)
        .replace("{{ auth_header }}", '-H "X-Auth-Token: $WILDLOOP_AUTH_TOKEN"')
    )
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    assert sum(block.count("curl ") for block in blocks) >= 20
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(blocks)],
        env=server.env | {"WILDLOOP_AUTH_TOKEN": server.token},
        capture_output=True,
        text=True,
        timeout=patient(60),
    )
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-500:]
    names = {run["name"] for run in server.get("/runs", chat_session_id=session_id)}
    assert names == {"p2-lr-0.1-s0", "p2-lr-0.3-s0"}
    server.post("/wild/v2/stop", {"session_id": session_id, "runs": "stop"})
    server.session_ended(session_id)


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.4])
def test_stop_right_after_start_takes_effect(
    server: Server, project: Path, script: Script, delay: float
) -> None:
    """At each moment between created, claimed and running."""
    script.reply(1, planned()).shell(2, "sleep 300")
    session_id = server.start(project, script.agent)
    time.sleep(delay)
    server.post("/wild/v2/stop", {"session_id": session_id})
    assert server.session_ended(session_id)["status"] == "stopped"
    run = server.run("sleep 300", name="stopped-soon")
    time.sleep(delay)
    server.post(f"/runs/{run['id']}/stop")
    assert server.ended(run["id"])["status"] == "stopped"
    server.wait_for(lambda: not server.session(session_id)["is_active"], "it stays stopped")
