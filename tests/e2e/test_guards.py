"""Agents that break the rules, through the real server."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.project import TOML, git, make_project
from tests.support.script import STOP, Script, planned
from tests.support.server import Server, start_server

pytestmark = pytest.mark.e2e

EVALUATE = "print('score: 0.5')\n"
CHEAT = "print('score: 1.0')"
CREATE = """\
create() {
  curl -sf -H "X-Auth-Token: $WILDLOOP_AUTH_TOKEN" -H "Content-Type: application/json" \\
    -d "{\\"name\\": \\"$1\\", \\"command\\": \\"$2\\", \\"auto_start\\": true,
         \\"workdir\\": \\"$PWD\\", \\"chat_session_id\\": \\"$WILDLOOP_SESSION_ID\\"}" \\
    $WILDLOOP_SERVER_URL/runs |
    sed 's/.*"id":"\\([^"]*\\)".*/\\1/'
}
ended() {
  for i in $(seq 300); do
    curl -sf -H "X-Auth-Token: $WILDLOOP_AUTH_TOKEN" $WILDLOOP_SERVER_URL/runs/$1 |
      grep -qE '"status":"(finished|failed)"' && return
    sleep 0.2
  done
}
"""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all that is done against the rules here."""
    folder = tmp_path_factory.mktemp("guards")
    running = start_server(folder / "home", make_project(folder / "default"), slots=2)
    yield running
    running.stop()


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path / "script").reply(1, planned())


def make_judged_project(folder: Path) -> Path:
    """A project whose evaluation is protected."""
    project = make_project(folder, f'protected = ["evaluate.py", "data/**"]\n{TOML}')
    (project / "evaluate.py").write_text(EVALUATE)
    (project / "data").mkdir()
    (project / "data" / "test.bin").write_bytes(bytes(range(256)))
    (project / "train.py").write_text("print('score: 0.1')\n")
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", "evaluation")
    return project


def test_edited_evaluation_gains_nothing(guarded: Server, tmp_path: Path, script: Script) -> None:
    project = make_judged_project(tmp_path / "my projekt ü")
    script.shell(
        2,
        f"{CREATE}\n"
        f'echo "{CHEAT}" > evaluate.py; rm data/test.bin; echo easy > data/easy.bin\n'
        'ended $(create cheat "python evaluate.py")\n'
        'ended $(create inside "sleep 1; echo 1 >> evaluate.py; python evaluate.py")\n'
        f'echo "{CHEAT}" > evaluate.py\n'
        "echo '<summary>a great score</summary>'\n",
    )
    script.default(STOP)
    session = guarded.session_ended(guarded.start(project, script.agent, max_iterations=2))
    runs = {run["name"]: run for run in guarded.get("/runs", chat_session_id=session["session_id"])}
    assert runs["cheat"]["status"] == "finished"
    assert runs["cheat"]["metrics"]["score"] == 0.5
    manifest = json.loads((Path(runs["cheat"]["run_dir"]) / "manifest.json").read_text())
    assert "evaluate.py" in manifest["protected_restored"]
    assert runs["inside"]["status"] == "failed"
    assert "'evaluate.py'" in runs["inside"]["error"]
    assert "does not count" in runs["inside"]["error"]
    assert session["best"]["value"] == 0.5
    assert (project / "evaluate.py").read_text() == EVALUATE
    assert (project / "data" / "test.bin").read_bytes() == bytes(range(256))
    assert not (project / "data" / "easy.bin").exists()
    told = script.prompt(3)
    for name in ("evaluate.py", "data/test.bin", "data/easy.bin"):
        assert f"protected file '{name}' was" in told
    record = session["history"][1]
    assert len(record["breaches"]) == 3
    assert set(record["breaches"]) <= set(record["faults"])
    log = guarded.get(f"/wild/v2/iteration-log/{session['session_id']}")["log"]
    assert "protected file 'evaluate.py' was" in log
    assert CHEAT not in git(project, "log", "-p", "main..HEAD", "--", "evaluate.py")
    events = guarded.prefect.post(
        "/events/filter",
        json={"filter": {"event": {"name": ["wildloop.guard.breach"]}}, "limit": 10},
    ).json()["events"]
    assert any(
        event["resource"]["wildloop.session.id"] == session["session_id"] for event in events
    )
