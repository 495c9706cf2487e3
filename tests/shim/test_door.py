"""What is refused before a session begins."""

import asyncio
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from wildloop.flows.errors import Conflict, InvalidRequest
from wildloop.flows.models.session_options import Budget, SessionStart
from wildloop.flows.store.sessions import SessionStore
from wildloop.shim.door import check_at_the_door

GOOD = (
    "[train]\ncommand = 'python t.py'\n[metric]\nname = 'f1'\n"
    "[search.lr]\nvalues = [1, 2]\n[baseline]\nlr = 1\n"
)


def knock(workdir: Path, taken: str | None = None, **fields: object) -> None:
    """Ask for a session; returns where the door lets it in."""

    async def active_in(folder: Path) -> str | None:
        return taken

    settings = SimpleNamespace(workdir=workdir)
    sessions = cast(SessionStore, SimpleNamespace(settings=settings, active_in=active_in))
    body = SessionStart.model_validate({"goal": "g", "workdir": str(workdir), **fields})
    asyncio.run(check_at_the_door(body, sessions, is_one_host=True))


@pytest.fixture
def project(repository: Path) -> Path:
    (repository / "wildloop.toml").write_text(GOOD)
    commit(repository)
    return repository


def commit(folder: Path) -> None:
    subprocess.run(["git", "-C", str(folder), "add", "-A"], check=True)
    identity = ["-c", "user.name=T", "-c", "user.email=t@localhost"]
    subprocess.run(["git", "-C", str(folder), *identity, "commit", "-qm", "x"], check=True)


def test_a_sound_project_is_let_in(project: Path) -> None:
    knock(project)


def test_all_faults_are_told_at_once_with_their_mends(repository: Path) -> None:
    (repository / "wildloop.toml").write_text("[metric]\nname = 'f1'\nwrong = 1\n")
    with pytest.raises(InvalidRequest) as refused:
        knock(repository, taken="other", agent="command:no-such-agent-xyz")
    told = str(refused.value)
    assert "no commit: run `git commit`" in told
    assert "[metric] wrong is no known key" in told
    assert "no-such-agent-xyz" in told
    assert "session 'other' is active" in told


@pytest.mark.parametrize(
    ("toml", "fields", "said"),
    [
        (None, {}, "`wildloop init` drafts one"),
        ("[train]\ncommand = 'x'\n", {}, "metric"),
        (GOOD, {"budget": Budget(runs=2).model_dump()}, "budget of 2 runs is too small"),
        (GOOD, {"agent": "unknown"}, "unknown agent 'unknown'"),
        (GOOD, {"keep": "better", "researchers": 2}, "researchers: 2 need an agent that does"),
    ],
)
def test_each_fault_is_refused(
    repository: Path, toml: str | None, fields: dict[str, object], said: str
) -> None:
    (repository / "file").write_text("")
    if toml is not None:
        (repository / "wildloop.toml").write_text(toml)
    commit(repository)
    with pytest.raises(InvalidRequest, match=said.replace("[", r"\[")):
        knock(repository, **fields)


def test_a_folder_that_is_none_or_no_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="does not exist: create it"):
        knock(tmp_path / "none")
    with pytest.raises(InvalidRequest, match="git init"):
        knock(tmp_path)


def test_another_session_in_the_folder_is_a_conflict(project: Path) -> None:
    with pytest.raises(Conflict, match="session 'other' is active"):
        knock(project, taken="other")


def test_a_tool_without_key_and_login_is_refused(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "codex"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho codex-cli 0.1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("CODEX_API_KEY", "OPENAI_API_KEY", "CODEX_HOME", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InvalidRequest, match="no key and no login found: set OPENAI_API_KEY"):
        knock(project, agent="codex")
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    knock(project, agent="codex")
