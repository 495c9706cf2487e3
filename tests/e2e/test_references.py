"""[references] of a project: what is not there ends preflight, the rest is named in planning."""

from pathlib import Path

import pytest

from tests.support.project import git
from tests.support.script import Script, planned
from tests.support.server import Server

pytestmark = pytest.mark.e2e


def test_references_are_looked_for_and_named_in_planning(
    server: Server, project: Path, tmp_path: Path
) -> None:
    script = Script(tmp_path / "script")
    script.reply(1, planned())
    with (project / "wildloop.toml").open("a") as file:
        file.write('\n[references]\npapers = ["papers/mixup.pdf"]\n')
    git(project, "commit", "-qam", "references")
    session = server.session_ended(server.start(project, script.agent, max_iterations=1))
    assert session["status"] == "failed"
    assert "references: wildloop.toml: [references] names what is not there" in session["error"]
    assert "'papers/mixup.pdf': put it there, or take the line out" in session["error"]
    assert script.calls() == 0, "nothing was spent"

    (project / "papers").mkdir()
    (project / "papers/mixup.pdf").write_text("the content of a paper")
    session = server.session_ended(server.start(project, script.agent, max_iterations=1))
    assert session["error"] is None or "preflight" not in session["error"]
    assert "- paper: `papers/mixup.pdf`" in script.prompt(1)
    assert "the content of a paper" not in script.prompt(1)
    assert "papers/mixup.pdf" not in script.prompt(2)
