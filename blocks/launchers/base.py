"""The launcher interface: nothing above it knows where a command runs."""

from abc import ABC, abstractmethod
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict


class LaunchFailed(Exception):
    """The command could not be started, or cannot be reached; the text says what to do."""


class LaunchSpec(BaseModel):
    """What to launch.

    `folder` is the record folder: the process record and `exit_code` live there. `env` is the
    complete environment. stdout goes to `log` (appended), and stderr too unless `stderr` is set;
    stdin is empty unless `stdin` names a file.
    """

    model_config = ConfigDict(frozen=True)

    folder: Path
    command: str
    cwd: Path
    env: dict[str, str]
    log: Path
    stderr: Path | None = None
    stdin: Path | None = None


class ProcessState(StrEnum):
    """What is known of a launched command.

    EXITED: it left an exit code. LOST: it is gone and left none (killed with its wrapper, or the
    machine was restarted); never a success.
    """

    ABSENT = "absent"
    RUNNING = "running"
    EXITED = "exited"
    LOST = "lost"


class ProcessStatus(BaseModel):
    """State of a launched command; times are Unix seconds.

    `exit_code` is there when EXITED: 128+n after signal n, 127 for a command that was not found.
    """

    model_config = ConfigDict(frozen=True)

    state: ProcessState
    exit_code: int | None = None
    pid: int | None = None
    started_at: float | None = None
    ended_at: float | None = None


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

    @abstractmethod
    async def wait(self, folder: Path, timeout_seconds: float | None = None) -> ProcessStatus:
        """Wait for the end; RUNNING is returned when `timeout_seconds` have passed (None: never).

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
