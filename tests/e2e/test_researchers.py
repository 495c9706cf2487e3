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
echo "score=0.$((base + 50 * one + 60 * two - BOTH * one * two + noise[seed]))"
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

    def __init__(self, folder: Path, project: Path, both: int = 0) -> None:
        self.folder, self.project = folder, project
        folder.mkdir()
        (folder / "planning.txt").write_text(planned())
        (folder / "reflection.txt").write_text(STOP)
        (project / "train.sh").write_text(TRAIN.replace("BOTH", str(both)))
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
    play = Play(tmp_path / "play", project, both=100)
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
    play = Play(tmp_path / "play", project, both=100)
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
    play = Play(tmp_path / "play", project)
    killed = kill_worker_in_a_merge(server, project)
    play.measured("P1-T1", "true")
    play.measured("P1-T3", "sed -i s/one=0/one=1/ train.sh", play.until_begun("P2-T1"))
    play.measured("P2-T1", "sed -i s/two=0/two=1/ train.sh", play.until_kept("one=1"))
    session_id = server.start(project, play.agent, keep="better", researchers=2, max_iterations=14)
    session = server.session_ended(session_id)
    assert (session["status"], session["error"]) == ("completed", None)
    assert killed.exists()
    found = verdicts(server, session_id)
    assert [found[task]["status"] for task in ("P1-T1", "P1-T3", "P2-T1")] == ["keep"] * 3
    assert "on the code merged with what was kept meanwhile" in found["P2-T1"]["why"]
    branch = session["branch"]
    code = git(project, "show", f"{branch}:train.sh")
    assert "one=1" in code and "two=1" in code
    merges = git(project, "log", "--format=%s", "--grep=^The change: ", branch).splitlines()
    assert [line.partition(": ")[2].partition(": ")[2] for line in merges] == ["P2-T1", "P1-T3"]
    assert len(server.get("/runs", chat_session_id=session_id)) == 12


def kill_worker_in_a_merge(server: Server, project: Path) -> Path:
    """A git filter that ends the worker while a change is put on the session's branch."""
    killed = project.parent / "killed"
    kill = project.parent / "kill.sh"
    pid = server.child("wildloop.flows.worker.main").pid
    kill.write_text(
        "text=$(cat; echo x)\n"
        f'if [ "$PWD" = "{project}" ] && [ ! -e "{killed}" ] && [[ "$text" == *two=1* ]]; then\n'
        f'  touch "{killed}"; kill -9 {pid}; exit 1\nfi\n'
        'printf %s "${text%x}"\n'
    )
    git(project, "config", "filter.kill.smudge", f"bash '{kill}'")
    (project / ".git/info/attributes").write_text("train.sh filter=kill\n")
    return killed


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


def agents(play: Play) -> list[int]:
    """Processes of the agents."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if str(play.folder) in " ".join(process.info["cmdline"] or []):
            found.append(process.pid)
    return found
