"""A command that writes its own outcome, or into other files by Wildloop's hand."""

import os
from pathlib import Path

import pytest

from wildloop.blocks.launchers.base import LaunchSpec, ProcessState, ProcessStatus
from wildloop.blocks.launchers.local import LocalLauncher

FORGE = 'echo 0 > "$F/exit_code"'


async def ended(folder: Path, command: str) -> ProcessStatus:
    folder.mkdir(exist_ok=True)
    launcher = LocalLauncher()
    await launcher.launch(
        LaunchSpec(
            folder=folder,
            command=command,
            cwd=folder.parent,
            env={**os.environ, "F": str(folder)},
            log=folder / "run.log",
        )
    )
    await launcher.wait(folder, 30.0)
    return await launcher.stop(folder, 0.2)


@pytest.mark.parametrize(
    "command",
    [
        f"{FORGE}; exit 3",
        f"(for i in $(seq 3000); do {FORGE}; sleep 0.001; done) & sleep 0.3; exit 3",
        f"(while :; do {FORGE}; sleep 0.001; done) > /dev/null 2>&1 < /dev/null & exit 3",
        f'{FORGE}; chmod a-w "$F/exit_code"; exit 3',
        'ln -s /etc/hostname "$F/exit_code"; exit 3',
    ],
)
async def test_outcome_is_what_the_parent_has_seen(tmp_path: Path, command: str) -> None:
    status = await ended(tmp_path / "run", command)
    assert (status.state, status.exit_code) == (ProcessState.EXITED, 3)
    # Whoever reads the folder later, in another process, finds the same.
    later = await LocalLauncher().status(tmp_path / "run")
    assert (later.state, later.exit_code) == (ProcessState.EXITED, 3)


async def test_killed_wrapper_is_no_success(tmp_path: Path) -> None:
    status = await ended(tmp_path / "run", f"{FORGE}; kill -9 $PPID; sleep 60")
    assert (status.state, status.exit_code) == (ProcessState.LOST, None)
    assert (await LocalLauncher().status(tmp_path / "run")).state is ProcessState.LOST


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
async def test_log_is_never_appended_to_another_file(tmp_path: Path, link: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine\n")
    (tmp_path / "run").mkdir()
    getattr(tmp_path / "run" / "run.log", link)(victim)
    await ended(tmp_path / "run", "echo theirs")
    assert victim.read_text() == "mine\n"
    assert (tmp_path / "run" / "run.log").read_text() == "theirs\n"


async def test_log_is_for_its_user_alone(tmp_path: Path) -> None:
    await ended(tmp_path / "run", "echo key-of-mine")
    assert (tmp_path / "run" / "run.log").stat().st_mode & 0o777 == 0o600
