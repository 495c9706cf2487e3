"""A command that ends while its disk is full: its exit code is not lost."""

import asyncio
import os
from pathlib import Path

from tests.support.pace import patient
from tests.support.small_disk import fill, small_disk
from wildloop.blocks.launchers.base import LaunchSpec, ProcessState
from wildloop.blocks.launchers.local import LocalLauncher


async def test_the_exit_code_is_written_once_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small") as folder:
        root, launcher = folder / "run", LocalLauncher()
        root.mkdir()
        spec = LaunchSpec(
            folder=root,
            command=f"until [ -e {tmp_path}/go ]; do sleep 0.05; done; exit 7",
            cwd=folder,
            env=dict(os.environ),
            log=root / "run.log",
        )
        await launcher.launch(spec)
        filled = fill(folder)
        (tmp_path / "go").touch()
        ending = asyncio.create_task(launcher.wait(root))
        await asyncio.sleep(1.5)
        assert not ending.done()
        assert (await launcher.status(root)).state is ProcessState.RUNNING
        filled.unlink()
        status = await asyncio.wait_for(ending, patient(20))
        assert (status.state, status.exit_code) == (ProcessState.EXITED, 7)
