"""Changes of several worktrees on one branch."""

import asyncio
from pathlib import Path

import pytest

from tests.support.project import git
from wildloop.flows.git.merging import (
    begin_worktree,
    end_worktree,
    merge_onto,
    put_on_branch,
    take_over,
)

LINES = "\n".join(f"line {number}" for number in range(12)) + "\n"


def commit(folder: Path, *, remove: str = "", **files: str) -> str:
    for name, text in files.items():
        (folder / name).write_text(text)
    if remove:
        (folder / remove).unlink()
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "change")
    return git(folder, "rev-parse", "HEAD").strip()


@pytest.fixture
def desk(project: Path, tmp_path: Path) -> Path:
    """A second worktree, as a researcher has one."""
    folder = tmp_path / "desk"
    base = commit(project, code=LINES, other="x\n")
    asyncio.run(begin_worktree(project, folder, "wild/x-r2", base))
    asyncio.run(begin_worktree(project, folder, "wild/x-r2", base))
    return folder


def test_a_change_comes_onto_what_was_kept_meanwhile_and_again_changes_nothing(
    project: Path, desk: Path
) -> None:
    base = git(desk, "rev-parse", "HEAD").strip()
    mine = commit(desk, code=LINES.replace("line 1\n", "mine\n"), new="n\n", remove="other")
    onto = commit(project, code=LINES.replace("line 10\n", "theirs\n"))
    found = asyncio.run(merge_onto(project, onto, base, mine))
    assert found.commit is not None and found == asyncio.run(merge_onto(project, onto, base, mine))
    assert git(project, "rev-parse", "HEAD").strip() == onto
    heads = [asyncio.run(put_on_branch(project, onto, found.commit, "kept")) for _ in range(2)]
    assert heads[0] == heads[1]
    text = (project / "code").read_text()
    assert "mine\n" in text and "theirs\n" in text
    assert (project / "new").read_text() == "n\n" and not (project / "other").exists()
    assert git(project, "status", "--porcelain") == ""
    assert git(project, "log", "--format=%s", f"{onto}..").splitlines() == ["kept"]


def test_a_change_of_the_same_lines_is_a_conflict_and_touches_nothing(
    project: Path, desk: Path
) -> None:
    base = git(desk, "rev-parse", "HEAD").strip()
    mine = commit(desk, code=LINES.replace("line 1\n", "mine\n"))
    onto = commit(project, code=LINES.replace("line 1\n", "theirs\n"))
    found = asyncio.run(merge_onto(project, onto, base, mine))
    assert found.commit is None and found.conflicts == ["code"]
    assert git(project, "status", "--porcelain") == ""


def test_what_changes_nothing_is_the_commit_itself(project: Path, desk: Path) -> None:
    base = git(desk, "rev-parse", "HEAD").strip()
    onto = commit(project, code=LINES.replace("line 1\n", "same\n"))
    mine = commit(desk, code=LINES.replace("line 1\n", "same\n"))
    assert asyncio.run(merge_onto(project, onto, base, mine)).commit == onto
    assert asyncio.run(merge_onto(project, onto, base, base)).commit == onto


def test_a_worktree_takes_the_branch_over_and_keeps_what_it_held(project: Path, desk: Path) -> None:
    mine = commit(desk, mine="m\n")
    (desk / "left").write_text("l\n")
    head = commit(project, theirs="t\n")
    made = asyncio.run(take_over(desk, head, "take over"))
    assert git(desk, "rev-parse", "HEAD").strip() == made
    assert sorted(path.name for path in desk.iterdir() if path.is_file()) == sorted(
        [".git", *git(desk, "ls-tree", "--name-only", head).split()]
    )
    assert git(desk, "show", f"{mine}:mine") == "m\n"
    assert git(desk, "merge-base", "--is-ancestor", mine, made) == ""
    assert git(desk, "log", "--full-history", "--format=%H", made, "--", "left").strip()
    (desk / "last").write_text("l\n")
    asyncio.run(end_worktree(project, desk, "at the end"))
    assert not desk.exists()
    assert git(project, "show", "wild/x-r2:last") == "l\n"
