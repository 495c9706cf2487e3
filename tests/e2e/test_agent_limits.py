"""An agent that is held up, watched and paid for: limits cost no iteration, nothing is hidden."""

import json
import os
import subprocess
import sys
from math import ceil
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_agent import answers, fake_agent
from tests.support.fake_cli import claude_error, says, times_called
from tests.support.pace import patient
from tests.support.project import git
from tests.support.script import STOP, Script, planned
from tests.support.server import Server

pytestmark = pytest.mark.e2e
LEAK = "say({'type': 'assistant', 'message': {'id': 'm', 'content': [{'type': 'text', 'text': "
LEAK += "'the token is ' + os.environ['WILDLOOP_AUTH_TOKEN']}]}})\n"


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path / "script")


def limited(text: str, status: int | None = 429) -> str:
    """A call that the API refuses."""
    return says(claude_error(f"API Error: {text}", status), code=1)


def cli(server: Server, *arguments: str) -> "subprocess.Popen[str]":
    """`wildloop ...`, at work."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "wildloop.shim.cli.main", *arguments],
        env=server.env,
        stdout=subprocess.PIPE,
        text=True,
    )


def logged(server: Server, session_id: str) -> str:
    """The flow-run logs of a session and its steps."""
    tags = {"tags": {"all_": [f"session:{session_id}"]}}
    runs = server.prefect.post("/flow_runs/filter", json={"flow_runs": tags}).json()
    ids = [session_id, *(run["id"] for run in runs)]
    wanted = {"flow_run_id": {"any_": ids}}
    return str(server.prefect.post("/logs/filter", json={"logs": wanted, "limit": 200}).text)


def test_held_calls_cost_no_iteration_and_everybody_can_see_why(
    server: Server, project: Path, tmp_path: Path
) -> None:
    go, pause = tmp_path / "go", ceil(patient(4))
    agent = fake_agent(
        server,
        "held",
        tmp_path / "bin",
        answers(planned(), cost=0.25),
        limited(f"slow down, try again in {pause} seconds"),
        limited("connection refused, try again in 1 second", 503),
        LEAK
        + f"while not os.path.exists({str(go)!r}): time.sleep(0.1)\n"
        + answers("<summary>did it</summary>", "looking around"),
        answers(STOP, cost=0.25),
    )
    session_id = server.start(project, agent, max_iterations=1)
    watching = cli(server, "watch", session_id)

    def note() -> str:
        return str(server.session(session_id)["note"])

    seen = server.wait_for(note, "the wait is told")
    assert seen.startswith("waiting for the agent's rate limit until")
    assert "slow down" in seen
    activity = f"/wild/v2/activity/{session_id}"
    server.wait_for(lambda: "the token is" in server.get(activity)["content"], "the agent is heard")
    assert server.session(session_id)["iteration"] == 0
    go.touch()
    session = server.session_ended(session_id)
    assert (session["status"], session["note"]) == ("completed", "")
    steps = [(step["kind"], step["index"], step["failed"]) for step in session["history"]]
    assert steps == [("planning", 0, False), ("iteration", 1, False), ("reflection", 1, False)]
    step = session["history"][1]
    assert step["held_seconds"] == pytest.approx(pause + 1)
    assert (step["cost_usd"], step["cost_is_estimate"], step["num_turns"]) == (0.5, False, 2)
    check_usage(server, session, pause + 1)
    check_events(server, project, step)
    shown, _ = watching.communicate(timeout=patient(30))
    assert "waiting for the agent's rate limit until" in shown
    assert "iteration-01 | looking around" in shown
    assert server.token not in shown + server.get(activity, offset=0)["content"]
    server.wait_for(lambda: "looking around" in logged(server, session_id), "the flow run's log")
    assert server.token not in logged(server, session_id)


def check_usage(server: Server, session: dict[str, Any], held: int) -> None:
    """Tokens and cost, by HTTP, in the log, on the command line."""
    usage = {"input": 3000, "output": 600, "cache_read": 1500, "cache_write": 0}
    assert session["usage"] == usage
    assert session["spent"]["cost_usd"] == pytest.approx(1.0)
    log = server.get(f"/wild/v2/iteration-log/{session['session_id']}")["log"]
    assert "- agent: 1,500 tokens in (500 from the cache), 200 out, $0.5000" in log
    assert f"held up before it for {held} s" in log
    told, _ = cli(server, "status", session["session_id"]).communicate(timeout=patient(30))
    assert "4,500 tokens in (1,500 from the cache), 600 out, $1.00" in told


def check_events(server: Server, project: Path, step: dict[str, Any]) -> None:
    """The events of all attempts lie beside the transcript, without the token, out of git."""
    path = Path(step["events"])
    assert path == Path(step["transcript"]).with_suffix(".jsonl")
    events = [json.loads(line) for line in path.read_text().splitlines()]
    ends = [event["result"] for event in events if event["type"] == "result"]
    assert [end.split(",")[0] for end in ends[:2]] == [
        "API Error: slow down",
        "API Error: connection refused",
    ]
    assert server.token not in path.read_text()
    branch = f"wild/{path.parent.parent.name}"
    tracked = git(project, "ls-tree", "-r", "--name-only", branch).splitlines()
    assert str(Path(step["transcript"]).relative_to(project)) in tracked
    assert str(path.relative_to(project)) not in tracked


def test_pause_and_stop_end_a_wait_at_once_and_resume_goes_on_waiting(
    server: Server, project: Path, tmp_path: Path
) -> None:
    agent = fake_agent(
        server,
        "paused",
        tmp_path / "bin",
        answers(planned()),
        limited(f"try again in {ceil(patient(6))} seconds"),
        limited("try again in 3 hours"),
    )
    program = tmp_path / "bin" / "fake-cli"
    session_id = server.start(project, agent)
    server.wait_for(lambda: server.session(session_id)["note"], "it waits")
    server.post("/wild/v2/pause", {"session_id": session_id})
    server.wait_for(lambda: server.session(session_id)["status"] == "paused", "it is paused")
    assert times_called(program) == 2
    server.post("/wild/v2/resume", {"session_id": session_id})
    server.wait_for(lambda: times_called(program) == 3, "it is called again")
    told = server.wait_for(lambda: server.session(session_id)["note"], "it waits for hours")
    assert "try again in 3 hours" in told
    prompts = sorted(project.glob(f".wild/runs/agents-{session_id}/iteration-01.*/prompt.md"))
    assert len(prompts) == 2
    # Neither call has got anywhere, so that there is nothing to look after.
    assert not any("was interrupted" in prompt.read_text() for prompt in prompts)
    server.post("/wild/v2/stop", {"session_id": session_id})
    session = server.session_ended(session_id)
    assert (session["status"], session["iteration"]) == ("stopped", 0)


@pytest.mark.long
def test_killed_worker_s_successor_sits_the_wait_out(
    server: Server, project: Path, tmp_path: Path
) -> None:
    pause = ceil(patient(12))
    agent = fake_agent(
        server,
        "killed",
        tmp_path / "bin",
        answers(planned()),
        limited(f"try again in {pause} seconds"),
        answers("<summary>done</summary>"),
        answers(STOP),
    )
    session_id = server.start(project, agent, max_iterations=1)
    server.wait_for(lambda: server.session(session_id)["note"], "it waits")
    server.child("wildloop.flows.worker.main").kill()
    session = server.session_ended(session_id)
    assert (session["status"], times_called(tmp_path / "bin" / "fake-cli")) == ("completed", 4)
    assert session["history"][1]["held_seconds"] == pytest.approx(pause)
    log = server.get(f"/wild/v2/activity/{session_id}", offset=0)["content"]
    assert log.count("waiting for the agent's rate limit") == 1


def test_session_pauses_itself_when_the_limit_outlasts_its_patience(
    server: Server, project: Path, tmp_path: Path
) -> None:
    agent = fake_agent(
        server,
        "patient",
        tmp_path / "bin",
        answers(planned()),
        limited("try again in 7 hours"),
        answers("<summary>back again</summary>"),
        answers(STOP),
    )
    session_id = server.start(project, agent, max_iterations=1)
    server.wait_for(lambda: server.session(session_id)["status"] == "paused", "it is paused")
    session = server.session(session_id)
    assert "rate limit holds it up for longer than 6 h" in session["note"]
    server.post("/wild/v2/resume", {"session_id": session_id})
    session = server.session_ended(session_id)
    assert session["status"] == "completed"
    assert [step["failed"] for step in session["history"]] == [False, False, False]


def test_limit_of_a_command_is_waited_for(server: Server, project: Path, script: Script) -> None:
    script.reply(1, planned())
    script.reply(2, "You've hit your limit, it resets in 3 seconds\n")
    script.shell(3, "echo 'Error: 429 Too Many Requests, try again in 2 seconds' >&2; exit 1")
    script.shell(4, "echo 'connection refused, retry after 1 s' >&2; exit 1")
    script.reply(5, "Error: 429 Too Many Requests\n<summary>so says the run's log</summary>")
    script.default(STOP)
    session_id = server.start(project, script.agent, max_iterations=1)
    note = server.wait_for(lambda: server.session(session_id)["note"], "the wait is told")
    assert note.startswith("waiting for the agent's rate limit until")
    session = server.session_ended(session_id)
    assert session["status"] == "completed"
    steps = [(step["kind"], step["index"], step["failed"]) for step in session["history"]]
    assert steps == [("planning", 0, False), ("iteration", 1, False), ("reflection", 1, False)]
    step = session["history"][1]
    assert step["held_seconds"] == pytest.approx(6)
    assert step["summary"] == "so says the run's log"
    # No call had got anywhere, so that there is nothing to look after.
    assert "was interrupted" not in script.prompt(5)


def test_help_names_every_agent() -> None:
    text = subprocess.run(
        [sys.executable, "-P", "-m", "wildloop.shim.cli.main", "start", "--help"],
        env=os.environ | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in ("baseline", "claude", "codex", "opencode", "openai:<model>@", "command:"):
        assert name in text
