"""A clone's environment is made by the project's set-up lines, once for each lock file."""

import asyncio
from pathlib import Path

import pytest

from tests.support.project import git, make_project
from tests.support.repository import write
from wildloop.flows.models.run import Checkout
from wildloop.flows.run import checkout
from wildloop.flows.run.host_setup import SetupFailed, environment_for

TOML = """\
[project]
setup = ["echo made >> ../count-$(cat requirements.txt)", "mkdir .venv", "cp req* .venv"]
"""


def commit(folder: Path, name: str, text: str) -> str:
    write(folder / name, text)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", name)
    return git(folder, "rev-parse", "HEAD").strip()


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = make_project(tmp_path / "clone", TOML)
    write(folder / ".gitignore", ".venv\n.wild\n")
    commit(folder, "requirements.txt", "one\n")
    return folder


def made(repo: Path, name: str) -> int:
    """How often it was set up for this lock file."""
    return len((repo / ".wild" / "setup" / f"count-{name}").read_text().splitlines())


async def test_runs_of_one_lock_file_share_what_was_set_up_once(repo: Path) -> None:
    first = git(repo, "rev-parse", "HEAD").strip()
    second = commit(repo, "train.py", "1\n")
    places = await asyncio.gather(*(environment_for(repo, one) for one in (first, second, first)))
    assert len(set(places)) == 1 and made(repo, "one") == 1
    code = Checkout(git_commit=second, snapshot=second)
    cwd = await checkout.prepare(repo, code, "r", places[0])
    assert (cwd / ".venv" / "requirements.txt").read_text() == "one\n"
    assert (cwd / "train.py").exists() and (cwd / ".venv").is_symlink()
    await checkout.release(repo, "r")
    assert not cwd.exists()
    third = commit(repo, "requirements.txt", "two\n")
    place = await environment_for(repo, third)
    assert place is not None and place not in places and made(repo, "two") == 1
    assert (place / ".venv" / "requirements.txt").read_text() == "two\n"


async def test_set_up_that_fails_is_told_and_made_again(repo: Path) -> None:
    broken = commit(
        repo, "wildloop.toml", '[project]\nsetup = ["test -e ../mended", "mkdir .venv"]\n'
    )
    with pytest.raises(SetupFailed, match="set-up line"):
        await environment_for(repo, broken)
    (repo / ".wild" / "setup" / "mended").touch()
    place = await environment_for(repo, broken)
    assert place is not None and (place / ".venv").is_dir()


async def test_project_without_set_up_lines_has_none(repo: Path) -> None:
    bare = commit(repo, "wildloop.toml", "[project]\n")
    assert await environment_for(repo, bare) is None
    git(repo, "rm", "-q", "wildloop.toml")
    assert await environment_for(repo, commit(repo, "a", "a")) is None
