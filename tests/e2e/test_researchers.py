"""Several researchers on one session, with an agent that replies by the task it is given."""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support import desk_agent
from tests.support.project import git
from tests.support.script import STOP, planned
from tests.support.server import Server
from tests.support.trials import experiments
from wildloop.flows.models.own_runs import OwnRuns, own_id

pytestmark = pytest.mark.e2e

TRAIN = """\
for word in "$@"; do case $word in --seed=*) seed=${word#*=};; esac; done
base=800
# far
# apart
# so
# that
# git
# merges
one=0
# far
# apart
# so
# that
# git
# merges
two=0
# and
# the
# score
noise=(0 3 -4 5)
[ $one$two != 11 ] || WAITS
echo "score=0.$((base + 50 * one + 60 * two - BOTH * one * two + noise[seed % 4]))"
"""
CONFIRMED = """\
protected = ["evaluate.sh"]

[train]
command = "bash train.sh"

[metric]
name = "score"
direction = "max"

[confirm]
seeds = 3
further = 0
"""
CLOSE = 'sed -i "s|\\[.\\] \\[$TASK\\]|[x] [$TASK]|" "$WILDLOOP_TASKS_PATH"'


BY_THE_API = """\
body='{"name": "x", "command": "bash train.sh --seed=1", "gpus": 0, "auto_start": true,'
curl -sf -H "X-Auth-Token: $WILDLOOP_AUTH_TOKEN" -H 'Content-Type: application/json' \\
    "$WILDLOOP_SERVER_URL/runs" -d "$body"' "chat_session_id": "'$WILDLOOP_SESSION_ID'"}' > run
curl -sf -H "X-Auth-Token: $WILDLOOP_AUTH_TOKEN" \\
    "$WILDLOOP_SERVER_URL/wild/v2/evidence/$WILDLOOP_SESSION_ID" > evidence
echo "<summary>made a run</summary><promise>WAITING</promise>"
"""


class Play:
    """What the agents answer, and a project to do it in."""

    def __init__(
        self, folder: Path, project: Path, both: str = "0", kills: tuple[str, ...] = ()
    ) -> None:
        self.folder, self.project, self.kills = folder, project, kills
        folder.mkdir()
        (folder / "planning.txt").write_text(planned())
        (folder / "reflection.sh").write_text(f"{self.killed('reflection')}\necho '{STOP}'\n")
        train = TRAIN.replace("BOTH", both).replace("WAITS", self.killed("merged"))
        (project / "train.sh").write_text(train)
        git(project, "add", "-A")
        git(project, "commit", "-q", "-m", "train")

    @property
    def agent(self) -> str:
        """Its name for `start`."""
        words = [sys.executable, str(Path(desk_agent.__file__)), str(self.folder)]
        return f"command:{shlex.join(words)}"

    def measured(self, task: str, edit: str, before: str = "true") -> None:
        """Have a task edit the code and run it on three seeds; `before` may wait for others."""
        text = f"{before}\n{edit}\n{CLOSE}\ncat <<'END'\n{experiments(task)}END\n"
        (self.folder / f"{task}.sh").write_text(text)

    def killed(self, where: str) -> str:
        """Shell that waits until the worker was killed, if it is to be killed here; once."""
        if where not in self.kills:
            return "true"
        asked = f"{self.folder}/kill-{where}"
        waits = f"until [ -e '{asked}.done' ]; do sleep 0.2; done"
        return f"{{ mkdir '{asked}' 2> /dev/null && {waits}; true; }}"

    def die_in_a_merge(self) -> None:
        """Have git wait for a kill, and fail, as a change is put on the session's branch."""
        script = self.folder / "smudge.sh"
        script.write_text(
            "text=$(cat; echo x)\n"
            f'if [ "$PWD" = "{self.project}" ] && [[ "$text" == *two=1* ]]'
            f" && [ ! -e '{self.folder}/kill-merge' ]; then\n"
            f"  {self.killed('merge')}; exit 1\nfi\n"
            'printf %s "${text%x}"\n'
        )
        git(self.project, "config", "filter.kill.smudge", f"bash '{script}'")
        (self.project / ".git/info/attributes").write_text("train.sh filter=kill\n")

    def ended(self, server: Server, session_id: str) -> dict[str, Any]:
        """The session at its end; the worker is killed wherever it is to be."""

        def look() -> dict[str, Any] | None:
            for where in self.kills:
                asked = self.folder / f"kill-{where}"
                if asked.exists() and not asked.with_name(f"{asked.name}.done").exists():
                    server.child("wildloop.flows.worker.main").kill()
                    asked.with_name(f"{asked.name}.done").touch()
            session = server.session(session_id)
            return None if session["is_active"] else session

        found = server.wait_for(look, "the session ends", 300)
        missing = [one for one in self.kills if not (self.folder / f"kill-{one}.done").exists()]
        assert not missing
        return found

    def until_begun(self, task: str) -> str:
        """Shell that waits until another is called for a task."""
        return f"until [ -e '{self.folder}/prompt-{task}.1.md' ]; do sleep 0.2; done"

    def until_kept(self, line: str) -> str:
        """Shell that waits until the session's branch holds a line."""
        show = f"git -C '{self.project}' show HEAD:train.sh"
        return f"until {show} | grep -qx '{line}'; do sleep 0.2; done"


def verdicts(server: Server, session_id: str) -> dict[str, dict[str, Any]]:
    """The decisions by what they are about."""
    rows = server.get(f"/wild/v2/results/{session_id}")["rows"]
    return {row["description"]: row for row in rows}


@pytest.mark.long
def test_who_edits_the_same_lines_leaves_a_task(
    server: Server, project: Path, tmp_path: Path
) -> None:
    play = Play(tmp_path / "play", project, both="100")
    play.measured("P1-T1", "true")
    play.measured("P1-T3", "sed -i s/base=800/base=820/ train.sh", play.until_begun("P2-T1"))
    play.measured("P2-T1", "sed -i s/base=800/base=840/ train.sh", play.until_kept("base=820"))
    (play.folder / "P1-T2.1.sh").write_text(f"cd '{play.folder}'\n{BY_THE_API}")
    session_id = server.start(project, play.agent, keep="better", researchers=2, max_iterations=14)
    session = server.session_ended(session_id)
    assert (session["status"], session["error"]) == ("completed", None)
    run, evidence = (json.loads((play.folder / name).read_text()) for name in ("run", "evidence"))
    assert evidence["session_id"] == run["chat_session_id"] == session_id
    assert run["researcher"] in (1, 2)
    assert run["run_dir"] == str(project / ".wild" / "runs" / run["id"])
    assert server.get(f"/runs/{run['id']}")["metrics"]["score"] == pytest.approx(0.803)
    found = verdicts(server, session_id)
    assert found["P1-T3"]["status"] == "keep"
    assert found["P2-T1"]["status"] == "discard"
    assert "conflicts with what was kept meanwhile (train.sh)" in found["P2-T1"]["why"]
    plan = server.get(f"/wild/v2/plan/{session_id}")["plan"]
    assert "[P2-T4] Merge by hand" in plan
    assert "base=840" in git(project, "show", f"{found['P2-T1']['tag']}:train.sh")
    branch = session["branch"]
    assert "base=820" in git(project, "show", f"{branch}:train.sh")
    assert git(project, "branch", "--show-current").strip() == "main"
    assert git(project, "status", "--porcelain") == ""


@pytest.mark.long
def test_a_gain_that_is_gone_on_the_merged_code_is_not_kept_and_all_runs_are_counted_once(
    server: Server, project: Path, tmp_path: Path
) -> None:
    play = Play(tmp_path / "play", project, both="100")
    play.measured("P1-T1", "true")
    play.measured("P1-T3", "sed -i s/one=0/one=1/ train.sh", play.until_begun("P2-T1"))
    play.measured("P2-T1", "sed -i s/two=0/two=1/ train.sh", play.until_kept("one=1"))
    session_id = server.start(project, play.agent, keep="better", researchers=2, max_iterations=14)
    session = server.session_ended(session_id)
    assert (session["status"], session["error"]) == ("completed", None)
    found = verdicts(server, session_id)
    assert found["P1-T3"]["status"] == "keep"
    assert found["P2-T1"]["status"] == "discard"
    assert "does not hold on the merged code" in found["P2-T1"]["why"]
    code = git(project, "show", f"{session['branch']}:train.sh")
    assert "one=1" in code and "two=0" in code
    runs = server.get("/runs", chat_session_id=session_id)
    merged = [run["name"] for run in runs if run["name"].startswith("merged ")]
    assert len(runs) == 12 and len(merged) == 3
    report = server.get(f"/wild/v2/report/{session_id}")["report"]
    assert "12 runs" in report
    names = {step["name"] for step in server.steps(session_id)}
    assert {"researcher-1", "researcher-2"} <= names
    assert git(project, "worktree", "list").count("\n") == 1


def test_gains_that_add_up_are_both_kept(server: Server, project: Path, tmp_path: Path) -> None:
    play = Play(tmp_path / "play", project, kills=("merged", "merge"))
    play.die_in_a_merge()
    two_gains(play)
    session_id = server.start(project, play.agent, keep="better", researchers=2, max_iterations=14)
    session = play.ended(server, session_id)
    assert (session["status"], session["error"]) == ("completed", None)
    assert_both_are_kept_once(server, project, session)


@pytest.mark.long
def test_nothing_is_lost_or_doubled_by_kills_while_agents_think_and_reflect(
    server: Server, project: Path, tmp_path: Path
) -> None:
    play = Play(tmp_path / "play", project, kills=("think", "reflection"))
    two_gains(play, play.killed("think"))
    session_id = server.start(project, play.agent, keep="better", researchers=2, max_iterations=14)
    session = play.ended(server, session_id)
    assert (session["status"], session["error"]) == ("completed", None)
    assert_both_are_kept_once(server, project, session)
    # Agents outlive the worker, and are not called a second time.
    prompts = [path.name for path in play.folder.glob("prompt-*")]
    assert not [name for name in prompts if ".2.md" in name]


def two_gains(play: Play, before: str = "true") -> None:
    """Two changes that both help; the second is decided when the first is on the branch."""
    play.measured("P1-T1", "true")
    play.measured("P1-T3", "sed -i s/one=0/one=1/ train.sh", play.until_begun("P2-T1"))
    waits = f"{before}\n{play.until_kept('one=1')}"
    play.measured("P2-T1", "sed -i s/two=0/two=1/ train.sh", waits)


def assert_both_are_kept_once(server: Server, project: Path, session: dict[str, Any]) -> None:
    """Both are on the branch, once; no run was made twice; each call's page tells of its runs."""
    session_id, branch = session["session_id"], session["branch"]
    found = verdicts(server, session_id)
    assert [found[task]["status"] for task in ("P1-T1", "P1-T3", "P2-T1")] == ["keep"] * 3
    assert "on the code merged with what was kept meanwhile" in found["P2-T1"]["why"]
    code = git(project, "show", f"{branch}:train.sh")
    assert "one=1" in code and "two=1" in code
    merges = git(project, "log", "--format=%s", "--grep=^The change: ", branch).splitlines()
    assert [line.partition(": ")[2].partition(": ")[2] for line in merges] == ["P2-T1", "P1-T3"]
    assert len(server.get("/runs", chat_session_id=session_id)) == 12
    calls = [one for one in session["history"] if one["run_ids"]]
    assert len(calls) == 3
    for call in calls:
        wanted = {"artifacts": {"flow_run_id": {"any_": [call["flow_run_id"]]}}}
        pages = server.prefect.post("/artifacts/filter", json=wanted).json()
        told = [page["description"] for page in pages]
        assert sum(": 3 of 3 runs finished" in one for one in told) == 1, told


@pytest.mark.long
def test_merged_code_is_confirmed_on_seeds_that_no_agent_has_seen(
    server: Server, project: Path, tmp_path: Path
) -> None:
    # On the agents' seeds both gains add up; on Wildloop's one takes the other's away.
    (project / "evaluate.sh").write_text("true\n")
    (project / "wildloop.toml").write_text(CONFIRMED)
    play = Play(tmp_path / "play", project, both="(seed < 1000 ? 0 : 100)")
    two_gains(play)
    session_id = server.start(project, play.agent, keep="better", researchers=2, max_iterations=14)
    session = server.session_ended(session_id)
    assert (session["status"], session["error"]) == ("completed", None)
    found = verdicts(server, session_id)
    assert [found[task]["status"] for task in ("P1-T1", "P1-T3", "P2-T1")] == [
        "keep",
        "keep",
        "discard",
    ]
    assert "does not hold on the merged code" in found["P2-T1"]["why"]
    agents_own = server.get("/runs", chat_session_id=session_id)
    assert len(agents_own) == 9
    own = server.get("/runs", chat_session_id=own_id(session_id, OwnRuns.CONFIRM))
    # The baseline, each gain alone, and the two together.
    seeds = {run["seed"] for run in own}
    assert (len(own), len(seeds)) == (12, 3) and min(seeds) >= 1000
    assert found["P2-T1"]["metric"] == pytest.approx(0.811, abs=0.006)
    code = git(project, "show", f"{session['branch']}:train.sh")
    assert "one=1" in code and "two=0" in code


@pytest.mark.long
def test_others_begin_while_the_first_measurement_runs(
    server: Server, project: Path, tmp_path: Path
) -> None:
    play = Play(tmp_path / "play", project)
    waits = f"[ $one$two != 00 ] || {play.until_begun('P1-T3')}"
    train = (project / "train.sh").read_text().replace("noise=", f"{waits}\nnoise=", 1)
    (project / "train.sh").write_text(train)
    git(project, "commit", "-qam", "the baseline waits")
    play.measured("P1-T1", "true")
    play.measured("P1-T3", "sed -i s/one=0/one=1/ train.sh")
    session_id = server.start(project, play.agent, keep="better", researchers=3, max_iterations=14)
    session = server.session_ended(session_id)
    assert (session["status"], session["error"]) == ("completed", None)
    rows = server.get(f"/wild/v2/results/{session_id}")["rows"]
    assert [row["description"] for row in rows if row["metric"]] == ["P1-T1", "P1-T3"]
    assert verdicts(server, session_id)["P1-T3"]["status"] == "keep"


@pytest.mark.long
def test_nobody_stands_at_a_gate_while_its_reflection_thinks(
    server: Server, project: Path, tmp_path: Path
) -> None:
    play = Play(tmp_path / "play", project, kills=("think",))
    begun = f"until [ -e '{play.folder}/prompt-reflection.1.md' ]; do sleep 0.2; done"
    play.measured("P1-T1", "true")
    play.measured("P3-T1", "sed -i s/one=0/one=1/ train.sh", begun)
    over = "until grep -q 'P4-T4' \"$WILDLOOP_SESSION_DIR/tasks.md\"; do sleep 0.2; done\n"
    for task in ("P3-T2", "P3-T3"):
        (play.folder / f"{task}.sh").write_text(over + desk_agent.CLOSE)
    added = "- [ ] [P4-T4] Added | deliverable: a.md | done-when: it is there"
    (play.folder / "reflection.1.sh").write_text(
        "until grep -q '\\[x\\] \\[P3-T1' \"$WILDLOOP_SESSION_DIR/tasks.md\"; do sleep 0.2; done\n"
        f"{play.killed('think')}\n"
        "sed -i -e 's|. . .P4-T1.|[-] [P4-T1]|' "
        f'-e "/P4-T2/i {added}" "$WILDLOOP_TASKS_PATH"\n'
        "echo '<summary>on</summary><reflection>on</reflection><continue>yes</continue>'\n"
    )
    session_id = server.start(project, play.agent, keep="better", researchers=2, max_iterations=14)
    session = play.ended(server, session_id)
    assert (session["status"], session["error"]) == ("completed", None)
    reflections = [call for call in session["history"] if call["kind"] == "reflection"]
    assert [call["continue_session"] for call in reflections] == [True, False]
    # The runs that others have made meanwhile are not its own.
    assert reflections[0]["run_ids"] == []
    plan = server.get(f"/wild/v2/plan/{session_id}")["plan"]
    for line in ("[x] [P2-T3]", "[x] [P3-T1]", "[-] [P4-T1]", "[x] [P4-T4] Added"):
        assert line in plan
    assert not (play.folder / "prompt-P4-T1.1.md").exists()
    assert not (play.folder / "prompt-reflection.3.md").exists()
    told = (play.folder / "prompt-reflection.1.md").read_text()
    assert "The researchers go on meanwhile" in told and "P3-T1" in told
    assert not list((project / ".wild/researchers").glob("*-r*"))
    code = git(project, "show", f"{session['branch']}:train.sh")
    assert "one=1" in code


def test_steer_pause_and_stop_are_for_all(server: Server, project: Path, tmp_path: Path) -> None:
    play = Play(tmp_path / "play", project)
    forever = f"touch '{play.folder}/'$TASK; while :; do sleep 0.2; done\n"
    play.measured("P1-T1", "true")
    for task in ("P1-T2", "P1-T3"):
        (play.folder / f"{task}.1.sh").write_text(forever)
    for task in ("P2-T1", "P2-T2"):
        (play.folder / f"{task}.sh").write_text(forever)

    def at_work(*tasks: str) -> bool:
        return all((play.folder / task).exists() for task in tasks)

    session_id = server.start(project, play.agent, keep="better", researchers=2, max_iterations=14)
    server.wait_for(lambda: at_work("P1-T2", "P1-T3"), "both are at work")
    server.post("/wild/v2/steer", {"session_id": session_id, "context": "mind the gap"})
    server.post("/wild/v2/pause", {"session_id": session_id})
    server.wait_for(lambda: not agents(play), "no agent is left")
    server.post("/wild/v2/resume", {"session_id": session_id})
    server.wait_for(lambda: at_work("P2-T1", "P2-T2"), "both are at the next task")
    for task in ("P1-T2", "P1-T3"):
        assert "mind the gap" in (play.folder / f"prompt-{task}.2.md").read_text()
    server.post("/wild/v2/stop", {"session_id": session_id})
    assert server.session_ended(session_id)["status"] == "stopped"
    server.wait_for(lambda: not agents(play), "no agent is left")
    assert git(project, "worktree", "list").count("\n") == 1
    assert git(project, "branch", "--show-current").strip() == "main"


@pytest.mark.long
@pytest.mark.parametrize("state", ["CANCELLING", "CANCELLED"])
def test_a_researcher_whose_flow_run_is_ended_in_prefect_works_on_with_its_session(
    server: Server, project: Path, tmp_path: Path, state: str
) -> None:
    play = Play(tmp_path / "play", project)
    go = play.folder / "go"
    play.measured("P1-T1", "true")
    for task in ("P1-T2", "P1-T3"):
        waits = f"touch '{play.folder}/'$TASK; until [ -e '{go}' ]; do sleep 0.2; done\n"
        (play.folder / f"{task}.sh").write_text(f"{waits}{desk_agent.CLOSE}")
    session_id = server.start(project, play.agent, keep="better", researchers=2, max_iterations=14)
    server.wait_for(
        lambda: all((play.folder / task).exists() for task in ("P1-T2", "P1-T3")),
        "both are at work",
    )
    (step,) = (one for one in server.steps(session_id) if one["name"] == "researcher-2")
    asked = {"state": {"type": state}, "force": True}
    server.prefect.post(f"/flow_runs/{step['id']}/set_state", json=asked).raise_for_status()
    go.touch()
    session = server.session_ended(session_id)
    assert (session["status"], session["error"]) == ("completed", None)
    assert not agents(play)
    over = {one["id"]: one["state_type"] for one in server.steps(session_id)}[step["id"]]
    assert over in ("CANCELLED", "COMPLETED")


def agents(play: Play) -> list[int]:
    """Processes of the agents."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if str(play.folder) in " ".join(process.info["cmdline"] or []):
            found.append(process.pid)
    return found
