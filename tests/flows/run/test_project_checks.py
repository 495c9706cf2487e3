"""The project's own checks before a change is kept."""

from pathlib import Path

import psutil
import pytest

from tests.support.pace import patient
from tests.support.waiting import wait_for
from wildloop.blocks.proof import KEY_VARIABLE
from wildloop.flows.project import ChecksConfig
from wildloop.flows.run.project_checks import failed_check
from wildloop.flows.settings import TOKEN_VARIABLE


def await_gone(pid: int) -> None:
    """Wait until a process that was killed is gone, or waits to be read."""

    def is_gone() -> bool:
        try:
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    wait_for(is_gone, f"process {pid} is gone")


async def test_all_must_pass_and_the_first_that_fails_is_told(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("x = 1\n")
    good = "test -e code.py"
    assert await failed_check(ChecksConfig(commands=[good]), tmp_path) is None
    bad = "echo 3 tests failed; exit 1"
    said = await failed_check(ChecksConfig(commands=[good, bad, "touch never"]), tmp_path)
    assert said == f"`{bad}` failed (3 tests failed)"
    assert not (tmp_path / "never").exists()


async def test_one_that_hangs_is_ended_and_told(tmp_path: Path) -> None:
    command = "echo $$ > pid; exec sleep 600"
    seconds = round(patient(1))
    config = ChecksConfig(commands=[command], timeout_seconds=seconds)
    said = await failed_check(config, tmp_path)
    assert said == f"`{command}` was not done after {seconds} s"
    await_gone(int((tmp_path / "pid").read_text()))


async def test_secrets_are_not_there_and_what_is_left_behind_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "token-of-the-server")
    monkeypatch.setenv(KEY_VARIABLE, "key-of-the-server")
    command = "env > env.txt; sleep 600 & echo $! > pid"
    assert await failed_check(ChecksConfig(commands=[command]), tmp_path) is None
    assert "of-the-server" not in (tmp_path / "env.txt").read_text()
    await_gone(int((tmp_path / "pid").read_text()))


async def test_a_folder_that_is_not_there_fails_the_check(tmp_path: Path) -> None:
    said = await failed_check(ChecksConfig(commands=["true"]), tmp_path / "none")
    assert said is not None and "has no folder to run in" in said
