"""At a session's end the user has the branch, the files and the index of before."""

from pathlib import Path

import pytest

from tests.support.repository import first_commit, sh, write
from wildloop.flows.git import repository
from wildloop.flows.git.off_branch import bring_back
from wildloop.flows.git.user_checkout import give_back, remember

BRANCH = "wild/s1"
REPORT = ".wild/sessions/s1/report.md"


@pytest.fixture
def repo(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return first_commit(repository, monkeypatch, {"train.py": "one\n", "other.py": "one\n"})


async def session(repo: Path) -> None:
    """What a session does: a branch of its own, commits, its records."""
    await repository.start_branch(repo, BRANCH)
    await repository.commit_all(repo, "planning")
    write(repo / "train.py", "better\n")
    write(repo / "new.py", "new\n")
    write(repo / REPORT, "report\n")
    await repository.commit_all(repo, "iteration 1")


async def test_a_clean_checkout_is_given_back(repo: Path) -> None:
    before = await remember(repo, "s1")
    assert before is not None
    await session(repo)
    told = await give_back(repo, before, BRANCH)
    assert told == "main is checked out again, as it was before the session"
    assert sh(repo, "symbolic-ref", "--short", "HEAD") == "main"
    assert sh(repo, "status", "--porcelain") == ""
    assert (repo / "train.py").read_text() == "one\n" and not (repo / "new.py").exists()
    assert (repo / REPORT).read_text() == "report\n"
    assert REPORT in sh(repo, "ls-tree", "-r", "--name-only", BRANCH)


async def test_changes_that_were_not_committed_are_there_again(repo: Path) -> None:
    write(repo / "train.py", "staged\n")
    sh(repo, "add", "train.py")
    write(repo / "train.py", "dirty\n")
    write(repo / "note.txt", "untracked\n")
    (repo / "other.py").unlink()
    status = sh(repo, "status", "--porcelain")
    before = await remember(repo, "s1")
    assert before is not None
    assert sh(repo, "status", "--porcelain") == status
    await session(repo)
    await give_back(repo, before, BRANCH)
    assert sh(repo, "status", "--porcelain") == status
    assert (repo / "train.py").read_text() == "dirty\n"
    assert sh(repo, "show", ":train.py") == "staged"
    assert (repo / "note.txt").read_text() == "untracked\n"


async def test_a_detached_head_is_given_back(repo: Path) -> None:
    sh(repo, "checkout", "-q", "--detach")
    head = sh(repo, "rev-parse", "HEAD")
    before = await remember(repo, "s1")
    assert before is not None
    await session(repo)
    await give_back(repo, before, BRANCH)
    assert await repository.current_branch(repo) is None
    assert sh(repo, "rev-parse", "HEAD") == head
    assert sh(repo, "status", "--porcelain") == ""


async def test_a_branch_that_has_moved_on_is_checked_out_where_it_is(
    repo: Path, tmp_path: Path
) -> None:
    write(repo / "train.py", "dirty\n")
    before = await remember(repo, "s1")
    assert before is not None
    await session(repo)
    sh(repo, "worktree", "add", "-q", str(tmp_path / "elsewhere"), "main")
    write(tmp_path / "elsewhere" / "colleague.py", "x\n")
    sh(tmp_path / "elsewhere", "add", "-A")
    sh(tmp_path / "elsewhere", "commit", "-qm", "a colleague's")
    sh(repo, "worktree", "remove", str(tmp_path / "elsewhere"))
    told = await give_back(repo, before, BRANCH)
    assert (repo / "colleague.py").exists()
    assert sh(repo, "status", "--porcelain") == ""
    assert f"git checkout {before.files[:12]} -- ." in told
    assert sh(repo, "show", f"{before.files}:train.py") == "dirty"


async def test_what_was_left_out_by_sparse_checkout_is_not_deleted(repo: Path) -> None:
    for name in ("in/a", "out/b"):
        write(repo / name, "1\n")
    sh(repo, "add", "-A")
    sh(repo, "commit", "-qm", "two folders")
    sh(repo, "sparse-checkout", "set", "in")
    assert not (repo / "out").exists()
    before = await remember(repo, "s1")
    assert before is not None
    await repository.start_branch(repo, "wild/s1")
    tip = (await repository.commit_all(repo, "one")).commit
    sh(repo, "checkout", "-q", "--detach", "HEAD~1")
    write(repo / "in" / "off", "2\n")
    assert await bring_back(repo, "wild/s1", tip) is not None
    await repository.commit_all(repo, "two")
    assert "out/b" in sh(repo, "ls-tree", "-r", "--name-only", "HEAD").splitlines()
    await give_back(repo, before, "wild/s1")
    assert (sh(repo, "status", "--porcelain"), (repo / "out").exists()) == ("", False)
    assert sh(repo, "rev-parse", "--abbrev-ref", "HEAD") == before.branch


async def test_a_checkout_of_somebody_s_own_stays(repo: Path) -> None:
    before = await remember(repo, "s1")
    assert before is not None
    await session(repo)
    sh(repo, "switch", "-qc", "mine")
    assert await give_back(repo, before, BRANCH) == "HEAD stays on mine"
    assert sh(repo, "symbolic-ref", "--short", "HEAD") == "mine"


async def test_a_branch_that_is_gone_is_told(repo: Path) -> None:
    before = await remember(repo, "s1")
    assert before is not None
    await session(repo)
    sh(repo, "branch", "-qD", "main")
    told = await give_back(repo, before, BRANCH)
    assert told == f"branch main is gone, so {BRANCH} stays checked out"


async def test_the_next_session_begins_at_the_user_s_branch(repo: Path) -> None:
    before = await remember(repo, "s1")
    assert before is not None
    await session(repo)
    await give_back(repo, before, BRANCH)
    await repository.start_branch(repo, "wild/s2")
    write(repo / "second.py", "2\n")
    await repository.commit_all(repo, "iteration 1")
    names = sh(repo, "ls-tree", "-r", "--name-only", "HEAD").splitlines()
    assert "second.py" in names and "new.py" not in names
    assert sh(repo, "merge-base", "HEAD", BRANCH) == sh(repo, "rev-parse", "main")
