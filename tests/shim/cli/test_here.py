"""Which session a command is about, and what the command itself says of itself."""

from pathlib import Path
from typing import cast

import pytest
import typer
from typer.testing import CliRunner

from wildloop.flows.models.session import Session, SessionStatus
from wildloop.flows.models.session_record import Phase
from wildloop.shim.cli import research
from wildloop.shim.cli.here import session_here
from wildloop.shim.cli.main import application
from wildloop.shim.client.api import ApiClient
from wildloop.shim.version import VERSION


def of(id: str, workdir: Path, status: SessionStatus = SessionStatus.COMPLETED) -> Session:
    return Session(
        session_id=id,
        goal="g",
        workdir=str(workdir),
        agent="a",
        status=status,
        phase=Phase.ENDED,
        is_active=status is SessionStatus.RUNNING,
        iteration=1,
        max_iterations=2,
        session_dir="d",
    )


class Known:
    """A server that knows some sessions; the first is the latest."""

    def __init__(self, *sessions: Session) -> None:
        self._sessions = sessions

    def sessions(self) -> list[Session]:
        return list(self._sessions)

    def session(self, id: str | None = None) -> Session:
        return next(one for one in self._sessions if id in (None, one.session_id))


@pytest.fixture
def projects(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("a", "b"):
        (tmp_path / name / "src").mkdir(parents=True)
        (tmp_path / name / "wildloop.toml").write_text("")
    return tmp_path / "a", tmp_path / "b"


def test_without_an_id_it_is_the_session_of_the_project_one_stands_in(
    projects: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    a, b = projects
    running = SessionStatus.RUNNING
    client = cast(ApiClient, Known(of("new", b, running), of("last", a), of("old", a, running)))
    monkeypatch.chdir(a / "src")
    assert session_here(client, None).session_id == "old", "the active one first"
    assert session_here(client, None, project=b).session_id == "new"
    assert session_here(client, None, everywhere=True).session_id == "new"
    assert session_here(client, "last").session_id == "last"
    monkeypatch.chdir(tmp_path)
    assert session_here(client, None).session_id == "new", "in no project: as before"


def test_another_projects_session_is_never_taken(
    projects: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = projects
    monkeypatch.chdir(a)
    with pytest.raises(typer.Exit):
        session_here(cast(ApiClient, Known(of("new", b))), None)


@pytest.mark.parametrize(
    ("state", "code"), [(SessionStatus.FAILED, 1), (SessionStatus.COMPLETED, 0)]
)
def test_status_of_a_failed_session_has_the_exit_code_1(
    state: SessionStatus, code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(research, "server", lambda: Known(of("s", tmp_path, state)))
    assert CliRunner().invoke(application(), ["status"]).exit_code == code


def test_version_and_completion() -> None:
    assert CliRunner().invoke(application(), ["--version"]).output == f"wildloop {VERSION}\n"
    assert "_WILDLOOP_COMPLETE" in CliRunner().invoke(application(), ["completion", "zsh"]).output
    assert CliRunner().invoke(application(), ["completion", "tcsh"]).exit_code == 2
