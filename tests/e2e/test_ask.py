"""A question to a session: its agent answers from a copy, and nothing else changes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.fake_agent import answers, fake_agent
from tests.support.fake_cli import times_called
from tests.support.project import git
from tests.support.script import STOP, Script, planned
from tests.support.server import HANG_SECONDS, Server
from wildloop.flows.session.agent_token import agent_token

pytestmark = pytest.mark.e2e
# What a curious agent may try: to write beside itself, into the project, and to start a run.
ANSWERS = """\
{ echo "I dropped it in iteration-01."; ls -a .wild/sessions/*; cat runs.jsonl; pwd; } > said
echo spoilt > README.md
curl -s -o /dev/null -w '%{http_code}' -X POST "$WILDLOOP_SERVER_URL/runs" \\
  -H "X-Auth-Token: $WILDLOOP_AUTH_TOKEN" -H 'Content-Type: application/json' \\
  -d '{"name": "sly", "command": "true"}' >> said
cat said
"""


def answered(server: Server, session_id: str, question: str) -> dict[str, Any]:
    asked = server.post(f"/wild/v2/ask/{session_id}", {"question": question})
    assert asked["status"] == "asked"

    def look() -> dict[str, Any] | None:
        every = server.get(f"/wild/v2/ask/{session_id}")["answers"]
        found = [one for one in every if one["id"] == asked["id"]]
        return dict(found[0]) if found and found[0]["status"] != "asked" else None

    return server.wait_for(look, "the question is answered")


@pytest.fixture
def script(tmp_path: Path) -> Script:
    made = Script(tmp_path / "script").reply(1, planned()).default(STOP)
    return made.shell(2, "echo lines > work.txt; echo '<summary>dropped dropout</summary>'")


def declared(project: Path, text: str) -> None:
    """Write wildloop.toml: /tmp, where the script lies, is each sandbox's own."""
    (project / "wildloop.toml").write_text(text)
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", "toml")


def test_an_answer_comes_from_a_copy_and_costs_no_iteration(
    server: Server, project: Path, script: Script
) -> None:
    declared(
        project,
        f"[agent]\nsandbox = 'auto'\nsandbox_writable = [{json.dumps(str(script.folder))}]\n",
    )
    session_id = server.start(project, script.agent, max_iterations=1)
    before = server.session_ended(session_id)
    runs = len(server.get("/runs", limit=1000))
    head = git(project, "rev-parse", "--all")
    script.shell(script.calls() + 1, ANSWERS)
    told = answered(server, session_id, "Why did you drop dropout?")
    assert (told["status"], told["error"]) == ("answered", None)
    assert "I dropped it in iteration-01." in told["answer"]
    assert "iteration_log.md" in told["answer"] and str(project) not in told["answer"]
    assert told["answer"].rstrip().endswith("403")
    prompt = script.prompt(script.calls())
    assert "Why did you drop dropout?" in prompt and "dropped dropout" in prompt
    after = server.session(session_id)
    assert (after["calls"], after["iteration"]) == (before["calls"], before["iteration"])
    assert len(server.get("/runs", limit=1000)) == runs
    assert git(project, "rev-parse", "--all") == head
    assert git(project, "status", "--porcelain") == ""


def test_an_agent_that_fails_is_told_in_a_line_and_agents_may_not_ask(
    server: Server, project: Path, script: Script
) -> None:
    declared(project, "[agent]\nsandbox = false\n")
    script.shell(2, "sleep 600")
    session_id = server.start(project, script.agent, max_iterations=1)
    server.wait_for(lambda: script.calls() == 2, "it is at work")
    script.shell(3, "echo broken >&2; exit 3")
    command = [sys.executable, "-m", "wildloop.shim.cli.main", "ask", "why?", "--session"]
    said = subprocess.run(
        [*command, session_id], env=server.env, capture_output=True, text=True, check=False
    )
    assert said.returncode == 1 and "no answer: exit code 3: broken" in said.stderr
    script.reply(4, "Because **it** was worse.")
    said = subprocess.run(
        [*command, session_id, "--json"],
        env=server.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert json.loads(said.stdout)["answer"] == "Because **it** was worse.", said.stderr
    agent = {"X-Auth-Token": agent_token(server.token, session_id)}
    with httpx.Client(base_url=server.url, headers=agent, timeout=HANG_SECONDS) as client:
        refused = client.post(f"/wild/v2/ask/{session_id}", json={"question": "what now?"})
    assert refused.status_code == 403
    server.http.post("/wild/v2/stop", json={"session_id": session_id})
    server.session_ended(session_id)


def test_the_built_in_agent_is_not_asked(server: Server, project: Path) -> None:
    declared(
        project,
        '[train]\ncommand = "true"\n[metric]\nname = "score"\n[search.lr]\nvalues = [1, 2]\n'
        "[baseline]\nlr = 1\n",
    )
    session_id = server.start(project, "baseline", max_iterations=1)
    refused = server.http.post(f"/wild/v2/ask/{session_id}", json={"question": "why?"})
    assert refused.status_code == 409 and "the report" in refused.json()["detail"]
    server.http.post("/wild/v2/stop", json={"session_id": session_id, "runs": "stop"})
    server.session_ended(session_id)


def test_what_answers_cost_is_counted_and_ends_a_session_at_its_budget(
    server: Server, project: Path, tmp_path: Path
) -> None:
    declared(project, "[agent]\nsandbox = false\n")
    go, asked = tmp_path / "go", "Because it was worse."
    waits = f"while not os.path.exists({str(go)!r}): time.sleep(0.2)\n"
    work = "<summary>worked</summary>"
    bodies = [answers(planned()), waits + answers(work), answers(asked, cost=4.0), answers(STOP)]
    agent = fake_agent(server, "asked", tmp_path / "bin", *bodies)
    session_id = server.start(project, agent, budget={"cost_usd": 3.0})
    server.wait_for(lambda: times_called(tmp_path / "bin" / "fake-cli") == 2, "it is at work")
    told = answered(server, session_id, "Why?")
    assert (told["answer"], told["cost_usd"]) == (asked, 4.0)
    go.touch()
    session = server.session_ended(session_id)
    assert [step["kind"] for step in session["history"]] == ["planning", "iteration", "reflection"]
    assert session["spent"]["cost_usd"] == pytest.approx(5.5)
    answered(server, session_id, "Are you sure?")
    server.wait_for(
        lambda: server.session(session_id)["spent"]["cost_usd"] == pytest.approx(6.0),
        "a question after the end is counted, too",
    )
