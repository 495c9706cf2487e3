"""The user's branch and hooks are the user's, whatever an agent checks out."""

import subprocess
from pathlib import Path

import pytest

from tests.support.project import git
from tests.support.script import Script, planned
from tests.support.server import Server

pytestmark = pytest.mark.e2e


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path / "script")


def refuse_commits(project: Path) -> None:
    hook = project / ".git" / "hooks" / "commit-msg"
    hook.write_text('#!/bin/sh\ngrep -q "^feat: " "$1" || { echo "no type"; exit 1; }\n')
    hook.chmod(0o755)


def test_an_agent_that_leaves_the_branch_is_brought_back_and_main_stays(
    server: Server, project: Path, script: Script
) -> None:
    (project / "user.txt").write_text("not committed\n")
    before = git(project, "rev-parse", "main")
    refuse_commits(project)
    script.reply(1, planned())
    detach = "git stash -q; git checkout -q HEAD~1"
    script.shell(2, "echo a > a.py; echo '<summary>wrote a</summary>'")
    script.shell(3, f"{detach}; echo b > b.py; echo '<summary>compared, wrote b</summary>'")
    script.shell(4, "git switch -q main; echo c > c.py; echo '<summary>on main wrote c</summary>'")
    script.shell(5, "git reset -q --hard HEAD~2; echo '<summary>went back</summary>'")
    session_id = server.start(project, script.agent, max_iterations=4)
    session = server.session_ended(session_id)
    assert session["status"] == "completed"
    assert git(project, "rev-parse", "main") == before
    assert git(project, "branch", "--show-current").strip() == "main"
    assert (project / "user.txt").read_text() == "not committed\n"
    assert git(project, "status", "--porcelain") == "?? user.txt\n"
    subjects = git(project, "log", "--format=%s", f"main..wild/{session_id}")
    for label in ("planning", "iteration-01", "iteration-02", "iteration-03", "iteration-04"):
        assert f"wild: {label}: " in subjects
    assert "detached HEAD" in script.prompt(4)
    assert "branch main instead of the session's branch" in script.prompt(5)
    told = [breach for step in session["history"] for breach in step["breaches"]]
    assert len(told) == 3 and "was rewritten" in told[2]
    assert "git commit failed" not in script.prompt(5)
    log = git(project, "show", f"wild/{session_id}:.wild/sessions/{session_id}/iteration_log.md")
    assert "## iteration-01" in log and "## iteration-04" in log


def test_hooks_that_are_wanted_and_refuse_are_told_before_anything_is_spent(
    server: Server, project: Path, script: Script
) -> None:
    (project / "unmerged").write_text("the user's\n")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "one")
    (project / "unmerged").write_text("stashed\n")
    git(project, "stash", "-q")
    (project / "unmerged").write_text("other\n")
    git(project, "commit", "-qam", "two")
    subprocess.run(["git", "-C", str(project), "stash", "pop", "-q"], capture_output=True)
    session = server.session_ended(server.start(project, script.agent))
    assert "(unmerged): resolve and `git add`" in session["error"]
    git(project, "reset", "-q", "--hard")
    (project / "wildloop.toml").write_text("[git]\nhooks = true\n")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "toml")
    refuse_commits(project)
    session = server.session_ended(server.start(project, script.agent))
    assert session["status"] == "failed"
    assert "no type" in session["error"] and "[git] hooks = false" in session["error"]
    assert script.calls() == 0
