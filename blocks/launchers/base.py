"""The launcher interface: nothing above it knows where a command runs."""

from abc import ABC, abstractmethod
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict


class LaunchFailed(Exception):
    """The command could not be started; the text says why and what to do."""


class LaunchSpec(BaseModel):
    """What to launch.

    `folder` is the record folder: the process record and `exit_code` live there. stdout goes to
    `log` (appended), and stderr too unless `stderr` is set.
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
    """What is known of a launched command."""

    ABSENT = "absent"
    RUNNING = "running"
    EXITED = "exited"
    LOST = "lost"


class ProcessStatus(BaseModel):
    """State of a launched command; `started_at` is in Unix seconds."""

    model_config = ConfigDict(frozen=True)

    state: ProcessState
    exit_code: int | None = None
    pid: int | None = None
    started_at: float | None = None


class Launcher(ABC):
    """Starts commands that outlive the process that started them.

    A folder holds one launch for ever: launching into it again returns the status of the first,
    so that a retry or a second delivery never runs a command twice.
    """

    @abstractmethod
    async def launch(self, spec: LaunchSpec) -> ProcessStatus:
        """Start the command, or return the status of the one started in this folder before.

        Raises:
            LaunchFailed: the working directory or the folder is not there, or bash is missing.
        """

    @abstractmethod
    async def status(self, folder: Path) -> ProcessStatus:
        """What became of the command launched in `folder`."""

    @abstractmethod
    async def wait(self, folder: Path, timeout_seconds: float | None = None) -> ProcessStatus:
        """Wait for the end; RUNNING is returned when `timeout_seconds` have passed."""

    @abstractmethod
    async def stop(self, folder: Path, grace_seconds: float = 5.0) -> ProcessStatus:
        """TERM to the whole process tree, KILL after the grace; return once it is gone."""
