"""Several researchers on one session, with an agent that replies by the task it is given."""

import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import desk_agent
from tests.support.project import git
from tests.support.script import STOP, planned
from tests.support.server import Server

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
TRIALS = "".join(
    f"- goal: seed {seed}\n  command: bash train.sh\n  gpus: 0\n  parameters: {{seed: {seed}}}\n"
    for seed in (1, 2, 3)
)
CLOSE = 'sed -i "s|\\[.\\] \\[$TASK\\]|[x] [$TASK]|" "$WILDLOOP_TASKS_PATH"'


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
        block = f"<summary>{task}</summary>\n<experiments>\n{TRIALS}</experiments>\n"
        text = f"{before}\n{edit}\n{CLOSE}\ncat <<'END'\n{block}END\n"
        (self.folder / f"{task}.sh").write_text(text)

    def until_kept(self, line: str) -> str:
        """Shell that waits until the session's branch holds a line."""
        show = f"git -C '{self.project}' show HEAD:train.sh"
        return f"until {show} | grep -qx '{line}'; do sleep 0.2; done"


def verdicts(server: Server, session_id: str) -> dict[str, dict[str, Any]]:
    """The decisions by what they are about."""
    rows = server.get(f"/wild/v2/results/{session_id}")["rows"]
    return {row["description"]: row for row in rows}


def test_same_lines_become_a_task_and_a_gain_that_is_gone_on_merged_code_is_not_kept(
    server: Server, project: Path, tmp_path: Path
) -> None:
    play = Play(tmp_path / "play", project, both=100)
    play.measured("P1-T1", "true")
    play.measured("P1-T3", "sed -i s/base=800/base=820/ train.sh", play.until_kept("base=800"))
    play.measured("P2-T1", "sed -i s/base=800/base=840/ train.sh", play.until_kept("base=820"))
    session_id = server.start(project, play.agent, keep="better", researchers=2, max_iterations=14)
    session = server.session_ended(session_id)
    assert (session["status"], session["error"]) == ("completed", None)
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
