"""Keep or discard, and snapshots of the code, with an agent that replies by script."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.pace import patient
from tests.support.project import git
from tests.support.script import Script, planned
from tests.support.server import Server
from tests.support.told import people_told
from tests.support.trials import TRAIN, kill_worker_at, measured
from wildloop.flows.keep.ledger import read_ledger

pytestmark = pytest.mark.e2e


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path / "script")


@pytest.fixture
def project(project: Path) -> Path:
    (project / "train.sh").write_text(TRAIN)
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", "train")
    return project


def test_better_is_kept_and_worse_crashed_and_noise_are_taken_back(
    server: Server, project: Path, script: Script
) -> None:
    killed = kill_worker_at(server, project, comes="base=900", over="base=500")
    script.reply(1, planned())
    script.shell(2, measured("", "P1-T1: the baseline"))
    script.shell(3, measured("sed -i s/base=800/base=900/ train.sh", "P1-T2: twice\tas wide"))
    script.shell(
        4,
        measured(
            "sed -i 's/base=900/base=500/' train.sh; echo 'seed=1' > seeds.sh; mkdir -p lib; "
            "echo x > lib/new.sh",
            "P1-T3: another optimiser",
        ),
    )
    script.shell(5, measured("sed -i 1iexit train.sh; sed -i '1s/$/ 3/' train.sh", "P2-T1: breaks"))
    script.shell(6, measured("sed -i s/base=900/base=901/ train.sh", "P2-T2: a hair more"))
    script.shell(7, "echo notes > notes.txt; echo '<summary>P2-T3: wrote notes</summary>'")
    session_id = server.start(project, script.agent, keep="better", max_iterations=6)
    session = server.session_ended(session_id)
    assert (session["status"], session["error"]) == ("completed", None)
    assert killed.exists()
    # Planning, six iterations, the last reflection.
    assert script.calls() == 8

    found = server.get(f"/wild/v2/results/{session_id}")
    statuses = [(row["iteration"], row["status"]) for row in found["rows"]]
    assert statuses == [
        (1, "keep"),
        (2, "keep"),
        (3, "discard"),
        (4, "crash"),
        (5, "discard"),
        (6, "keep"),
    ]
    baseline, wide, worse, crash, hair, notes = found["rows"]
    assert baseline["metric"] == pytest.approx(0.80133, abs=1e-4)
    assert wide["p"] < 0.001 and wide["test"] == "Welch t" and wide["seeds"] == "1,2,3"
    assert worse["gain"] < 0 and hair["p"] > 0.05
    assert "seed edited" in worse["warnings"]
    assert crash["metric"] is None and "no configuration" in crash["why"]
    assert notes["n"] == 0 and "not measured" in notes["why"]
    assert found["best"]["iteration"] == 2 and found["best"]["commit"].startswith(wide["commit"])

    people = people_told(server, session_id, "best", "ended")
    assert people["best"]["best"]["id"] == session["best"]["id"]
    assert people["ended"]["headline"] == session["headline"]

    table = Path(found["results_path"]).read_text()
    rows = read_ledger(table)
    assert [row["status"] for row in rows] == [status for _, status in statuses]
    assert rows[1]["description"] == "P1-T2: twice as wide"

    branch = session["branch"]
    assert git(project, "show", f"{branch}:train.sh") == TRAIN.replace("800", "900")
    left = git(project, "ls-tree", "--name-only", branch).splitlines()
    assert "notes.txt" in left and "lib" not in left and "seeds.sh" not in left
    assert git(project, "branch", "--show-current").strip() == "main"
    assert (project / "train.sh").read_text() == TRAIN
    assert git(project, "status", "--porcelain") == ""
    for row in found["rows"]:
        assert git(project, "rev-parse", row["tag"]).startswith(row["commit"])
    assert "base=500" in git(project, "show", f"{worse['tag']}:train.sh")
    assert git(project, "show", f"{worse['tag']}:lib/new.sh") == "x\n"
    taken = git(project, "log", "--format=%s", f"main..{branch}").count("its change is taken back")
    assert taken == 3
    for row in (worse, crash, hair):
        assert "base=900" in git(project, "show", f"{row['reverted_by']}:train.sh")
    assert len(server.get("/runs", chat_session_id=session_id)) == 15

    assert "Nothing is measured yet" in script.prompt(2)
    assert "iteration-02: **keep**: better" in script.prompt(4)
    told = script.prompt(5)
    assert "iteration-03: **discard**: not shown to be better" in told
    assert f"wild/{session_id[:8]}/iter-03" in told
    assert "a changed seed is no improvement" in told
    assert "| taken back |" in told
    assert "iteration-04: **crash**" in script.prompt(6)
    assert "**0.90133 ± 0.0047 (n=3)**" in script.prompt(7)
    assert "Stands: score 0.90133 ± 0.0047 (n=3)" in script.prompt(7)
    log = server.get(f"/wild/v2/iteration-log/{session_id}")["log"]
    assert log.count("## iteration-03: discard") == 1
    report = server.get(f"/wild/v2/report/{session_id}")["report"]
    assert "3 keep, 2 discard, 1 crash" in report
    shown = cli(server, "results", session_id)
    assert "discard" in shown and "best: 0.90133" in shown
    assert json.loads(cli(server, "results", session_id, "--json")) == found
    taken_home(server, project, session_id)


def taken_home(server: Server, project: Path, session_id: str) -> None:
    """What was kept becomes a branch on a main that has moved on, with the best's value."""
    (project / "README.md").write_text("main goes on\n")
    git(project, "add", "README.md")
    git(project, "commit", "-q", "-m", "main goes on")
    (project / "dirty.txt").write_text("mine\n")
    head, status = git(project, "rev-parse", "HEAD"), git(project, "status", "--porcelain")
    check = 'bash train.sh --seed=1 | grep "score=0[.]"'
    told = cli(server, "take", session_id[:8], "--check", check, "--run", "--json")
    taken = json.loads(told)
    branch = f"take/{session_id[:8]}"
    assert (taken["branch"], taken["onto"], taken["refused"]) == (branch, "main", [])
    assert git(project, "log", "--reverse", "--format=%s %an", f"main..{branch}").splitlines() == [
        "twice as wide Tester",
        "wrote notes Tester",
    ]
    assert taken["ran"]["is_within"] and taken["ran"]["value"] == pytest.approx(0.9, abs=0.01)
    assert server.get(f"/runs/{taken['ran']['run_id']}")["chat_session_id"] is None
    assert len(server.get("/runs", chat_session_id=session_id)) == 15
    changed = git(project, "diff", "--name-only", f"main...{branch}").splitlines()
    assert changed == ["notes.txt", "train.sh"]
    message = git(project, "log", "-1", "--format=%B", f"{branch}~1")
    assert "score: 0.80133 ± 0.0047 (n=3) -> 0.90133 ± 0.0047 (n=3)" in message
    assert message.count("Wildloop-Run: ") == 3 and "level: claimed" in message
    text = Path(taken["pull_request"]).read_text()
    assert "as in the night" in text and text.count("another optimiser") == 1
    assert [one["label"] for one in taken["not_needed"]] == ["iteration-01"]
    assert git(project, "status", "--porcelain") == status
    assert git(project, "rev-parse", "HEAD") == head


def test_a_queued_run_executes_the_code_of_its_creation(
    server: Server, project: Path, script: Script
) -> None:
    go = project.parent / "go"
    blockers = [server.run(f'until [ -e "{go}" ]; do sleep 0.2; done') for _ in range(2)]
    for run in blockers:
        server.reaches(run["id"], "running")
    script.reply(1, planned())
    body = json.dumps(
        {
            "name": "old code",
            "workdir": str(project),
            "command": "touch left.ckpt; cat data/numbers.csv; bash train.sh --seed=1",
            "auto_start": True,
            "chat_session_id": "SESSION",
        }
    )
    script.shell(
        2,
        "mkdir data; echo data > .gitignore; echo 42 > data/numbers.csv\n"
        f"body='{body}'\n"
        'curl -sf -H "X-Auth-Token: $WILDLOOP_AUTH_TOKEN" -H "Content-Type: application/json" '
        '-d "${body/SESSION/$WILDLOOP_SESSION_ID}" $WILDLOOP_SERVER_URL/runs > /dev/null\n'
        "sed -i s/base=800/base=900/ train.sh\n"
        "echo '<summary>edited meanwhile</summary>'\n",
    )
    script.reply(3, "<summary>heard</summary>")
    session_id = server.start(
        project,
        script.agent,
        isolation="snapshot",
        keep="better",
        max_iterations=1,
        wait_seconds=600,
    )
    server.wait_for(lambda: server.session(session_id)["phase"] == "waiting", "the session waits")
    (queued,) = server.get("/runs", chat_session_id=session_id)
    assert queued["status"] == "queued"
    assert "base=900" in (project / "train.sh").read_text()
    assert "Where runs execute" in script.prompt(2)
    # The decision waits for the run; a steer is heard meanwhile, in the same iteration.
    server.post("/wild/v2/steer", {"context": "Mind the gap", "session_id": session_id})
    server.wait_for(lambda: script.calls() == 3, "the steer is heard")
    assert "Mind the gap" in script.prompt(3)
    go.touch()
    ended = server.ended(queued["id"])
    assert (ended["status"], ended["metrics"]) == ("finished", {"score": 0.803})
    assert "42" in server.get(f"/runs/{queued['id']}/logs")["content"]
    session = server.session_ended(session_id)
    assert session["status"] == "completed"
    calls = [step for step in session["history"] if step["kind"] == "iteration"]
    assert [(step["index"], step["turn"]) for step in calls] == [(1, 1), (1, 2)]
    manifest = json.loads((Path(ended["run_dir"]) / "manifest.json").read_text())
    assert manifest["git_commit"] == ended["git_commit"]
    assert Path(manifest["worktree"]).parent == project / ".wild/worktrees"
    assert "base=800" in git(project, "show", f"{manifest['snapshot']}:train.sh")
    # Its output is where it was; the code has gone from there.
    assert [path.name for path in Path(manifest["worktree"]).iterdir()] == ["left.ckpt"]
    assert len(git(project, "worktree", "list").splitlines()) == 1
    (row,) = server.get(f"/wild/v2/results/{session_id}")["rows"]
    other = "other code than this iteration has left, so another configuration: old code"
    assert other in str(row["warnings"])
    again = server.post(f"/runs/{queued['id']}/rerun", {"exact": True})
    assert server.ended(again["id"])["metrics"] == {"score": 0.803}
    git(project, "switch", "-q", session["branch"])
    later = server.post(f"/runs/{queued['id']}/rerun")
    assert server.ended(later["id"])["metrics"] == {"score": 0.903}


def cli(server: Server, *words: str) -> str:
    """The output of a `wildloop` command."""
    env = server.env | {"WILDLOOP_SERVER_URL": server.url, "COLUMNS": "200"}
    done = subprocess.run(
        ["wildloop", *words],
        env=env,
        capture_output=True,
        text=True,
        timeout=patient(60),
        check=True,
    )
    return done.stdout
