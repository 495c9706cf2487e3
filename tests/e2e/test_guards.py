"""Agents that break the rules, through the real server."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.support.pace import patient
from tests.support.project import TOML, git, make_project
from tests.support.script import STOP, Script, planned
from tests.support.server import Server, start_server, wait_for

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
  for i in $(seq 3000); do
    curl -sf -H "X-Auth-Token: $WILDLOOP_AUTH_TOKEN" $WILDLOOP_SERVER_URL/runs/$1 |
      grep -qE '"status":"(finished|failed)"' && return
    sleep 0.5
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
    assert CHEAT not in git(project, "log", "-p", f"main..{session['branch']}", "--", "evaluate.py")

    def told_of() -> bool:
        events = guarded.prefect.post(
            "/events/filter",
            json={"filter": {"event": {"name": ["wildloop.guard.breach"]}}, "limit": 10},
        ).json()["events"]
        id = session["session_id"]
        return any(event["resource"]["wildloop.session.id"] == id for event in events)

    # Prefect writes events down some seconds after they come.
    wait_for(told_of, "the breach is an event", 30)


def test_experiment_started_by_the_agent_itself_is_told(
    guarded: Server, tmp_path: Path, script: Script
) -> None:
    project = make_judged_project(tmp_path / "project")
    (project / "train.py").write_text(f"import time; time.sleep({patient(5)})")
    git(project, "commit", "-qam", "slow")
    script.shell(2, "cat train.py; python train.py --lr 1; echo '<summary>trained</summary>'")
    script.default(STOP)
    session = guarded.session_ended(guarded.start(project, script.agent, max_iterations=2))
    breaches = session["history"][1]["breaches"]
    assert len(breaches) == 1
    assert "python train.py --lr 1" in breaches[0]
    assert breaches[0] in script.prompt(3)


LEAK = """\
printf '%s' "$WILDLOOP_AUTH_TOKEN" > leak.txt
echo "token $WILDLOOP_AUTH_TOKEN" >> "$WILDLOOP_TASKS_PATH"
echo "token $WILDLOOP_AUTH_TOKEN" > "$WILDLOOP_SESSION_DIR/notes.md"
python - <<'END'
import json, os, urllib.request, urllib.error
token = os.environ["WILDLOOP_AUTH_TOKEN"]
def ask(command):
    body = {"name": "leaky", "command": command, "workdir": os.getcwd(), "auto_start": True,
            "chat_session_id": os.environ["WILDLOOP_SESSION_ID"]}
    request = urllib.request.Request(os.environ["WILDLOOP_SERVER_URL"] + "/runs",
        json.dumps(body).encode(), {"X-Auth-Token": token, "Content-Type": "application/json"})
    try:
        return urllib.request.urlopen(request).read()
    except urllib.error.HTTPError as error:
        return error.read()
open("answers.txt", "wb").write(ask("echo " + token) + ask("cat leak.txt; exit 3"))
print("token", token, "<summary>it is " + token + "</summary>")
print("<experiments>\\n- goal: leak\\n  command: echo " + token + "\\n</experiments>")
END
echo "again $WILDLOOP_AUTH_TOKEN" >&2
for i in $(seq 100); do
  curl -sf "$WILDLOOP_SERVER_URL/wild/v2/system-health" | grep -q '"failed":[1-9]' && break
  sleep 0.2
done
"""


def test_leaked_token_is_found_nowhere(guarded: Server, tmp_path: Path, script: Script) -> None:
    project = make_judged_project(tmp_path / "project")
    script.shell(2, LEAK)
    script.default(STOP)
    token, words = guarded.token, set[str]()
    session_id = guarded.start(project, script.agent, max_iterations=2)

    def look() -> int:
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                words.update(process.cmdline())
        return len(words)

    session = guarded.session_ended(session_id, sign=look)
    assert session["status"] == "completed", session["error"]
    runs = guarded.get("/runs", chat_session_id=session_id)
    leaky = next(run for run in runs if run["command"] == "cat leak.txt; exit 3")
    answers = git(project, "show", f"{session['branch']}:answers.txt")
    assert "$WILDLOOP_AUTH_TOKEN instead" in answers
    assert any("leak.txt" in breach for breach in session["history"][1]["breaches"])
    places = {str(path): path.read_bytes() for path in project.rglob("*") if path.is_file()}
    places |= {f"prompt {number}": script.prompt(number).encode() for number in (1, 2, 3)}
    places |= {path.name: path.read_bytes() for path in (guarded.home / "logs").iterdir()}
    history = ["git", "-C", str(project), "log", "-p", "--all", "--text"]
    places["commits"] = subprocess.run(history, check=True, capture_output=True).stdout
    places["process list"] = "\n".join(words).encode()
    for path in (
        f"/runs/{leaky['id']}",
        f"/runs/{leaky['id']}/logs",
        f"/wild/v2/status?session_id={session_id}",
        f"/wild/v2/plan/{session_id}",
        f"/wild/v2/iteration-log/{session_id}",
        f"/wild/v2/report/{session_id}",
        f"/wild/v2/events/{session_id}",
    ):
        places[path] = guarded.http.get(path).content
    for kind in ("artifacts", "logs", "flow_runs", "task_runs"):
        places[kind] = guarded.prefect.post(f"/{kind}/filter", json={"limit": 200}).content
    assert b"iteration-01" in places["commits"]
    assert [name for name, text in places.items() if token.encode() in text] == []
