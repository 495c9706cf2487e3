"""A night taken home: real repositories, the ideas and the main branch that moved on meanwhile."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from tests.support.night import BRANCH, OWN, SESSION, Night, put, state_of
from tests.support.project import git
from tests.support.repository import first_commit, sh
from wildloop.flows.errors import Conflict, InvalidRequest
from wildloop.flows.models.take import NightView, Taken
from wildloop.flows.take.home import take_home
from wildloop.flows.take.place import Wanted
from wildloop.flows.take.request import request_text

NEW = f"take/{SESSION[:8]}"
# One setting a block, so that what changes two of them goes together.
SETTINGS = "".join(f"setting{n}=0\n# .\n# {n}\n# .\n" for n in range(1, 12))
TRAIN = (
    "# .\n# .\n"
    + SETTINGS
    + 'echo "score=0.$((10'
    + "".join(f"+setting{n}" for n in range(1, 12))
    + '))"\n'
)
CHECK = 'bash train.sh | grep -q "^score=0[.][0-9]*$"'
TOML = f"[checks]\ncommands = ['{CHECK}']\n[keep]\nspare = ['notes']\n"


@pytest.fixture
def root(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    files = {"train.sh": TRAIN, "wildloop.toml": TOML, "lib/a.sh": "a\n" * 30, "old.txt": "old\n"}
    return first_commit(repository, monkeypatch, files)


def home(night: NightView, **wanted: object) -> Taken:
    return asyncio.run(take_home(night, Wanted(**wanted)))  # type: ignore[arg-type]


def setting(root: Path, number: int, value: int = 1) -> dict[str, str | bytes | None]:
    text = (root / "train.sh").read_text()
    before = next(line for line in text.splitlines() if line.startswith(f"setting{number}="))
    return {"train.sh": text.replace(f"{before}\n", f"setting{number}={value}\n")}


def log(root: Path, branch: str = NEW) -> list[str]:
    return sh(root, "log", "--reverse", "--format=%s", f"main..{branch}").splitlines()


def files_of(root: Path, commit: str) -> set[str]:
    told = sh(root, "show", "--no-renames", "--format=", "--name-only", commit)
    return set(told.splitlines())


def run(root: Path, commit: str, tmp_path: Path) -> str:
    place = tmp_path / "looked at" / commit
    sh(root, "worktree", "add", "-q", "--detach", str(place), commit)
    done = subprocess.run(["bash", "train.sh"], cwd=place, check=True, capture_output=True)
    return done.stdout.decode().strip()


def test_ten_kept_and_ten_discarded_onto_a_main_that_moved_on(root: Path, tmp_path: Path) -> None:
    night = Night(root)
    for number in range(1, 11):
        night.idea(f"idea {number} helps", setting(root, number))
        worse = setting(root, number, -5) | {f"lib/new{number}.sh": "exit 1\n"}
        night.idea(f"idea {number} does not", worse, keep=False)
    best = subprocess.run(["bash", "train.sh"], cwd=root, check=True, capture_output=True).stdout
    night.ends()
    # Main goes on: a merge commit, a rename, lines between those of the night, uncommitted work.
    sh(root, "switch", "-qc", "side")
    sh(root, "mv", "lib/a.sh", "lib/b.sh")
    sh(root, "commit", "-qm", "rename")
    sh(root, "switch", "-q", "main")
    text = "# a new head\n\n" + (root / "train.sh").read_text().replace("# 7\n", "# seven\n")
    put(root, {"train.sh": text, "other.txt": "1\n"})
    sh(root, "add", "-A")
    sh(root, "commit", "-qm", "main goes on")
    sh(root, "merge", "-q", "--no-ff", "-m", "merge side", "side")
    put(root, {"other.txt": "dirty\n", "untracked.txt": "mine\n", "train.sh": text + "# staged\n"})
    sh(root, "add", "train.sh")
    before = state_of(root)

    taken = home(night.view())

    assert taken.refused == [] and taken.is_whole and taken.branch == NEW
    assert log(root) == [f"idea {number} helps" for number in range(1, 11)]
    after = state_of(root)
    assert [one for one in after if one not in before] == [after[5]]
    assert after[5] == before[5].replace(
        "refs/heads/wild", f"refs/heads/{NEW} {taken.tip}\nrefs/heads/wild"
    )
    for one in taken.commits:
        assert files_of(root, one.commit) == {"train.sh"}
    values = [run(root, one.commit, tmp_path) for one in taken.commits]
    assert values == [f"score=0.{number}" for number in range(11, 21)]
    assert values[-1] == best.decode().strip() and taken.commits[-1].commit == taken.tip
    assert ".wild" not in sh(root, "ls-tree", "-r", "--name-only", NEW)
    assert git(root, "show", f"{NEW}:train.sh").startswith("# a new head\n")

    message = git(root, "log", "-1", "--format=%an <%ae> %at%n%B", f"{NEW}~8")
    assert message.startswith("me <me> 1700000003\nidea 2 helps\n")
    assert "score: 0.13 ± 0.001 (n=3) -> 0.14 ± 0.001 (n=3)\n" in message
    assert "keep: better: difference +0.01, p = 0.001" in message and "level: measured" in message
    trailers = sh(root, "log", "-1", "--format=%(trailers:key=Wildloop-Run,valueonly)", f"{NEW}~8")
    assert trailers.split() == ["run-3-1", "run-3-2", "run-3-3"]
    text = request_text(taken, night.view())
    assert text.startswith("# 10 ideas for score: Get score above 0.5\n")
    assert text.count("not shown to be better") == 10 and taken.commits[4].commit[:12] in text
    assert str(root) not in text


def test_a_conflict_is_told_and_the_ideas_before_it_are_there(root: Path) -> None:
    night = Night(root)
    night.idea("first", setting(root, 1))
    clash = night.idea("clashes", setting(root, 2) | {"old.txt": None})
    night.idea("third", setting(root, 3))
    night.ends()
    put(root, setting(root, 2, 7) | {"old.txt": "changed\n"})
    sh(root, "commit", "-qam", "main has another mind")
    taken = home(night.view())
    assert not taken.is_whole and taken.not_tried == ["iteration-03"]
    assert log(root) == ["first"]
    (refused,) = taken.refused
    assert (refused.label, refused.kind) == (clash.label, "conflict")
    assert {file.path: file.how for file in refused.files} == {
        "old.txt": "deleted by the idea, changed there",
        "train.sh": "both have changed it",
    }
    assert refused.files[0].commits[0].endswith("main has another mind")
    assert "conflict in 2 files" in request_text(taken, night.view())
    # Nothing is lost: the night's branch stays, and what is told to type brings the idea.
    assert sh(root, "rev-parse", clash.tag or "") == clash.commit
    sh(root, "switch", "-q", NEW)
    done = subprocess.run(["bash", "-c", refused.by_hand], cwd=root, capture_output=True, text=True)
    assert "CONFLICT" in done.stdout and "setting2=1" in (root / "train.sh").read_text()
    sh(root, "reset", "-q", "--hard", "main")

    taken = home(night.view(), branch="other/name", skip=True)
    assert log(root, "other/name") == ["first", "third"]
    assert not taken.is_whole and not taken.not_tried and len(taken.refused) == 1


def test_what_fails_a_check_is_not_on_the_branch(root: Path) -> None:
    night = Night(root)
    night.idea("fine", setting(root, 1))
    night.idea("breaks", {"train.sh": "exit 3\n"})
    night.ends()
    taken = home(night.view(), checks=["test -e train.sh", "echo left > side-effect"])
    assert log(root) == ["fine"] and taken.checks[1:] == [
        "test -e train.sh",
        "echo left > side-effect",
    ]
    (refused,) = taken.refused
    assert refused.kind == "check" and "grep -q" in refused.said and not taken.is_whole
    taken = home(night.view(), branch="unchecked", with_checks=False)
    assert taken.is_whole and log(root, "unchecked") == ["fine", "breaks"]


def test_a_main_that_fails_its_own_check_is_told_so(root: Path) -> None:
    night = Night(root)
    night.idea("fine", setting(root, 1))
    night.ends()
    taken = home(night.view(), checks=["echo broken; false"], onto="main~0")
    assert taken.branch is None and taken.not_tried == []
    assert "main~0 itself fails its checks: `echo broken; false` failed (broken)" in str(
        taken.refused[0].said
    )
    assert NEW not in git(root, "branch", "--list")


def test_files_of_every_kind_come_along(root: Path) -> None:
    night = Night(root)
    binary = bytes(range(256)) * 40
    kept = night.idea(
        "every kind",
        {
            "data.bin": binary,
            "lib/a.sh": None,
            "lib/moved.sh": "a\n" * 30,
            "old.txt": None,
            "ünï code.txt": "x\n",
        },
    )
    (root / "train.sh").chmod(0o755)
    (root / "link").symlink_to("train.sh")
    night.idea("modes and links", {})
    module = root.parent / "module"
    sh(root, "clone", "-q", str(root), str(module))
    sh(root, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(module), "sub")
    night.idea("a submodule", {})
    night.idea("binary again", {"data.bin": binary[::-1]})
    night.ends()
    sh(root, "clean", "-ffdxq")
    (root / "lib/a.sh").write_text("a\n" * 29 + "b\n")
    sh(root, "commit", "-qam", "main edits what the night moves")
    taken = home(night.view())
    assert taken.is_whole and len(taken.commits) == 4
    assert git(root, "show", f"{NEW}:lib/moved.sh").endswith("a\nb\n")
    there = git(root, "ls-tree", "-r", "-z", NEW).split("\0")
    modes = {line.split("\t")[1]: line.split(" ")[0] for line in there if line}
    assert modes["train.sh"] == "100755" and modes["link"] == "120000" and modes["sub"] == "160000"
    assert "ünï code.txt" in modes and "old.txt" not in modes and "lib/a.sh" not in modes
    stored = subprocess.run(
        ["git", "-C", str(root), "show", f"{NEW}:data.bin"], check=True, capture_output=True
    )
    assert stored.stdout == binary[::-1]
    assert kept.commit is not None


def test_what_needs_no_commit_is_named_with_the_reason(root: Path) -> None:
    night = Night(root)
    night.idea("only parameters")
    night.idea("only bookkeeping", {f"{OWN}/notes.md": "x\n", "notes/day.md": "spared\n"})
    night.idea("soon undone", setting(root, 4))
    night.idea("undoes it", setting(root, 4, 0))
    night.idea("two calls", setting(root, 1), setting(root, 1, 2))
    night.idea("main has it", setting(root, 2))
    night.idea("no commit", {}, commit=None)
    night.idea("gone", {}, commit="f" * 40)
    night.ends()
    put(root, setting(root, 2))
    sh(root, "commit", "-qam", "the same by another hand")
    taken = home(night.view())
    assert log(root) == ["two calls"] and taken.is_whole
    assert {one.title: one.why for one in taken.not_needed} == {
        "only parameters": "it changed no file of the project",
        "only bookkeeping": "it changed no file of the project",
        "soon undone": "undone by iteration-04: after it every file is as it was before",
        "undoes it": "it undoes iteration-03: after it every file is as it was before",
        "main has it": "the branch has it already",
        "no commit": "it has no commit",
        "gone": "its commit ffffffffffff is not in this repository",
    }
    assert files_of(root, NEW) == {"train.sh"}
    assert "setting1=2" in git(root, "show", f"{NEW}:train.sh")


def test_what_no_idea_made_comes_before_the_idea_that_needs_it(root: Path) -> None:
    put(root, setting(root, 5, 3) | {"scratch.log": "mine\n"})
    sh(root, "stash", "-q", "--include-untracked")
    found = sh(root, "rev-parse", "stash@{0}")
    sh(root, "stash", "apply", "-q")
    night = Night(root)
    sh(root, "reset", "-q", "--soft", night.base)
    night.number, planned = 0, sh(root, "rev-parse", night.base)
    idea = night.idea("planned", setting(root, 1), base=planned)
    night.between(setting(root, 6, 2) | {"lib/results.csv": "1\n"})
    night.idea("stands on it", setting(root, 6, 4))
    night.between(setting(root, 7, 9))
    sh(root, "switch", "-qf", "main")
    sh(root, "clean", "-ffdxq")
    taken = home(night.view(found=found))
    assert taken.is_whole and idea.base == night.base
    assert log(root) == [
        "Work that was not committed when the night began",
        "planned",
        "Changes between iteration-01 and iteration-02 that no idea made",
        "stands on it",
    ]
    text = git(root, "show", f"{NEW}~2:train.sh")
    assert "setting5=3" in text and "setting1=1" in text
    assert "setting5=3" not in git(root, "show", f"{NEW}~2")
    assert "results.csv" not in sh(root, "ls-tree", "-r", "--name-only", NEW)
    assert "setting7=9" not in git(root, "show", f"{NEW}:train.sh")


REFUSED: list[tuple[dict[str, str], dict[str, object], type[Exception], str]] = [
    ({}, {"ideas": []}, Conflict, "has kept nothing"),
    ({}, {"is_active": True, "status": "running"}, Conflict, "--now"),
    ({}, {"workdir": "/nowhere/at/all"}, InvalidRequest, "not on this machine"),
    ({"onto": "nowhere"}, {}, InvalidRequest, "no branch or commit 'nowhere'"),
    ({"onto": "--all"}, {}, InvalidRequest, "no branch or commit '--all'"),
    ({}, {"base_branch": None}, InvalidRequest, "detached HEAD"),
    ({}, {"base_branch": None, "is_own_branch": False, "branch": "main"}, InvalidRequest, "itself"),
    ({}, {"base_branch": "gone"}, InvalidRequest, "no branch or commit 'gone'"),
    ({"branch": "main"}, {}, Conflict, "a branch 'main' already"),
    ({"branch": "main/below"}, {}, Conflict, "a branch 'main' already"),
    ({"branch": "wild"}, {}, Conflict, f"a branch '{BRANCH}' already"),
    ({"branch": "held"}, {}, Conflict, "a branch 'held' already"),
    ({"branch": "-x"}, {}, InvalidRequest, "'-x' is no name"),
    ({"branch": "a..b"}, {}, InvalidRequest, "'a..b' is no name"),
]


def test_what_cannot_be_is_refused_with_the_mend_and_changes_nothing(
    root: Path, tmp_path: Path
) -> None:
    night = Night(root)
    night.idea("first", setting(root, 1))
    night.ends()
    sh(root, "worktree", "add", "-q", "-b", "held", str(tmp_path / "held"))
    before = state_of(root)
    for wanted, fields, kind, said in REFUSED:
        with pytest.raises(kind, match=said):
            home(night.view(**fields), **wanted)
    assert state_of(root) == before


def test_a_session_that_goes_on_is_not_disturbed_and_gives_what_it_has_kept(root: Path) -> None:
    night = Night(root)
    night.idea("first", setting(root, 1))
    put(root, setting(root, 2) | {"new.txt": "half done\n"})
    before = state_of(root)
    taken = home(night.view(is_active=True, status="running"), now=True)
    assert taken.is_whole and log(root) == ["first"]
    after = state_of(root)
    assert after[:5] == before[:5] and after[0] == f"refs/heads/{BRANCH}"


def test_without_a_name_git_is_asked_for_one(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    night = Night(root)
    night.idea("first", setting(root, 1))
    night.ends()
    sh(root, "config", "--unset", "user.email")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    monkeypatch.delenv("EMAIL", raising=False)
    with pytest.raises(InvalidRequest, match=r"user\.email likewise"):
        home(night.view())


def test_hooks_run_when_they_are_asked_for(root: Path) -> None:
    night = Night(root)
    night.idea("first", setting(root, 1))
    night.idea("not by my hook", setting(root, 2))
    night.ends()
    hook = root / ".git/hooks/commit-msg"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text('#!/bin/sh\n! grep -q "by my hook" "$1" || { echo "no such title"; exit 1; }\n')
    hook.chmod(0o755)
    assert home(night.view()).is_whole
    taken = home(night.view(), branch="with-hooks", hooks=True)
    assert log(root, "with-hooks") == ["first"]
    assert taken.refused[0].kind == "hook" and "no such title" in taken.refused[0].said


def test_a_project_below_the_top_with_links_and_a_detached_head(root: Path, tmp_path: Path) -> None:
    put(root, {"sub/wildloop.toml": "[checks]\ncommands = ['cat data/numbers > /dev/null']\n",
               "sub/x.sh": "1\n", ".gitignore": "data\n"})  # fmt: skip
    sh(root, "add", "-A")
    sh(root, "commit", "-qm", "a project below")
    put(root, {"sub/data/numbers": "42\n"})
    night = Night(root)
    night.idea("inside", {"sub/x.sh": "2\n", "sub/.wild/sessions/x.md": "own\n"})
    night.ends()
    sh(root, "switch", "-q", "--detach", "main")
    before = state_of(root)[:5]
    taken = home(night.view(workdir=str(root / "sub")))
    assert taken.is_whole and files_of(root, NEW) == {"sub/x.sh"}
    assert state_of(root)[:5] == before
    assert (root / "sub/data/numbers").read_text() == "42\n"
