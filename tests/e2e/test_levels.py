"""What stands behind values in a session: a cheat stays claimed, a true gain is confirmed."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import pytest

from tests.support.pace import patient
from tests.support.project import git, make_project
from tests.support.script import STOP, Script, planned
from tests.support.server import Server
from wildloop.blocks.launchers import hiding
from wildloop.flows.files.sealed import SealedFolder, sealed_home

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
SECRET = "700"
TOML = """\
protected = ["evaluate.sh", "holdout.sh"]

[train]
command = "bash train.sh"

[metric]
name = "score"
direction = "max"

[confirm]
seeds = 3
further = 2

[holdout]
command = "bash holdout.sh"

[agent]
sandbox = "auto"
sandbox_writable = [%s]
"""
TRAIN = """\
. ./evaluate.sh
gain=0
for word in "$@"; do
  case $word in --seed=*) seed=${word#*=};; --gain=*) gain=${word#*=};; esac
done
cat '%s' && echo LEAKED
mkdir -p checkpoints; echo $gain > checkpoints/best; sleep 0.5; read gain < checkpoints/best
echo "gain=$gain; seed=$seed" > "$WILDLOOP_RUN_DIR/model.sh"
score $((700 + gain + seed %% 7))
"""
EVALUATE = 'score() { echo "score=0.$1"; }\n'
HOLDOUT = """\
. "$WILDLOOP_EVALUATED_RUN_DIR/model.sh"
echo "score=0.$(($(cat "$WILDLOOP_SEALED_DIR/secret.txt") - 50 + gain + seed % 5))"
"""
CHEAT = "echo '{\"score\": 0.999}' >> $WILDLOOP_RUN_DIR/metrics.jsonl"


def trials(gain: int, more: str = "") -> str:
    command = f"bash train.sh --gain={gain} --seed=%d{more}"
    return "".join(
        f"- goal: gain {gain}\n  command: |-\n    {command % seed}\n  gpus: 0\n"
        for seed in (1, 2, 3)
    )


def cli(server: Server, *words: str, project: Path) -> "subprocess.CompletedProcess[str]":
    """A `wildloop` command in the project."""
    env = server.env | {"WILDLOOP_SERVER_URL": server.url, "COLUMNS": "200"}
    return subprocess.run(
        ["wildloop", *words],
        env=env,
        cwd=project,
        capture_output=True,
        text=True,
        timeout=patient(120),
        check=False,
    )


class Ended:
    """A session with a hold-out in which a cheat, a gain and the baseline were tried."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.script = Script(folder / "script")
        # A checkout below the temporary folder, which a sandboxed agent has of its own, is let in.
        places = [self.script.folder, *([ROOT] if ROOT.is_relative_to(gettempdir()) else [])]
        listed = ", ".join(json.dumps(str(place)) for place in places)
        self.project = make_project(folder / "my projekt ü", TOML % listed)
        sealed = SealedFolder(server.home, self.project)
        secret = sealed.data / "secret.txt"
        files = {
            "train.sh": TRAIN % secret,
            "evaluate.sh": EVALUATE,
            "holdout.sh": HOLDOUT,
        }
        for name, text in files.items():
            (self.project / name).write_text(text)
        git(self.project, "add", "-A")
        git(self.project, "commit", "-q", "-m", "train")
        (folder / "secret.txt").write_text(SECRET)
        added = cli(server, "holdout", "add", str(folder / "secret.txt"), project=self.project)
        assert added.returncode == 0, added.stderr
        (folder / "secret.txt").unlink()
        block = trials(0) + trials(90) + trials(5, f"; {CHEAT}")
        self.script.reply(1, planned())
        self.script.shell(
            2,
            f"cat '{secret}' && echo LEAKED\n"
            f"cat <<'END'\n<summary>tried</summary>\n<experiments>\n{block}</experiments>\nEND\n",
        )
        self.script.reply(4, STOP)
        # Each run reads back what it has left at a fixed place: none may find another's.
        self.id = server.start(
            self.project, self.script.agent, max_iterations=2, isolation="snapshot"
        )
        self.session = server.session_ended(self.id)
        self.evidence = server.get(f"/wild/v2/evidence/{self.id}")

    def configuration(self, word: str) -> dict[str, Any]:
        """The one whose command has this word."""
        (one,) = (one for one in self.evidence["configurations"] if word in one["command"])
        return dict(one)


@pytest.fixture(scope="module")
def ended(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ended]:
    yield Ended(server, tmp_path_factory.mktemp("levels"))
    # Where something is sealed, every run of this server would be kept from it.
    shutil.rmtree(sealed_home(server.home))


def test_a_cheat_stays_claimed_and_a_true_gain_is_confirmed(ended: Ended) -> None:
    session = ended.session
    assert session["contract"]["source"] == "wildloop.toml"
    assert session["best"]["level"] == "confirmed"
    assert "gain=90" in session["best"]["configuration"]
    assert "confirmed by 3 runs of Wildloop's own" in session["headline"]
    assert "by 2 further seeds of each, which have decided nothing" in session["headline"]
    assert session["own_runs"] == 6 + 4 and session["runs"]["total"] == 9
    assert ended.configuration("metrics.jsonl")["level"] == "claimed"


def test_sealed_values_are_told_at_the_end_beside_those_of_validation(
    server: Server, ended: Ended
) -> None:
    report = server.get(f"/wild/v2/report/{ended.id}")["report"]
    is_hidden = hiding.why_not(sealed_home(server.home)) is None
    word = "sealed" if is_hidden else "hold-out, not sealed"
    for role, value in (("baseline", "0.65"), ("best", "0.74")):
        (line,) = (line for line in report.splitlines() if f"{word} score of the {role}" in line)
        assert value in line and "; validation 0.7" in line and "difference -0.0" in line
        assert line.count("95 % interval") == 2
    assert ("'sealed' is not claimed" in report) is not is_hidden
    logs = [server.get(f"/runs/{run['id']}/logs")["content"] for run in _runs(server, ended.id)]
    said = [*logs, *(path.read_text() for path in ended.script.folder.glob("prompt-*.md"))]
    assert logs and ("LEAKED" in "".join(said)) is not is_hidden


def test_verify_runs_the_best_again_on_fresh_seeds(server: Server, ended: Ended) -> None:
    done = cli(server, "verify", ended.id[:8], "--seeds", "2", "--json", project=ended.project)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["level"], found["runs_left"]) == ("confirmed", 0)
    assert len(found["estimate"]["values"]) == 5
    assert found["comparison"]["established"]
    assert len(found["comparison"]["theirs"]["values"]) == 5
    assert server.session(ended.id)["own_runs"] == 14
    # What a person runs again to see it is none of the session's evidence.
    report = server.get(f"/wild/v2/report/{ended.id}")["report"]
    again = re.search(r"wildloop rerun (\S+) --exact", report)
    assert again
    repeated = server.post(f"/runs/{again[1]}/rerun", {"exact": True})
    assert repeated["chat_session_id"] is None
    assert server.ended(repeated["id"])["metrics"] == server.get(f"/runs/{again[1]}")["metrics"]
    assert server.session(ended.id)["own_runs"] == 14


def test_verify_refuses_what_could_be_no_more_than_claimed(server: Server, ended: Ended) -> None:
    cheat = ended.configuration("metrics.jsonl")["runs"][0]["run_id"]
    done = cli(server, "verify", cheat, project=ended.project)
    assert done.returncode == 1
    assert "cannot be confirmed" in done.stderr and "not the project's" in done.stderr


def _runs(server: Server, session_id: str) -> list[dict[str, Any]]:
    return [
        run
        for owner in (session_id, f"{session_id}:confirm")
        for run in server.get("/runs", chat_session_id=owner, limit=100)
    ]
