"""Agents that behave badly, and what a session does about it. All sessions share one server."""

import shlex
import subprocess
from pathlib import Path

import pytest

from tests.support.project import git
from tests.support.script import DONE, STOP, Script, good_plan, planned
from tests.support.server import Server
from tests.support.told import people_told

pytestmark = pytest.mark.e2e
GO_ON = "<reflection>one more try</reflection><continue>yes</continue><summary>go on</summary>"


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path / "script").reply(1, planned())


def test_agent_that_loops_gets_a_hint_a_reflection_and_the_end(
    server: Server, project: Path, script: Script
) -> None:
    for call in (2, 3, 4, 5, 6, 8, 9, 10):
        script.shell(call, "date +%N > notes.txt; echo '<summary>Tuned it again.</summary>'")
    script.reply(7, GO_ON)
    session = server.session_ended(server.start(project, script.agent))
    assert session["status"] == "failed"
    assert session["error"].startswith(
        "the agent is stuck: 6 iterations in a row with the same work again, the last 3 of them"
    )
    assert "said the same and closed no task: Tuned it again." in script.prompt(5)
    kinds = [step["kind"] for step in session["history"]]
    assert kinds == ["planning", *["iteration"] * 5, "reflection", *["iteration"] * 3]
    reflection = session["history"][6]
    assert reflection["why"] == "struggle: 3 iterations in a row with the same work again"
    assert reflection["reflection"] == "one more try"
    assert "## Evidence" in script.prompt(7)
    assert "said the same" in script.prompt(7)
    report = server.get(f"/wild/v2/report/{session['session_id']}")["report"]
    assert "the agent is stuck" in report
    people = people_told(server, session["session_id"], "stuck", "failed")
    assert people["stuck"]["reason"] == reflection["why"]
    assert session["error"] in people["failed"]["look_at"][0]


def test_agent_that_lies_about_done_ends_in_a_reflection(
    server: Server, project: Path, script: Script
) -> None:
    emptied = 'echo "# Everything is done" > "$WILDLOOP_TASKS_PATH"'
    script.shell(2, f"{emptied}; cat <<'END'\n{DONE}END\n").default(DONE).reply(6, STOP)
    session = server.session_ended(server.start(project, script.agent))
    assert session["status"] == "completed"
    assert session["tasks"]["open"] == 12
    assert "tasks.md held no task any more: it was put back" in script.prompt(3)
    assert "# Everything is done" in server.get(f"/wild/v2/plan/{session['session_id']}")["plan"]
    assert "DONE is not believed: 12 tasks are open" in script.prompt(3)
    assert "The same error came twice in the last 3 iterations: the one above" in script.prompt(4)
    assert script.prompt(4).count("DONE is not believed") == 1
    assert session["history"][-1]["why"].startswith("struggle: 3 iterations in a row")
    log = server.get(f"/wild/v2/iteration-log/{session['session_id']}")["log"]
    assert "- decision: stop" in log
    assert "enough" in log


def test_agent_that_repeats_an_error_is_shown_it(
    server: Server, project: Path, script: Script
) -> None:
    (project / "train.py").write_text(
        "print('\\n'.join(f'{n}%|###| {n}/100 [00:01<00:02, 9.1it/s]' for n in range(100)))\n"
        "raise ValueError('shapes (3, 4) and (5,) do not fit')\n",
        encoding="utf-8",
    )
    git(project, "add", "-A")
    git(project, "commit", "-qm", "train")
    for number in (1, 2, 3):
        script.reply(
            number + 1,
            f"<summary>attempt {number}</summary><experiments>\n- goal: try\n"
            f"  command: python3 train.py\n  parameters: {{lr: 0.1, seed: {number}}}\n"
            "  gpus: 0\n</experiments>",
        )
    session = server.session_ended(server.start(project, script.agent, max_iterations=4))
    assert session["runs"]["failed"] == 3
    prompt = script.prompt(3)
    assert "ValueError: shapes (3, 4) and (5,) do not fit\n```" in prompt
    assert "it/s" not in prompt
    assert "| failed: ValueError: shapes (3, 4) and (5,) do not fit |" in script.prompt(4)
    assert "is not to be tried again as it was" in script.prompt(4)
    assert (
        "The same error came twice in the last 3 iterations: ValueError: shapes (3, 4)"
        in script.prompt(5)
    )
    assert session["history"][3]["signs"] == ["the same error again"]


def test_agent_that_breaks_the_plan_has_it_mended(
    server: Server, project: Path, script: Script
) -> None:
    script.shell(
        2,
        'sed -i -e "/P3-T2/d" -e "s/\\[ \\] \\[P2-T3\\]/[-] [P2-T3]/" "$WILDLOOP_TASKS_PATH"\n'
        "echo '<summary>tidied up</summary>'",
    )
    plan = good_plan().replace("- [ ] [P2-T3]", "- [-] [P2-T3]") + (
        "\n## Phase 5 - Confirm\n"
        "- [ ] [P5-T1] Confirm | deliverable: c.md | done-when: 3 runs\n"
        "- [ ] [P5-T2] Reflection gate | deliverable: d.md | done-when: decided\n"
    )
    script.reply(
        3,
        f"{GO_ON}<plan>\n{plan}</plan>\n<experiments>\n- goal: x\n  command: echo\n</experiments>",
    )
    session = server.session_ended(server.start(project, script.agent, max_iterations=2))
    kinds = [step["kind"] for step in session["history"]]
    assert kinds == ["planning", "iteration", "reflection", "iteration", "reflection"]
    assert "Open tasks were taken out of tasks.md and have been put back: P3-T2" in script.prompt(3)
    assert "Reflection gates are not cancelled: P2-T3" in script.prompt(3)
    assert "<experiments> in a reflection reply starts nothing" in script.prompt(4)
    assert session["runs"]["total"] == 0
    phases = {one["number"]: one for one in session["tasks"]["phases"]}
    assert (phases[2]["cancelled"], phases[3]["open"], phases[5]["total"]) == (1, 3, 2)
    assert server.get(f"/wild/v2/plan/{session['session_id']}")["tasks"]["phases"][4] == phases[5]


def test_agent_that_tries_one_kind_of_change_only_is_asked_for_another(
    server: Server, project: Path, script: Script
) -> None:
    script.shell(2, "echo a > a.py; echo '<summary>no kind said</summary>'")
    for number in (1, 2, 3):
        script.shell(
            number + 2,
            f"echo {number} > a.py; echo '<summary>step {number}</summary>"
            f'<change kind="architecture">width {number}</change>\'',
        )
    session_id = server.start(project, script.agent, max_iterations=6)
    server.session_ended(session_id)
    assert "iteration-01 did not say what kind of change it made" in script.prompt(3)
    assert "Where to look next" not in script.prompt(5)
    repeated = "tried the same kind of change, and none of them gave a new best: architecture"
    assert repeated in script.prompt(6)
    tag = f"wild/{session_id[:8]}/iter-03"
    assert "+2" in git(project, "show", tag, "--", "a.py")
    found = server.get(f"/wild/v2/iterations/{session_id}/3")
    assert (found["tags"], found["calls"][0]["change"]["text"]) == ([tag], "width 2")
    assert "-1\n+2" in found["difference"]["diff"]
    assert "tasks.md" not in found["difference"]["diff"]
    told = subprocess.run(
        ["wildloop", "show", session_id[:8], "3"], env=server.env, capture_output=True, text=True
    )
    assert (told.returncode, tag in told.stdout, "+2" in told.stdout) == (0, True, True)
    missing = server.http.get(f"/wild/v2/iterations/{session_id}/47")
    assert missing.status_code == 404
    assert "begun 6 iterations" in missing.json()["detail"]


def test_agent_that_leaves_an_alert_open_sees_it_again(
    server: Server, project: Path, script: Script
) -> None:
    body = shlex.quote('{"message": "loss is odd", "choices": ["continue", "stop"]}')
    post = 'curl -sf -H "X-Auth-Token: $WILDLOOP_AUTH_TOKEN" -H "Content-Type: application/json"'
    made = '{\\"name\\": \\"noisy\\", \\"command\\": \\"true\\", \\"gpus\\": 0, '
    made += '\\"chat_session_id\\": \\"$WILDLOOP_SESSION_ID\\"}'
    script.shell(
        2,
        f'id=$({post} -d "{made}" $WILDLOOP_SERVER_URL/runs | grep -o \'"id":"[^"]*"\' | '
        "head -1 | cut -d'\"' -f4)\n"
        f"{post} -d {body} $WILDLOOP_SERVER_URL/runs/$id/alerts > /dev/null\n"
        "echo '<summary>made an alert</summary>'",
    )
    session_id = server.start(project, script.agent, max_iterations=2, autonomy_level="full")
    server.session_ended(session_id)
    assert "answer them before your task" in script.prompt(3)
    assert "loss is odd Choices: continue, stop." in script.prompt(3)


def test_waiting_for_ever_new_runs_ends_at_the_last_iteration(
    server: Server, project: Path, script: Script
) -> None:
    script.default(
        "<summary>one more</summary>\n<experiments>\n- goal: g\n  command: echo score=1\n"
        "  gpus: 0\n</experiments>\n<promise>WAITING</promise>"
    )
    session = server.session_ended(
        server.start(project, script.agent, max_iterations=2, max_calls_per_iteration=2)
    )
    assert session["status"] == "completed"
    steps = [(step["kind"], step["index"]) for step in session["history"]]
    assert steps[:5] == [
        ("planning", 0),
        *[("iteration", 1)] * 2,
        *[("iteration", 2)] * 2,
    ]
    assert [kind for kind, _ in steps[5:]] == ["reflection"]


def test_agent_that_aborts_in_planning_is_asked_once(
    server: Server, project: Path, tmp_path: Path
) -> None:
    script = Script(tmp_path / "abort").default(
        "<summary>Aborted: the skill does not answer.</summary>\n<promise>DONE</promise>"
    )
    session = server.session_ended(server.start(project, script.agent))
    assert (session["status"], script.calls()) == ("failed", 1)
    assert session["error"].startswith("the agent aborted in planning: Aborted: the skill")
    state = server.prefect.get(f"/flow_runs/{session['session_id']}").json()["state"]
    assert state["name"] == "Failed: preflight"
    plan = server.get(f"/wild/v2/plan/{session['session_id']}")["plan"]
    assert "ABORT_EARLY_DOCS_CHECK_FAILED" in plan


def test_done_without_deliverables_or_runs_is_not_believed_at_once(
    server: Server, project: Path, script: Script
) -> None:
    done = planned("x").replace("Reflection gate", "Look back") + "<promise>DONE</promise>"
    script.reply(2, done).default(done).shell(3, f"touch a.md; cat <<'END'\n{done}\nEND\n")
    script.reply(5, STOP)
    session = server.session_ended(server.start(project, script.agent))
    assert session["status"] == "completed"
    steps = [(step["kind"], step["index"]) for step in session["history"]]
    assert steps[1:] == [*(("iteration", index) for index in (1, 2, 3)), ("reflection", 3)]
    assert "deliverables of closed tasks do not exist: a.md (P1-T1)" in script.prompt(3)
    assert "no run of this session has finished, so nothing was measured" in script.prompt(4)
    report = server.get(f"/wild/v2/report/{session['session_id']}")["report"]
    assert report.startswith("**No run of this session has finished: nothing was measured.**")
