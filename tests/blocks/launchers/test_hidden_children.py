"""Children that clear their environment and leave the session are found all the same."""

import os
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.waiting import until
from wildloop.blocks.launchers.base import LaunchSpec, ProcessState
from wildloop.blocks.launchers.local import LocalLauncher
from wildloop.blocks.launchers.record import LEFT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs a subreaper: Linux")
HIDDEN = "env -i /usr/bin/setsid /bin/sh -c 'echo $$ > {file}; exec /bin/sleep 600'"


def hidden(folder: Path, name: str) -> str:
    return HIDDEN.format(file=folder / name)


async def pid_of(path: Path) -> int:
    await until(lambda: path.exists() and path.read_text().endswith("\n"), f"{path} holds a pid")
    return int(path.read_text())


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def spec_of(folder: Path, command: str) -> LaunchSpec:
    root = folder / "run"
    root.mkdir()
    env = dict(os.environ)
    return LaunchSpec(folder=root, command=command, cwd=folder, env=env, log=root / "run.log")


async def test_one_that_outlives_the_command_is_ended_with_it(tmp_path: Path) -> None:
    launcher = LocalLauncher()
    wait = f"until [ -s {tmp_path}/a ]; do sleep 0.02; done"
    spec = spec_of(tmp_path, f"({hidden(tmp_path, 'a')} &)\n{wait}; exit 3")
    await launcher.launch(spec)
    status = await launcher.wait(spec.folder)
    pid = await pid_of(tmp_path / "a")
    assert not is_gone(pid)
    stopped = await launcher.stop(spec.folder, 2.0)
    assert (status.exit_code, stopped.exit_code, stopped.state) == (3, 3, ProcessState.EXITED)
    assert is_gone(pid)


async def test_an_orphan_is_ended_when_the_command_is_stopped(tmp_path: Path) -> None:
    launcher = LocalLauncher()
    spec = spec_of(tmp_path, f"({hidden(tmp_path, 'a')} &)\nsleep 600")
    await launcher.launch(spec)
    pid = await pid_of(tmp_path / "a")
    await launcher.stop(spec.folder, 2.0)
    assert is_gone(pid)


async def test_a_command_that_leaves_nothing_leaves_no_note(tmp_path: Path) -> None:
    launcher = LocalLauncher()
    spec = spec_of(tmp_path, "sleep 0.1 & wait; (sleep 0.1 &); sleep 0.3")
    await launcher.launch(spec)
    await launcher.wait(spec.folder)
    assert not (spec.folder / LEFT).exists()
