"""The project's own checks before a change is kept."""

from pathlib import Path

import psutil

from tests.support.pace import patient
from wildloop.flows.loop.checks import failed_check
from wildloop.flows.project import ChecksConfig


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
    pid = int((tmp_path / "pid").read_text())
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
