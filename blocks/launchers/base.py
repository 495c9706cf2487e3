"""The launcher interface: nothing above it knows where a command runs."""

from abc import ABC, abstractmethod
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from wildloop.blocks.launchers.kubernetes_options import KubernetesOverride
from wildloop.blocks.launchers.slurm_options import SlurmOverride


class LaunchFailed(Exception):
    """The command could not be started, or cannot be reached; the text says what to do."""


class LaunchSpec(BaseModel):
    """What to launch.

    `folder` is the record folder: the process record and `exit_code` live there. `env` is the
    complete environment. stdout goes to `log` (appended), and stderr too unless `stderr` is set;
    stdin is empty unless `stdin` names a file. `name` is for people; `run_id` finds the launch
    again where the launcher hands it to a scheduler. A scheduler gives `gpus` devices on one host
    and may end the command after `timeout_seconds`; the local launcher leaves both to its caller.
    `slurm` replaces options of the Slurm launcher for this one launch, `kubernetes` those of the
    Kubernetes launcher; `gpu_type` is how a Kubernetes cluster names the type of GPU.
    """

    model_config = ConfigDict(frozen=True)

    folder: Path
    command: str
    cwd: Path
    env: dict[str, str]
    log: Path
    stderr: Path | None = None
    stdin: Path | None = None
    name: str = ""
    run_id: str = ""
    gpus: int = Field(default=0, ge=0)
    timeout_seconds: float | None = Field(default=None, gt=0)
    slurm: SlurmOverride | None = None
    kubernetes: KubernetesOverride | None = None
    gpu_type: str | None = None


class ProcessState(StrEnum):
    """What is known of a launched command.

    PENDING: accepted by a scheduler, waits for resources. EXITED: it left an exit code. LOST: it
    is gone and left none (killed with its wrapper, or the machine was restarted); never a success.
    """

    ABSENT = "absent"
    PENDING = "pending"
    RUNNING = "running"
    EXITED = "exited"
    LOST = "lost"


class ProcessStatus(BaseModel):
    """State of a launched command; times are Unix seconds.

    `exit_code` is there when EXITED: 128+n after signal n, 127 for a command that was not found.
    `reason` is a scheduler's word for why it waits or why it was ended ("TIMEOUT",
    "OUT_OF_MEMORY", "NODE_FAIL"): a command that was ended may still have chosen its exit code,
    0 as well. `devices` are the GPUs it was given, `job_id` the scheduler's number. `restarts`
    counts how often a scheduler has begun it anew, `earlier_seconds` is how long it ran before
    that; `started_at` is its latest start.
    """

    model_config = ConfigDict(frozen=True)

    state: ProcessState
    exit_code: int | None = None
    pid: int | None = None
    started_at: float | None = None
    ended_at: float | None = None
    reason: str | None = None
    host: str | None = None
    devices: tuple[str, ...] = ()
    job_id: str | None = None
    restarts: int = 0
    earlier_seconds: float = 0.0


class Launcher(ABC):
    """Starts commands that outlive the process that started them.

    A record folder holds one launch for ever: launching into it again returns the status of the
    first, so that a retry, a second delivery or a restart never runs a command twice. Everything
    that is known lies in the folder, so any launcher object can take up what another one began.
    """

    @abstractmethod
    async def launch(self, spec: LaunchSpec) -> ProcessStatus:
        """Start the command, or return the status of the one started in this folder before.

        The command is recorded when this returns, and also when it is cancelled meanwhile.

        Raises:
            LaunchFailed: the folder or working directory is not there, bash is missing, or a
                file cannot be opened.
        """

    @abstractmethod
    async def status(self, folder: Path) -> ProcessStatus:
        """What became of the command launched in `folder`.

        Raises:
            LaunchFailed: it was launched where this launcher cannot see it.
        """

    async def begun(self, folder: Path) -> ProcessStatus:
        """Wait while the command is PENDING; return its first other status.

        A launcher that starts commands at once has nothing to wait for.

        Raises:
            LaunchFailed: as `status`.
        """
        return await self.status(folder)

    async def ran(self, folder: Path, timeout_seconds: float | None = None) -> ProcessStatus:
        """Wait while the command is RUNNING; return its next other status.

        A scheduler may put it back into its queue: it is PENDING then. When `timeout_seconds` have
        passed (None: never), RUNNING is returned.

        Raises:
            LaunchFailed: as `status`.
        """
        return await self.wait(folder, timeout_seconds)

    @abstractmethod
    async def wait(self, folder: Path, timeout_seconds: float | None = None) -> ProcessStatus:
        """Wait for the end.

        When `timeout_seconds` have passed (None: never), RUNNING or PENDING is returned.

        Raises:
            LaunchFailed: as `status`.
        """

    @abstractmethod
    async def stop(self, folder: Path, grace_seconds: float = 5.0) -> ProcessStatus:
        """End the whole process tree: TERM, and KILL after the grace.

        Returns once every process of the launch is confirmed dead, also those that an ended
        command has left behind. Stopping what has ended, or was never launched, is allowed.

        Raises:
            LaunchFailed: as `status`.
        """
