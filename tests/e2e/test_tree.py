"""Changes as a tree: what was taken back is gone on from, through the worker's death."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.project import git
from tests.support.script import Script, planned
from tests.support.server import Server
from tests.support.trials import TRAIN, kill_worker_at, measured

pytestmark = pytest.mark.e2e


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path / "script")


@pytest.fixture
def seen(tmp_path: Path) -> Path:
    """Where each call leaves the code that it has found."""
    folder = tmp_path / "seen"
    folder.mkdir()
    return folder


@pytest.fixture
def project(project: Path, seen: Path) -> Path:
    (project / "train.sh").write_text(TRAIN)
    # What the user lays there meanwhile is none of the session's changes.
    hook = f"if [ -e {seen}/4 ] && [ ! -e draft.md ]; then echo mine | tee draft.md own.txt; fi"
    with (project / "wildloop.toml").open("a") as file:
        file.write(f"\n[hooks]\nafter_iteration = {json.dumps(hook)}\n")
    (project / ".git/info/exclude").write_text("own.txt\n")
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", "train")
    return project


def asking(edit: str, summary: str, start: str) -> str:
    """A call that is measured, and wants the next iteration to begin there."""
    ends = f"<start_from>{start}</start_from>\nEND\n"
    return measured(edit, summary).removesuffix("END\n") + ends


def test_a_change_that_was_taken_back_is_gone_on_from_and_kept(
    server: Server, project: Path, script: Script, seen: Path
) -> None:
    killed = kill_worker_at(server, project, comes="base=801", over="base=900")

    def look(number: int) -> str:
        return f"cp train.sh {seen}/{number}; ls lib > {seen}/{number}.lib 2>&1; "

    script.reply(1, planned())
    script.shell(2, measured("", "P1-T1: the baseline"))
    hair = "sed -i s/base=800/base=801/ train.sh; mkdir -p lib; echo x > lib/new.sh"
    script.shell(3, measured(hair, "P1-T2: a hair more"))
    wide = look(4) + "sed -i s/base=800/base=900/ train.sh"
    script.shell(4, asking(wide, "P1-T3: wide", "iteration-02"))
    more = look(5) + "sed -i s/base=801/base=950/ train.sh"
    script.shell(5, asking(more, "P2-T1: a hair, then more", "feedfeed"))
    worse = look(6) + "sed -i s/base=950/base=700/ train.sh"
    script.shell(6, asking(worse, "P2-T2: worse", "3"))
    script.shell(7, f"{look(7)}echo '<summary>P2-T3: looked at it</summary>'")
    session_id = server.start(project, script.agent, keep="better", max_iterations=6)
    session = server.session_ended(session_id)
    assert (session["status"], session["error"]) == ("completed", None)
    assert killed.exists()

    rows = server.get(f"/wild/v2/results/{session_id}")["rows"]
    statuses = [row["status"] for row in rows]
    assert statuses == ["keep", "discard", "keep", "keep", "discard", "discard"]
    assert "began with the code of iteration-03, so the best's is put back" in rows[-1]["why"]
    # Each call found the code of the node that was asked for, and all of it.
    for number, base in ((4, 800), (5, 801), (6, 950), (7, 900)):
        assert f"base={base}" in (seen / str(number)).read_text()
    lib = {number: "new.sh" in (seen / f"{number}.lib").read_text() for number in range(4, 8)}
    assert lib == {4: False, 5: True, 6: True, 7: False}
    # At the end the best lies there, and the user's own files.
    branch = session["branch"]
    assert "base=950" in git(project, "show", f"{branch}:train.sh")
    assert git(project, "show", f"{branch}:lib/new.sh") == "x\n"
    assert git(project, "show", f"{branch}:draft.md") == "mine\n"
    assert (project / "own.txt").read_text() == "mine\n"

    # History is one line that holds everything, and the code was brought once.
    subjects = git(project, "log", "--format=%s", branch).splitlines()
    assert sorted(one for one in subjects if "begins with the code of" in one) == [
        "wild: iteration-04: begins with the code of iteration-02",
        "wild: iteration-06: begins with the code of iteration-03",
    ]
    assert git(project, "log", "--merges", "--format=%s", branch) == ""
    for row in rows:
        assert git(project, "merge-base", "--is-ancestor", row["commit"], branch) == ""

    assert "'feedfeed' is no change of this session that can be gone back to" in script.prompt(6)
    assert "The files are those of iteration-02" in script.prompt(5)
    assert "The files are those of iteration-03" in script.prompt(7)
    assert "Where to go on from" not in script.prompt(4)
    check_tree(server, session_id, rows)
    check_commands(server, session_id)
    report = server.get(f"/wild/v2/report/{session_id}")["report"]
    assert "## Tree of changes" in report and "](<plots/tree.png>)" in report
    assert "1 of them began with code that had been taken back" in report


def check_tree(server: Server, session_id: str, rows: list[dict[str, object]]) -> None:
    """Who began with what, with the numbers of the ledger."""
    nodes = server.get(f"/wild/v2/tree/{session_id}")["nodes"]
    assert {one["id"]: (one["parent"], one["outcome"]) for one in nodes} == {
        "start": (None, "start"),
        "iteration-02": ("start", "discarded"),
        "iteration-03": ("start", "kept"),
        "iteration-04": ("iteration-02", "kept"),
        "iteration-05": ("iteration-04", "discarded"),
    }
    ledger = {f"iteration-{row['iteration']:02d}": row for row in rows}
    for one in nodes[1:]:
        row = ledger[one["id"]]
        assert (one["gain"]["gain"], one["value"]["mean"]) == (row["gain"], row["metric"])
        assert (one["level"], one["tag"]) == (row["level"], row["tag"])
        assert one["commit"].startswith(row["commit"])
    assert [one["id"] for one in nodes if one["is_best"]] == ["iteration-04"]


def check_commands(server: Server, session_id: str) -> None:
    """`wildloop tree` draws what the API tells."""
    env = server.env | {"WILDLOOP_SERVER_URL": server.url, "COLUMNS": "100"}

    def printed(*words: str) -> str:
        command = ["wildloop", "tree", session_id, *words]
        done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
        return done.stdout

    assert json.loads(printed("--json")) == server.get(f"/wild/v2/tree/{session_id}")
    text = printed()
    assert "iteration-04 kept (best, here)" in text
    heads = [line for line in text.splitlines() if "─ iteration-" in line]
    assert [line.split("─ ")[1][:12] for line in heads] == [
        f"iteration-{number:02d}" for number in (2, 4, 5, 3)
    ]
    depth = [line.index("iteration-") for line in heads]
    assert depth[0] < depth[1] < depth[2] and depth[3] == depth[0]


def test_a_session_that_keeps_everything_says_that_nothing_is_gone_back_to(
    server: Server, project: Path, script: Script
) -> None:
    script.reply(1, planned())
    script.shell(2, asking("", "P1-T1: the baseline", "start"))
    session_id = server.start(project, script.agent, max_iterations=2)
    assert server.session_ended(session_id)["status"] == "completed"
    assert "<start_from> is for sessions that keep only what is better" in script.prompt(3)


def test_the_policy_goes_back_to_what_was_nearly_as_good(
    server: Server, project: Path, script: Script, seen: Path
) -> None:
    script.reply(1, planned())
    tries = {2: 800, 3: 900, 4: 899, 5: 700, 6: 910}
    for number, base in tries.items():
        edit = f"cp train.sh {seen}/{number}; sed -i 's/base=[0-9]*/base={base}/' train.sh"
        script.shell(number, measured(edit, f"try {base}"))
    options = {"keep": "better", "explore": "tree", "max_iterations": 5}
    session_id = server.start(project, script.agent, **options)
    assert server.session_ended(session_id)["status"] == "completed"
    found = {number: (seen / str(number)).read_text().partition("base=")[2][:3] for number in tries}
    assert found == {2: "800", 3: "800", 4: "900", 5: "900", 6: "899"}
    tree = server.get(f"/wild/v2/tree/{session_id}")
    assert (tree["keep"], tree["explore"]) == ("better", "tree")
    assert {one["id"]: one["parent"] for one in tree["nodes"]}["iteration-05"] == "iteration-03"
    told = script.prompt(6).partition("## Where to go on from")[2]
    assert "iteration-03 (discarded) has the highest upper confidence bound" in told
    assert "nothing has begun there yet" in told
    # The table offers the next ones, but for the last iteration, after which nothing begins.
    assert "<start_from>ID</start_from>" in script.prompt(5)
    assert "<start_from>ID</start_from>" not in script.prompt(6)
    assert "## Where to go on from" not in script.prompt(2)
