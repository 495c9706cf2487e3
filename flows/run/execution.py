"""One attempt of a run: from launch, or adoption, to its outcome."""

import asyncio
import json
import logging
import os
import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel

from wildloop.blocks.launchers import hiding
from wildloop.blocks.launchers.base import (
    Launcher,
    LaunchFailed,
    LaunchSpec,
    ProcessState,
    ProcessStatus,
)
from wildloop.blocks.launchers.slurm_options import SlurmOverride
from wildloop.blocks.launchers.slurm_reasons import explained_end
from wildloop.blocks.proxies import around_proxies
from wildloop.flows.errors import WildloopError
from wildloop.flows.files.disk import full_note
from wildloop.flows.files.paths import RunPaths, make_ignored
from wildloop.flows.files.reservation import write_reservation
from wildloop.flows.files.sealed import sealed_home
from wildloop.flows.guards.runs import RunGuard
from wildloop.flows.metrics import claim_sources
from wildloop.flows.metrics.owner import RUN_TAG
from wildloop.flows.metrics.trackio import FOLDER as TRACKIO_FOLDER
from wildloop.flows.models.run import RunSpec
from wildloop.flows.run import checkout, elsewhere
from wildloop.flows.run.attempts import Attempt, Retry, current_attempt, log_tail, retry_after
from wildloop.flows.run.bytecode import prepare_bytecode
from wildloop.flows.run.control import RunControl, StopReason
from wildloop.flows.run.host_setup import environment_for
from wildloop.flows.run.signals import signal_note
from wildloop.flows.settings import (
    SERVER_URL_VARIABLE,
    TOKEN_VARIABLE,
    Settings,
    wildloop_home,
)
from wildloop.flows.text.log_end import last_line

logger = logging.getLogger("wildloop.execution")

STOP_GRACE_SECONDS = 5.0
CLAIM_SECONDS = 30.0
NOT_FOR_RUNS = ("PREFECT_", TOKEN_VARIABLE, "WILDLOOP_SUPERVISOR")
# Without cgroups Slurm kills such a job and says no more than that it failed; where the job's
# script could still note an exit code, it does not even say that in time.
OVER_MEMORY = re.compile(r"slurmstepd.*exceeded (?:job )?memory limit", re.IGNORECASE)
LOST = "lost: the process is gone and left no exit code (killed, reboot)"


class Outcome(BaseModel):
    """How a run ended. `exit_code` is None where there is none: lost, or never launched."""

    status: str
    message: str
    exit_code: int | None = None
    retry: Retry | None = None


@dataclass
class Execution:
    """One attempt of a run, by whichever launcher.

    While it is followed, `waits` says whether a scheduler holds it back, and `begun_at` (Unix
    seconds) when it was begun last.
    """

    spec: RunSpec
    run_id: str
    workdir: Path
    control: RunControl
    guard: RunGuard = field(default_factory=lambda: RunGuard(None))
    violations: list[str] = field(default_factory=list)
    paths: RunPaths = field(init=False)
    attempt: Attempt = field(init=False)
    launcher: Launcher = field(init=False)
    waits: bool = False
    begun_at: float | None = None

    def __post_init__(self) -> None:
        self.paths = RunPaths.of(self.workdir, self.run_id)
        self.attempt = current_attempt(self.paths)
        self.launcher = self.control.launchers.of(self.paths.root, self.control.compute)
        if (given := elsewhere.code_given(self.paths)) is not None:
            self.spec = self.spec.model_copy(update={"checkout": given})

    async def begin(self) -> ProcessStatus:
        """Launch the command, or attach to it if it was launched before.

        Returns:
            Its status; ABSENT where the run was stopped before anything was launched.

        Raises:
            LaunchFailed, OSError, WildloopError: it cannot be launched.
        """
        status = await self.launcher.status(self.paths.root)
        if status.state is not ProcessState.ABSENT or self.is_given_up:
            return status
        if not self.workdir.is_dir():
            raise LaunchFailed(f"workdir '{self.workdir}' does not exist on {socket.gethostname()}")
        make_ignored(self.paths.root.parent)
        # It holds what the run prints and writes: for its user alone.
        self.paths.root.mkdir(exist_ok=True)
        self.paths.root.chmod(0o700)
        cwd, environment = self.workdir, None
        if await asyncio.to_thread(elsewhere.is_elsewhere, self.spec, self.workdir):
            environment = await self._take_code()
        if (code := self.spec.checkout) is not None:
            cwd = await checkout.prepare(self.workdir, code, self.run_id, environment)
        write_reservation(self.paths, self.control.devices, self.control.compute)
        await self.control.turn()
        await self.guard.before_launch(cwd, self.spec.checkout is not None)
        env = self.environment()
        await asyncio.to_thread(prepare_bytecode, self.paths, cwd, env, wildloop_home())
        await self.guard.watch(cwd, self.paths.root)
        launched = await self.launcher.launch(
            LaunchSpec(
                folder=self.paths.root,
                command=await asyncio.to_thread(self._command),
                cwd=cwd,
                env=env,
                log=self.paths.log,
                name=self.spec.name,
                run_id=self.run_id,
                gpus=self.spec.gpus,
                timeout_seconds=self.spec.timeout_seconds,
                slurm=self._slurm_options(),
                kubernetes=self.spec.kubernetes,
                gpu_type=self.control.gpu_type,
            )
        )
        if launched.state is ProcessState.PENDING:
            await self.guard.let_go()
        return launched

    async def _take_code(self) -> Path | None:
        """Have the run's code in this clone, and keep which it is for whoever adopts the run.

        Returns:
            Where the project's set-up lines have been carried out on this host, if it has any.
        """
        settings = Settings.from_environment()
        given = await elsewhere.bring_code(self.spec, self.workdir, self.run_id, settings)
        self.spec = self.spec.model_copy(update={"checkout": given})
        self.paths.code.write_text(given.model_dump_json() + "\n", encoding="utf-8")
        return await environment_for(self.workdir, given.snapshot or given.git_commit)

    def _command(self) -> str:
        """The command; where anything is sealed on this host, it cannot see that."""
        sealed = sealed_home(wildloop_home())
        if not self.is_here or not sealed.is_dir():
            return self.spec.command
        is_hidden = hiding.why_not(sealed) is None
        return hiding.without(sealed, self.spec.command) if is_hidden else self.spec.command

    def _slurm_options(self) -> SlurmOverride | None:
        """The run's own options, with the type of GPU that it asks for."""
        own, kind = self.spec.slurm, self.control.gpu_type
        if kind is None or self.is_here or (own is not None and own.gpu_type):
            return own
        return (own or SlurmOverride()).model_copy(update={"gpu_type": kind})

    @property
    def is_here(self) -> bool:
        """Whether the command runs on this host."""
        return self.control.launchers.is_here(self.launcher)

    async def has_ended(self) -> bool:
        """Whether a command was launched in the run's folder, and is over."""
        status = await self.launcher.status(self.paths.root)
        return status.state in (ProcessState.EXITED, ProcessState.LOST)

    @property
    def is_given_up(self) -> bool:
        """Whether someone has asked for the run's end."""
        return self.control.reason is StopReason.CANCEL

    def environment(self) -> dict[str, str]:
        """The environment of the command."""
        return run_environment(
            dict(os.environ), self.spec, self.run_id, self.paths, self.control.devices
        )

    async def follow(self, status: ProcessStatus) -> Outcome:
        """Wait for the command's end, its time-out, or a request to stop."""
        waiting = asyncio.create_task(self._end_or_timeout(status))
        stopping = asyncio.create_task(self.control.requested())
        claiming = asyncio.create_task(self._claim_sources())
        try:
            await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                ended = waiting.result()
                # What the command has left behind may still hold the devices; a command that is
                # past its time is ended here.
                stopped = await self.launcher.stop(self.paths.root, STOP_GRACE_SECONDS)
                if ended.state is ProcessState.RUNNING:
                    return self._failed(
                        f"time-out after {self.spec.timeout_seconds:g} s", stopped, final=True
                    )
                return self.outcome_of(stopped)
            if self.control.reason is StopReason.CANCEL:
                ended = await self.launcher.stop(self.paths.root, STOP_GRACE_SECONDS)
                return Outcome(status="stopped", message="stopped", exit_code=ended.exit_code)
            await self.guard.let_go()
            return Outcome(status="detached", message="the worker stops; the command goes on")
        finally:
            waiting.cancel()
            stopping.cancel()
            claiming.cancel()

    async def _claim_sources(self) -> None:
        """Note now and then which metric files the run writes; later that cannot be told."""
        while True:
            await asyncio.sleep(CLAIM_SECONDS)
            try:
                await asyncio.to_thread(claim_sources, self.paths.root, self.workdir)
            except OSError as error:
                logger.warning("metric files of run %s not noted: %s", self.run_id, error)

    async def _end_or_timeout(self, status: ProcessStatus) -> ProcessStatus:
        """The status at the end, or RUNNING when the time is up.

        Waiting for resources costs no time, also when a scheduler has put the command back into
        its queue: begun anew, it has all of its time again. A suspended one goes on where it was.
        """
        root, suspended, begun_at = self.paths.root, 0.0, status.started_at
        while True:
            if status.state is ProcessState.PENDING:
                since, self.waits = time.time(), True
                status = await self.launcher.begun(root)
                same = status.started_at is not None and status.started_at == begun_at
                suspended = suspended + time.time() - since if same else 0.0
                begun_at = status.started_at or begun_at
            if status.state is not ProcessState.RUNNING:
                return status
            self.waits, self.begun_at = False, status.started_at
            left = self._seconds_left(status, suspended)
            status = await self.launcher.ran(root, left)
            if status.state is ProcessState.RUNNING:
                if status.started_at == begun_at:
                    return status
                # Begun anew while nobody looked.
                suspended, begun_at = 0.0, status.started_at

    def _seconds_left(self, status: ProcessStatus, suspended: float = 0.0) -> float | None:
        if self.spec.timeout_seconds is None:
            return None
        gone = time.time() - status.started_at - suspended if status.started_at else 0.0
        return max(0.0, self.spec.timeout_seconds - gone)

    def outcome_of(self, ended: ProcessStatus) -> Outcome:
        """The outcome of a command that is no longer running."""
        if ended.state is ProcessState.EXITED and ended.reason is not None:
            told = explained_end(ended.reason)
            return self._failed(f"{told} (exit code {ended.exit_code})", ended)
        if ended.state is ProcessState.EXITED and ended.exit_code == 0:
            return Outcome(status="finished", message="exit code 0", exit_code=0)
        said = log_tail(self.paths.log, self.attempt.log_offset, 4096)
        over_memory = OVER_MEMORY.search(said) is not None
        if ended.state is ProcessState.EXITED:
            cause = f"OUT_OF_MEMORY (exit code {ended.exit_code})" if over_memory else None
            last = last_line(said)
            plain = f"exit code {ended.exit_code}"
            told = cause or plain + signal_note(ended.exit_code, self.paths.root)
            told += f": {last}" if last else ""
            return self._failed(told + full_note(self.paths.root), ended)
        reason = ended.reason
        if not self.paths.root.is_dir():
            reason = f"its folder '{self.paths.root}' was deleted while it ran"
        if reason and over_memory:
            reason = f"OUT_OF_MEMORY ({reason})"
        return self._failed(_told(reason), ended)

    def _failed(self, message: str, ended: ProcessStatus, final: bool = False) -> Outcome:
        seconds = (ended.ended_at or time.time()) - (ended.started_at or time.time())
        retry = (
            None
            if final
            else retry_after(self.spec, self.attempt, self.paths, ended.exit_code, seconds)
        )
        return Outcome(status="failed", message=message, exit_code=ended.exit_code, retry=retry)


def _told(reason: str | None) -> str:
    """What to say of a command that left no exit code; a scheduler's word stands by itself."""
    if reason is None:
        return LOST
    told = explained_end(reason)
    return told if told != reason or reason.startswith("not launched") else f"lost: {reason}"


def launch_fault(error: LaunchFailed | OSError | WildloopError) -> Outcome:
    """The outcome of a run that could not be launched."""
    return Outcome(status="failed", message=f"not launched: {error}")


def run_environment(
    base: dict[str, str],
    spec: RunSpec,
    run_id: str,
    paths: RunPaths,
    devices: tuple[str, ...] | None,
) -> dict[str, str]:
    """The environment of a run's command: the worker's, less its secrets, plus the run's own."""
    env = {key: value for key, value in base.items() if not key.startswith(NOT_FOR_RUNS)}
    # Compiled code goes into the run's own folder, so that there is no litter to be spared.
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    env |= spec.env
    env["PYTHONPYCACHEPREFIX"] = str(paths.bytecode.absolute())
    env["WILDLOOP_RUN_ID"] = run_id
    env["WILDLOOP_RUN_DIR"] = str(paths.root)
    # Slurm's own restarts are added to it where the command starts.
    env["WILDLOOP_RESTART_COUNT"] = str(current_attempt(paths).number)
    env[SERVER_URL_VARIABLE] = base.get(SERVER_URL_VARIABLE, "")
    env |= around_proxies(env)
    # Without a terminal, Python holds its output back: the log would come only at the end.
    env.setdefault("PYTHONUNBUFFERED", "1")
    for key, value in tracker_defaults(env, run_id, paths).items():
        env.setdefault(key, value)
    if devices is not None:
        env["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
        # Device ids are NVML's, in bus order; CUDA's own order differs on mixed GPUs.
        env["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    return env


def tracker_defaults(env: Mapping[str, str], run_id: str, paths: RunPaths) -> dict[str, str]:
    """Where trackers keep a run's metrics if `env` does not say: in the run's folder.

    W&B works offline unless `env` has a key of its server; every MLflow run bears the run's id.
    """
    defaults = {
        "WANDB_DIR": str(paths.root),
        "TRACKIO_DIR": str(paths.root / TRACKIO_FOLDER),
        "MLFLOW_TRACKING_URI": (paths.root.absolute() / "mlruns").as_uri(),
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "MLFLOW_RUN_CONTEXT": json.dumps({RUN_TAG: run_id}),
    }
    if not env.get("WANDB_API_KEY"):
        defaults["WANDB_MODE"] = "offline"
    return defaults
