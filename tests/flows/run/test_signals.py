"""A signal that ended a run is named, and for KILL what is known of its sender."""

import asyncio
import os
import resource
import shlex
import sys
from pathlib import Path

import pytest

from tests.support.pace import patient
from wildloop.blocks.launchers.base import LaunchSpec
from wildloop.blocks.launchers.local import LocalLauncher
from wildloop.blocks.launchers.record import OOM_KILLS, PEAK_MEMORY, oom_kills, peak_memory
from wildloop.flows.alerts.ending import end_finding
from wildloop.flows.models.alert import AlertKind
from wildloop.flows.run.signals import signal_note


@pytest.mark.parametrize(
    ("code", "kills", "peak", "expected"),
    [
        (1, None, 2_000_000_000, ""),
        (None, None, None, ""),
        (143, None, 2_000_000_000, " (SIGTERM, peak 2.00 GB)"),
        (139, None, None, " (SIGSEGV)"),
        (137, None, None, " (SIGKILL)"),
        (137, 0, None, " (SIGKILL from a person or a program, not for want of memory)"),
        (
            137,
            1,
            1_500_000_000,
            " (the kernel ended it for want of memory, peak 1.50 GB: try a smaller batch, or fewer "
            "runs at once)",
        ),
    ],
)
def test_note(
    tmp_path: Path, code: int | None, kills: int | None, peak: int | None, expected: str
) -> None:
    for name, value in ((OOM_KILLS, kills), (PEAK_MEMORY, peak)):
        if value is not None:
            (tmp_path / name).write_text(f"{value}\n")
    assert signal_note(code, tmp_path) == expected


@pytest.mark.parametrize(("kills", "kind"), [(1, AlertKind.OUT_OF_MEMORY), (0, AlertKind.EXIT)])
def test_only_the_kernels_kill_is_an_alert_of_memory(
    tmp_path: Path, kills: int, kind: AlertKind
) -> None:
    (tmp_path / OOM_KILLS).write_text(f"{kills}\n")
    message = f"exit code 137{signal_note(137, tmp_path)}"
    assert end_finding(message, 137, "").kind is kind


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's count is Linux's")
async def test_a_killed_command_has_the_kernels_count_and_its_peak(tmp_path: Path) -> None:
    root, launcher = tmp_path / "run", LocalLauncher()
    root.mkdir()
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    burn = f"import os; kept = bytearray({own + 80_000_000}); os.kill(os.getpid(), 9)"
    spec = LaunchSpec(
        folder=root,
        command=f"exec {sys.executable} -c '{burn}'",
        cwd=tmp_path,
        env=dict(os.environ),
        log=root / "run.log",
    )
    await launcher.launch(spec)
    status = await launcher.wait(root)
    assert status.exit_code == 137
    assert oom_kills(root) == 0
    assert own + 80_000_000 < (peak_memory(root) or 0) < own + 200_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
async def test_a_peak_below_this_process_own_is_known_from_the_commands_processes(
    tmp_path: Path,
) -> None:
    root, go, launcher = tmp_path / "run", tmp_path / "go", LocalLauncher()
    root.mkdir()
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    burn = (
        "import os, time\nkept = bytearray(40_000_000); del kept\n"
        f"while not os.path.exists({str(go)!r}): time.sleep(0.02)"
    )
    spec = LaunchSpec(
        folder=root,
        command=f"{shlex.join([sys.executable, '-c', burn])}; true",
        cwd=tmp_path,
        env=dict(os.environ),
        log=root / "run.log",
    )
    await launcher.launch(spec)
    waiting = asyncio.create_task(launcher.wait(root))
    async with asyncio.timeout(patient(30)):
        while (peak_memory(root) or 0) < 40_000_000:
            await asyncio.sleep(0.02)
    go.touch()
    assert (await waiting).exit_code == 0
    assert 40_000_000 < (peak_memory(root) or 0) < min(own, 80_000_000)
