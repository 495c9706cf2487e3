"""What an iteration changed, by real git."""

from pathlib import Path

import pytest

from tests.support.project import git, make_project
from wildloop.flows.git.history import (
    DIFF_LIMIT,
    difference,
    missing_tags_made,
    tag_commit,
    tag_name,
)
from wildloop.flows.models.session_record import IterationRecord

SESSION = "0123456789ab-session"


def commit(project: Path, name: str, text: str) -> str:
    path = project / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    git(project, "add", "-A")
    git(project, "commit", "-qm", name)
    return git(project, "rev-parse", "HEAD").strip()


def call(commit: str | None, turn: int = 1, **fields: object) -> IterationRecord:
    values = {"index": 3, "turn": turn, "started_at": 0, "commit": commit} | fields
    return IterationRecord.model_validate(values)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"kind": "planning", "index": 0}, "wild/01234567/plan"),
        ({}, "wild/01234567/iter-03"),
        ({"turn": 2}, "wild/01234567/iter-03.2"),
        ({"kind": "reflection"}, "wild/01234567/reflection-03"),
    ],
)
def test_names_of_tags(fields: dict[str, object], name: str) -> None:
    assert tag_name(SESSION, call(None, **fields)) == name


async def test_tag_outlives_its_branch_and_can_be_moved(project: Path) -> None:
    first = commit(project, "a.py", "1\n")
    await tag_commit(project, "wild/x/iter-01", first)
    git(project, "reset", "-q", "--hard", "HEAD~1")
    assert "+1" in git(project, "show", "wild/x/iter-01")
    second = commit(project, "a.py", "2\n")
    await tag_commit(project, "wild/x/iter-01", second)
    assert git(project, "rev-parse", "wild/x/iter-01").strip() == second


async def test_deleted_tags_are_made_again_and_others_left(project: Path) -> None:
    first = commit(project, "a.py", "1\n")
    second = commit(project, "a.py", "2\n")
    calls = [call(first, tag="wild/x/iter-01"), call(second, tag="wild/x/iter-02"), call(None)]
    assert await missing_tags_made(project, calls) == ["wild/x/iter-01", "wild/x/iter-02"]
    assert await missing_tags_made(project, calls) == []
    git(project, "tag", "-d", "wild/x/iter-01")
    assert await missing_tags_made(project, calls) == ["wild/x/iter-01"]
    assert git(project, "rev-parse", "wild/x/iter-01").strip() == first


async def test_calls_of_an_iteration_are_one_difference(project: Path) -> None:
    one = commit(project, "a.py", "1\n")
    commit(project, ".wild/sessions/s/tasks.md", "plan\n")
    two = commit(project, "b.py", "2\n")
    found = await difference(project, [call(one), call(two, 2)])
    assert "a.py" in found.diff
    assert "b.py" in found.diff
    assert "tasks.md" not in found.diff + found.stat
    assert "2 files changed" in found.stat
    assert found.command is not None
    assert found.command.startswith(f"git diff {git(project, 'rev-parse', f'{one}^')[:12]}")
    assert not found.is_cut


async def test_the_first_commit_and_a_long_diff_are_shown(repository: Path) -> None:
    git(repository, "config", "user.name", "T")
    git(repository, "config", "user.email", "t@localhost")
    first = commit(repository, "a.txt", "line\n" * DIFF_LIMIT)
    found = await difference(repository, [call(first)])
    assert (found.is_cut, len(found.diff)) == (True, DIFF_LIMIT)


async def test_what_cannot_be_shown_is_said(project: Path, tmp_path: Path) -> None:
    assert "no commit" in (await difference(project, [call(None)])).note
    faulty = call(None, troubles=["git commit failed: hook"])
    assert "hook" in (await difference(project, [faulty])).note
    assert "cannot be shown" in (await difference(project, [call("f" * 40)])).note
    own = commit(project, ".wild/sessions/s/log.md", "x\n")
    assert "changed no file" in (await difference(project, [call(own)])).note
    other = make_project(tmp_path / "other")
    assert "cannot be shown" in (await difference(other, [call(own)])).note
