"""The experiment flow: one run, from launch (or adoption) to its one true outcome."""

import asyncio
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import State
from prefect.exceptions import Abort
from prefect.runtime import flow_run as runtime
from prefect.states import Cancelled, Completed, Failed
from pydantic import BaseModel

from blocks.launchers.base import LaunchFailed, LaunchSpec, ProcessState, ProcessStatus
from blocks.launchers.local import LocalLauncher
from flows.control import RunControl, StopReason, current_control
from flows.manifest import Manifest, finish_manifest, write_manifest
from flows.metrics import run_metrics
from flows.models.run import RunFacts, RunSpec
from flows.paths import RunPaths
from flows.reservation import write_reservation
from flows.settings import SERVER_URL_VARIABLE, TOKEN_VARIABLE, Settings
from flows.store.runs import RunStore

STOP_GRACE_SECONDS = 5.0
NOT_FOR_RUNS = ("PREFECT_", TOKEN_VARIABLE, "WILDLOOP_SUPERVISOR")


class Outcome(BaseModel):
    """How a run ended. `exit_code` is None where there is none: lost, or never launched."""

    status: str
    message: str
    exit_code: int | None = None


@flow(name="experiment", persist_result=False, validate_parameters=True)
async def experiment(spec: RunSpec) -> State[Any]:
    """Run one command as a tracked experiment.

    Args:
        spec: what to run: command, working directory, parameters, GPUs, time-out.
    """
    outcome = await execute(spec, str(runtime.id))
    match outcome.status:
        case "finished":
            return Completed(message=outcome.message)
        case "stopped":
            return Cancelled(message=outcome.message)
        case "detached":
            # The command goes on: leave the state as it is, the next worker adopts the run.
            raise Abort(outcome.message)
        case _:
            return Failed(message=outcome.message)


@task(name="execute", tags={"gpu"}, task_run_name="execute", cache_policy=NO_CACHE, retries=0)
async def execute(spec: RunSpec, run_id: str) -> Outcome:
    """Launch the command, or attach to it if it was launched before, and wait for its end."""
    settings, control = Settings.from_environment(), current_control()
    workdir = Path(spec.workdir or settings.workdir)
    paths = RunPaths.of(workdir, run_id)
    launcher = LocalLauncher()
    client = get_client()
    async with client:
        store = RunStore(client, settings)
        try:
            status = await _launch_or_attach(launcher, spec, paths, workdir, control, run_id)
        except (LaunchFailed, OSError) as error:
            return Outcome(status="failed", message=f"not launched: {error}")
        control.launched.set()
        recording = asyncio.create_task(
            _record_launch(store, UUID(run_id), spec, paths, workdir, control, status)
        )
        try:
            outcome = await _follow(launcher, spec, paths, control, status)
        finally:
            await recording
        if outcome.status != "detached":
            await _record_end(store, client, UUID(run_id), spec, paths, outcome)
        return outcome


async def _launch_or_attach(
    launcher: LocalLauncher,
    spec: RunSpec,
    paths: RunPaths,
    workdir: Path,
    control: RunControl,
    run_id: str,
) -> ProcessStatus:
    status = await launcher.status(paths.root)
    if status.state is not ProcessState.ABSENT:
        return status
    if not workdir.is_dir():
        raise LaunchFailed(f"workdir '{workdir}' does not exist on {socket.gethostname()}")
    paths.root.mkdir(parents=True, exist_ok=True)
    write_reservation(paths, control.devices)
    await control.turn()
    return await launcher.launch(
        LaunchSpec(
            folder=paths.root,
            command=spec.command,
            cwd=workdir,
            env=run_environment(dict(os.environ), spec, run_id, paths, control.devices),
            log=paths.log,
        )
    )


def run_environment(
    base: dict[str, str],
    spec: RunSpec,
    run_id: str,
    paths: RunPaths,
    devices: tuple[str, ...] | None,
) -> dict[str, str]:
    """The environment of a run's command: the worker's, less its secrets, plus the run's own."""
    env = {key: value for key, value in base.items() if not key.startswith(NOT_FOR_RUNS)}
    env |= spec.env
    env["WILDLOOP_RUN_ID"] = run_id
    env["WILDLOOP_RUN_DIR"] = str(paths.root)
    env[SERVER_URL_VARIABLE] = base.get(SERVER_URL_VARIABLE, "")
    # Without a terminal, Python holds its output back: the log would come only at the end.
    env.setdefault("PYTHONUNBUFFERED", "1")
    if devices is not None:
        env["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
        # Device ids are NVML's, in bus order; CUDA's own order differs on mixed GPUs.
        env["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    return env


async def _follow(
    launcher: LocalLauncher,
    spec: RunSpec,
    paths: RunPaths,
    control: RunControl,
    status: ProcessStatus,
) -> Outcome:
    """Wait for the command's end, its time-out, or a request to stop."""
    waiting = asyncio.create_task(launcher.wait(paths.root, _seconds_left(spec, status)))
    stopping = asyncio.create_task(control.requested())
    try:
        await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            ended = waiting.result()
            if ended.state is not ProcessState.RUNNING:
                # What the command has left behind may still hold the devices.
                await launcher.stop(paths.root, STOP_GRACE_SECONDS)
                return outcome_of(ended, paths)
            ended = await launcher.stop(paths.root, STOP_GRACE_SECONDS)
            return Outcome(
                status="failed",
                message=f"time-out after {spec.timeout_seconds:g} s",
                exit_code=ended.exit_code,
            )
        if control.reason is StopReason.CANCEL:
            ended = await launcher.stop(paths.root, STOP_GRACE_SECONDS)
            return Outcome(status="stopped", message="stopped", exit_code=ended.exit_code)
        return Outcome(status="detached", message="the worker stops; the command goes on")
    finally:
        waiting.cancel()
        stopping.cancel()


def outcome_of(ended: ProcessStatus, paths: RunPaths) -> Outcome:
    """The outcome of a command that is no longer running."""
    if ended.state is ProcessState.EXITED and ended.exit_code == 0:
        return Outcome(status="finished", message="exit code 0", exit_code=0)
    if ended.state is ProcessState.EXITED:
        last = _last_line(paths.log)
        message = f"exit code {ended.exit_code}" + (f": {last}" if last else "")
        return Outcome(status="failed", message=message, exit_code=ended.exit_code)
    return Outcome(
        status="failed", message="lost: the process is gone and left no exit code (killed, reboot)"
    )


def _seconds_left(spec: RunSpec, status: ProcessStatus) -> float | None:
    if spec.timeout_seconds is None:
        return None
    gone = datetime.now(UTC).timestamp() - status.started_at if status.started_at else 0.0
    return max(0.0, spec.timeout_seconds - gone)


def _last_line(log: Path) -> str:
    """The last line of a log, at most 200 characters, for the state's message."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            lines = file.read().decode("utf-8", "replace").split("\n")
    except FileNotFoundError:
        return ""
    shown = [line.strip() for line in lines if line.strip()]
    return "".join(char for char in shown[-1] if char.isprintable())[:200] if shown else ""


async def _record_launch(
    store: RunStore,
    flow_run_id: UUID,
    spec: RunSpec,
    paths: RunPaths,
    workdir: Path,
    control: RunControl,
    status: ProcessStatus,
) -> None:
    manifest = await write_manifest(paths, spec, str(flow_run_id), workdir, control.devices, status)
    await store.write_facts(
        flow_run_id,
        RunFacts(
            started_at=manifest.started_at,
            host=manifest.host,
            gpus=",".join(control.devices or ()),
            run_dir=str(paths.root),
            git_commit=manifest.git_commit,
        ),
    )


async def _record_end(
    store: RunStore,
    client: PrefectClient,
    flow_run_id: UUID,
    spec: RunSpec,
    paths: RunPaths,
    outcome: Outcome,
) -> None:
    finished = await asyncio.to_thread(_finish_files, paths, outcome)
    await store.write_facts(flow_run_id, finished)


def _finish_files(paths: RunPaths, outcome: Outcome) -> RunFacts:
    metrics = run_metrics(paths.root)
    manifest: Manifest = finish_manifest(paths, outcome.status, outcome.exit_code)
    return RunFacts(
        finished_at=manifest.finished_at,
        exit_code=outcome.exit_code,
        metrics=json.dumps(metrics),
    )
