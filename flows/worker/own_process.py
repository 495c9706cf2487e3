"""Flows of a team's own, run as Prefect runs them: each in a process of its own.

`prefect flow-run execute` loads what the deployment's entrypoint and pull steps name, calls hooks,
and cancels. It is launched as a run's command is: it outlives this worker, and the next one takes
it up by what lies in its folder, `<home>/flows/<flow run>/<n>`.
"""

import asyncio
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, WorkPool

from wildloop.blocks.launchers.base import LaunchSpec, ProcessState, ProcessStatus
from wildloop.blocks.launchers.local import LocalLauncher
from wildloop.flows.errors import WildloopError
from wildloop.flows.files.paths import RunPaths
from wildloop.flows.files.reservation import read_reservation, write_reservation
from wildloop.flows.run.control import RunControl, StopReason
from wildloop.flows.settings import TOKEN_VARIABLE
from wildloop.flows.text.log_end import last_line
from wildloop.flows.worker import reconcile
from wildloop.flows.worker.variables import WildloopJobConfiguration

# Prefect's own supervisor ends the flow and calls its hooks meanwhile.
CANCEL_SECONDS = 60.0
GRACE_SECONDS = 10.0
TOLD_BYTES = 4096
NOT_FOR_IT = (TOKEN_VARIABLE, "WILDLOOP_SUPERVISOR")


class FlowProcessFailed(WildloopError):
    """The process of a flow run has ended without an outcome of the flow; the text says why."""


class OwnProcesses:
    """The processes of flows that are not Wildloop's, on this host.

    Args:
        home: where their folders are made.
    """

    def __init__(self, home: Path) -> None:
        self._root = home / "flows"
        self._launcher = LocalLauncher()

    async def take_up(self, client: PrefectClient) -> list[tuple[FlowRun, tuple[str, ...]]]:
        """The flow runs that a former worker has left to their processes, with their devices.

        What is left of others, which have ended or were deleted, is taken away.
        """
        found: list[tuple[FlowRun, tuple[str, ...]]] = []
        for home in list(self._root.iterdir()) if self._root.is_dir() else []:
            flow_runs = await reconcile.read(client, [UUID(home.name)])
            if not flow_runs or flow_runs[0].state_type not in reconcile.HELD_BY_A_PROCESS:
                await self._launcher.stop(_latest(home), GRACE_SECONDS)
                await asyncio.to_thread(shutil.rmtree, home, True)
                continue
            note = read_reservation(RunPaths(_latest(home)))
            found.append((flow_runs[0], (note.devices or ()) if note is not None else ()))
        return found

    def claim(self, flow_run_id: UUID) -> None:
        """Note, before the server knows of it, that a flow run is this host's."""
        (self._root / str(flow_run_id)).mkdir(parents=True, exist_ok=True)

    def release(self, flow_run_id: UUID) -> None:
        """Forget a claim of which nothing came."""
        with suppress(OSError):
            (self._root / str(flow_run_id)).rmdir()

    def has(self, flow_run_id: UUID) -> bool:
        """Whether a flow run has, or had, a process of its own here."""
        return (self._root / str(flow_run_id)).is_dir()

    async def run(
        self, client: PrefectClient, pool: WorkPool, worker: str, run: FlowRun, control: RunControl
    ) -> None:
        """Start the process of a flow run, or take up the one that was left, and see it end.

        Raises:
            FlowProcessFailed: it has ended, or could not begin, and says nothing of the flow.
        """
        home = self._root / str(run.id)
        folder = _latest(home)
        status = await self._launcher.status(folder)
        if not control.is_adopted or status.state is ProcessState.ABSENT:
            folder = home / str(len(list(home.iterdir())))
            status = await self._start(client, pool, worker, run, folder, control)
        control.launched.set()
        ended = await self._end(folder, status, control)
        if ended is None:
            return
        try:
            if ended.exit_code != 0 and control.reason is not StopReason.CANCEL:
                raise FlowProcessFailed(_why(ended, folder))
        finally:
            await asyncio.to_thread(shutil.rmtree, home, True)

    async def _start(
        self,
        client: PrefectClient,
        pool: WorkPool,
        worker: str,
        run: FlowRun,
        folder: Path,
        control: RunControl,
    ) -> ProcessStatus:
        asked = await WildloopJobConfiguration.resolve_for_flow_run(
            run, client=client, work_pool=pool, worker_name=worker
        )
        cwd = asked.working_dir or folder / "work"
        if asked.working_dir is None:
            cwd.mkdir(parents=True)
        elif not cwd.is_dir():
            raise FlowProcessFailed(f"working_dir: '{cwd}' is no folder on this host")
        # Its log may hold what the flow prints: for its user alone.
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        write_reservation(RunPaths(folder), control.devices)
        env = {key: value for key, value in os.environ.items() if not key.startswith(NOT_FOR_IT)}
        env |= {key: value for key, value in asked.env.items() if value is not None}
        # Prefect's commands by name are those of this worker's Python.
        env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env.get('PATH', os.defpath)}"
        if control.devices is not None:
            env["CUDA_VISIBLE_DEVICES"] = ",".join(control.devices)
            env["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
        return await self._launcher.launch(
            LaunchSpec(
                folder=folder,
                command=asked.command or "prefect flow-run execute",
                cwd=cwd,
                env=env,
                log=RunPaths(folder).log,
                name=run.name,
                run_id=str(run.id),
            )
        )

    async def _end(
        self, folder: Path, status: ProcessStatus, control: RunControl
    ) -> ProcessStatus | None:
        """What the process came to; None where it is left to the next worker."""
        waiting = asyncio.create_task(self._launcher.wait(folder))
        asked = asyncio.create_task(control.requested())
        try:
            await asyncio.wait({waiting, asked}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done() and control.reason is StopReason.SHUTDOWN:
                return None
            await asyncio.wait({waiting}, timeout=CANCEL_SECONDS)
            # What it has left behind may still hold the devices.
            return await self._launcher.stop(folder, GRACE_SECONDS)
        finally:
            waiting.cancel()
            asked.cancel()


def _latest(home: Path) -> Path:
    """The folder of the last attempt."""
    numbers = [int(one.name) for one in home.iterdir() if one.name.isdecimal()]
    return home / str(max(numbers, default=0))


def _why(ended: ProcessStatus, folder: Path) -> str:
    """Why a process has ended without an outcome of its flow."""
    if ended.state is not ProcessState.EXITED:
        return "the process of the flow is gone and left no exit code (killed, reboot)"
    log = RunPaths(folder).log
    said = log.read_bytes()[-TOLD_BYTES:].decode(errors="replace") if log.exists() else ""
    last = last_line(said)
    return f"the process of the flow ended with exit code {ended.exit_code}" + (
        f": {last}" if last else ""
    )
