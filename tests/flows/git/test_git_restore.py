"""Changes taken back in real repositories."""

import subprocess
from pathlib import Path

import pytest

from tests.support.project import git
from tests.support.repository import write
from wildloop.flows.git import restore
from wildloop.flows.git.history import tag_commit
from wildloop.flows.git.process import GitError
from wildloop.flows.git.repository import commit_all, head_commit


@pytest.fixture
def repo(repository: Path) -> Path:
    git(repository, "config", "user.name", "Ada")
    git(repository, "config", "user.email", "ada@example.org")
    write(repository / "train.py", "one\n")
    write(repository / "old.py", "old\n")
    write(repository / ".wild/sessions/s/tasks.md", "plan 1\n")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "start")
    return repository


async def change(repo: Path) -> tuple[str, str]:
    """A change of every kind; (the commit before, its commit)."""
    base = await head_commit(repo)
    write(repo / "train.py", "two\n")
    write(repo / "new dir/ü *.py", "new\n")
    write(repo / "exp/notes.md", "found\n")
    (repo / "old.py").unlink()
    write(repo / ".wild/sessions/s/tasks.md", "plan 2\n")
    made = await commit_all(repo, "change")
    assert base is not None
    return base, made.commit


async def test_the_project_is_as_before_and_the_session_is_not(repo: Path) -> None:
    base, made = await change(repo)
    taken = await restore.take_back(repo, base, made, "back", spared=["exp"])
    assert taken == await head_commit(repo)
    assert (repo / "train.py").read_text() == "one\n"
    assert (repo / "old.py").exists() and not (repo / "new dir").exists()
    assert (repo / "exp/notes.md").read_text() == "found\n"
    assert (repo / ".wild/sessions/s/tasks.md").read_text() == "plan 2\n"
    assert git(repo, "status", "--porcelain") == ""
    assert git(repo, "merge-base", "--is-ancestor", made, "HEAD") == ""


async def test_doing_it_again_changes_nothing(repo: Path) -> None:
    base, made = await change(repo)
    first = await restore.take_back(repo, base, made, "back for tag-1")
    assert await restore.take_back(repo, base, made, "back for tag-1") is None
    assert await head_commit(repo) == first
    assert await restore.find_commit(repo, made, "for tag-1") == first
    assert await restore.find_commit(repo, made, "for tag-2") is None


async def test_what_was_changed_since_is_in_the_history_or_stays(repo: Path) -> None:
    base, made = await change(repo)
    write(repo / "train.py", "three, by hand\n")
    write(repo / "mine.txt", "mine\n")
    git(repo, "add", "mine.txt")
    taken = await restore.take_back(repo, base, made, "back")
    assert taken is not None
    assert (repo / "train.py").read_text() == "one\n"
    assert (repo / "mine.txt").read_text() == "mine\n"
    assert git(repo, "show", f"{taken}~1:train.py") == "three, by hand\n"


async def test_a_merge_under_way_is_told_and_nothing_is_touched(repo: Path) -> None:
    base, made = await change(repo)
    git(repo, "switch", "-q", "-c", "other", base)
    write(repo / "train.py", "other\n")
    git(repo, "commit", "-q", "-am", "other")
    git(repo, "switch", "-q", "main")
    subprocess.run(["git", "-C", str(repo), "merge", "-q", "other"], check=False)
    with pytest.raises(GitError, match="merge is under way"):
        await restore.take_back(repo, base, made, "back")
    assert (repo / "new dir/ü *.py").exists()


async def test_a_project_below_the_repository_spares_its_own_paths(repo: Path) -> None:
    write(repo / "sub/train.py", "1\n")
    base = (await commit_all(repo, "sub")).commit
    write(repo / "sub/train.py", "2\n")
    write(repo / "sub/exp/a.md", "a\n")
    made = (await commit_all(repo, "more")).commit
    await restore.take_back(repo / "sub", base, made, "back", spared=["exp/"])
    assert (repo / "sub/train.py").read_text() == "1\n"
    assert (repo / "sub/exp/a.md").exists()


async def test_diff_and_names_leave_the_session_out(repo: Path) -> None:
    base, made = await change(repo)
    names = await restore.project_changes(repo, base, made)
    assert names == ["exp/notes.md", "new dir/ü *.py", "old.py", "train.py"]
    diff = await restore.project_diff(repo, base, made)
    assert "+two" in diff and "plan" not in diff


async def test_a_tag_can_be_set_again(repo: Path) -> None:
    base, made = await change(repo)
    for commit in (base, made, made):
        await tag_commit(repo, "wild/s/iter-01", commit)
    assert await restore.resolve(repo, "wild/s/iter-01") == made
    assert await restore.resolve(repo, "wild/s/iter-02") is None


async def taken_back(repo: Path) -> tuple[str, str]:
    """A change that was taken back, and one that was made since; (before, the first's commit)."""
    base, made = await change(repo)
    await restore.take_back(repo, base, made, "back", spared=["exp"])
    return base, made


async def test_the_code_of_an_earlier_commit_is_brought_as_a_new_one(repo: Path) -> None:
    base, made = await taken_back(repo)
    write(repo / "draft.py", "the user's\n")
    brought = await restore.bring_code(repo, made, "bring", [(base, made)])
    assert brought == await head_commit(repo)
    assert (repo / "train.py").read_text() == "two\n"
    assert (repo / "new dir/ü *.py").read_text() == "new\n" and not (repo / "old.py").exists()
    assert (repo / "draft.py").read_text() == "the user's\n", "no change of these has touched it"
    assert git(repo, "status", "--porcelain") == ""
    assert await restore.bring_code(repo, made, "bring", [(base, made)]) is None
    assert await head_commit(repo) == brought


async def test_what_is_spared_and_what_the_session_has_written_stay(repo: Path) -> None:
    base, made = await taken_back(repo)
    write(repo / "exp/notes.md", "later\n")
    write(repo / ".wild/sessions/s/tasks.md", "plan 3\n")
    await restore.bring_code(repo, made, "bring", [(base, made)], spared=["exp"])
    assert (repo / "exp/notes.md").read_text() == "later\n"
    assert (repo / ".wild/sessions/s/tasks.md").read_text() == "plan 3\n"


async def test_a_file_that_no_commit_holds_is_not_overwritten(repo: Path) -> None:
    base, made = await taken_back(repo)
    write(repo / ".git/info/exclude", "new dir/\n")
    write(repo / "new dir/ü *.py", "the user's own\n")
    before = await head_commit(repo)
    with pytest.raises(GitError, match="has content that no commit holds"):
        await restore.bring_code(repo, made, "bring", [(base, made)])
    assert await head_commit(repo) == before
    assert (repo / "new dir/ü *.py").read_text() == "the user's own\n"
    assert (repo / "train.py").read_text() == "one\n"
