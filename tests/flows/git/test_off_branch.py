"""An agent that leaves or rewrites the session's branch: what it did is brought back."""

import subprocess
from pathlib import Path

import pytest

from tests.support.repository import first_commit, sh, write
from wildloop.flows.git import repository
from wildloop.flows.git.off_branch import BroughtBack, bring_back
from wildloop.flows.git.process import GitError

BRANCH = "wild/s1"
LOG = ".wild/sessions/s1/iteration_log.md"


@pytest.fixture
def repo(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Main with one commit, the session's branch with two more and its log."""
    first_commit(repository, monkeypatch, {"train.py": "one\n"})
    sh(repository, "switch", "-qc", BRANCH)
    for number in (1, 2):
        write(repository / f"step{number}.py", f"{number}\n")
        write(repository / LOG, "entry\n" * number)
        sh(repository, "add", "-Af")
        sh(repository, "commit", "-qm", f"iteration {number}")
    return repository


async def back(repo: Path, tip: str) -> BroughtBack:
    """Bring back, and check what is right in every case."""
    main = sh(repo, "rev-parse", "main")
    made = await bring_back(repo, BRANCH, tip)
    assert made is not None
    assert sh(repo, "symbolic-ref", "--short", "HEAD") == BRANCH
    assert sh(repo, "rev-parse", "HEAD") == made.commit
    assert sh(repo, "status", "--porcelain") == ""
    sh(repo, "merge-base", "--is-ancestor", tip, "HEAD")
    assert sh(repo, "rev-parse", "main") == main
    assert (repo / LOG).read_text().startswith("entry\nentry\n")
    assert not list((repo / ".git").glob("wildloop-*"))
    assert sh(repo, "worktree", "list").count("\n") == 0
    return made


async def test_nothing_is_done_on_the_branch(repo: Path) -> None:
    write(repo / "new.py", "new\n")
    assert await bring_back(repo, BRANCH, sh(repo, "rev-parse", "HEAD")) is None
    sh(repo, "add", "-A")
    sh(repo, "commit", "-qm", "the agent's own commit")
    assert await bring_back(repo, BRANCH, sh(repo, "rev-parse", "HEAD~1")) is None


async def test_work_on_a_detached_head_is_brought_back(repo: Path) -> None:
    tip = sh(repo, "rev-parse", "HEAD")
    sh(repo, "checkout", "-q", "HEAD~1")
    write(repo / "b.py", "b\n")
    write(repo / "train.py", "edited\n")
    made = await back(repo, tip)
    assert "detached HEAD" in made.told
    assert (repo / "b.py").exists() and (repo / "step2.py").exists()
    assert (repo / "train.py").read_text() == "edited\n"
    assert {"b.py", "step2.py"} <= set(sh(repo, "ls-files").splitlines())


async def test_work_on_main_is_brought_back_and_main_stays(repo: Path) -> None:
    tip = sh(repo, "rev-parse", "HEAD")
    sh(repo, "switch", "-q", "main")
    write(repo / "d.py", "d\n")
    write(repo / LOG, "entry\nentry\nmine\n")
    made = await back(repo, tip)
    assert "branch main" in made.told
    assert (repo / "d.py").exists() and (repo / "step1.py").exists()
    assert (repo / LOG).read_text() == "entry\nentry\nmine\n"


async def test_commits_on_another_branch_are_on_the_session_s_too(repo: Path) -> None:
    tip = sh(repo, "rev-parse", "HEAD")
    sh(repo, "switch", "-qc", "idea", "main")
    write(repo / "idea.py", "idea\n")
    sh(repo, "add", "-A")
    sh(repo, "commit", "-qm", "an idea")
    idea = sh(repo, "rev-parse", "HEAD")
    write(repo / "train.py", "more\n")
    made = await back(repo, tip)
    sh(repo, "merge-base", "--is-ancestor", idea, "HEAD")
    assert sh(repo, "rev-parse", "idea") == idea
    assert idea[:7] in made.told and "idea holds commits" in made.told
    assert (repo / "train.py").read_text() == "more\n"


async def test_of_the_same_lines_the_working_tree_s_are_taken(repo: Path) -> None:
    write(repo / "train.py", "two\n")
    sh(repo, "commit", "-qam", "iteration 3")
    tip = sh(repo, "rev-parse", "HEAD")
    sh(repo, "checkout", "-q", "HEAD~1")
    write(repo / "train.py", "three\n")
    (repo / "step1.py").unlink()
    await back(repo, tip)
    assert (repo / "train.py").read_text() == "three\n"
    assert not (repo / "step1.py").exists()


async def test_a_file_deleted_there_and_changed_here_stays(repo: Path) -> None:
    write(repo / "step1.py", "changed\n")
    sh(repo, "commit", "-qam", "iteration 3")
    tip = sh(repo, "rev-parse", "HEAD")
    sh(repo, "checkout", "-q", "HEAD~1")
    (repo / "step1.py").unlink()
    await back(repo, tip)
    assert (repo / "step1.py").read_text() == "changed\n"


@pytest.mark.parametrize("how", ["reset", "amend", "branch -f"])
async def test_a_rewritten_branch_gets_its_history_back(repo: Path, how: str) -> None:
    tip = sh(repo, "rev-parse", "HEAD")
    if how == "reset":
        sh(repo, "reset", "-q", "--hard", "HEAD~2")
    elif how == "amend":
        write(repo / "step2.py", "amended\n")
        sh(repo, "commit", "-qa", "--amend", "-m", "amended")
    else:
        sh(repo, "checkout", "-q", "--detach")
        sh(repo, "branch", "-qf", BRANCH, "main")
    made = await back(repo, tip)
    if how != "branch -f":
        assert "was rewritten" in made.told
    # The files are as the agent has left them.
    assert (repo / "step2.py").exists() is (how != "reset")
    if how == "amend":
        assert (repo / "step2.py").read_text() == "amended\n"


async def test_a_deleted_branch_is_there_again(repo: Path) -> None:
    tip = sh(repo, "rev-parse", "HEAD")
    sh(repo, "switch", "-q", "main")
    sh(repo, "branch", "-qD", BRANCH)
    made = await back(repo, tip)
    assert "had been deleted" in made.told
    assert (repo / "step2.py").exists()


async def test_unrelated_history_is_brought_back(repo: Path) -> None:
    tip = sh(repo, "rev-parse", "HEAD")
    sh(repo, "switch", "-q", "--orphan", "fresh")
    write(repo / "fresh.py", "fresh\n")
    sh(repo, "add", "-A")
    sh(repo, "commit", "-qm", "fresh start")
    await back(repo, tip)
    assert (repo / "fresh.py").exists() and (repo / "step2.py").exists()


async def test_secrets_and_ignored_files_stay_where_they_are(repo: Path) -> None:
    tip = sh(repo, "rev-parse", "HEAD")
    sh(repo, "switch", "-q", "main")
    write(repo / ".env", "KEY=secret\n")
    write(repo / "node_modules" / "x.js", "x\n")
    made = await bring_back(repo, BRANCH, tip)
    assert made is not None
    assert (repo / ".env").read_text() == "KEY=secret\n"
    assert (repo / "node_modules" / "x.js").exists()
    assert ".env" not in sh(repo, "ls-tree", "-r", "--name-only", "HEAD")


async def test_it_may_be_done_again_after_a_crash_in_the_middle(repo: Path) -> None:
    tip = sh(repo, "rev-parse", "HEAD")
    sh(repo, "checkout", "-q", "HEAD~1")
    write(repo / "b.py", "b\n")
    first = await back(repo, tip)
    # As if HEAD had not been moved yet.
    sh(repo, "update-ref", "--no-deref", "HEAD", f"{tip}~1")
    sh(repo, "checkout", "-q", "--detach", f"{tip}~1")
    again = await bring_back(repo, BRANCH, first.commit)
    assert again is not None
    assert (repo / "b.py").exists()


async def test_the_middle_of_a_rebase_is_told_with_the_mend(repo: Path) -> None:
    tip = sh(repo, "rev-parse", "HEAD")
    sh(repo, "switch", "-qc", "other", "main")
    write(repo / "step1.py", "conflict\n")
    sh(repo, "add", "-A")
    sh(repo, "commit", "-qm", "other")
    with pytest.raises(subprocess.CalledProcessError):
        sh(repo, "rebase", BRANCH)
    with pytest.raises(GitError, match=r"a rebase is under way.*git switch wild/s1"):
        await bring_back(repo, BRANCH, tip)
    assert await repository.under_way(repo) == "rebase"


async def test_a_project_below_the_top_keeps_its_records(repo: Path) -> None:
    project = repo / "sub"
    write(project / LOG, "entry\nentry\n")
    sh(repo, "add", "-Af")
    sh(repo, "commit", "-qm", "a project")
    tip = sh(repo, "rev-parse", "HEAD")
    sh(repo, "reset", "-q", "--hard", "HEAD~1")
    made = await bring_back(project, BRANCH, tip)
    assert made is not None
    assert (project / LOG).read_text() == "entry\nentry\n"
