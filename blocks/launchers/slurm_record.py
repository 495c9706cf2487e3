"""The files of a Slurm launch in its record folder; whoever reads them can take the job up."""

import os
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, ValidationError

from wildloop.blocks.launchers.record import EXIT_CODE

LOCK = "slurm.lock"
INTENT = "slurm_intent.json"
JOB = "slurm_job.json"
CLAIM = "slurm_claim"
START = "slurm_start.json"
END = "slurm_end.json"
STOP = "slurm_stop"
FINAL = "slurm_final.json"
EARLIER = "slurm_earlier.jsonl"
SUBMITTED = "slurm_submitted"
INNER = "slurm_inner.json"
SCRIPT = "batch.sh"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


Found = TypeVar("Found", bound=_Record)


class Intent(_Record):
    """Written before sbatch is called. `token` is in the job's comment and in its environment;
    `submits` says that the command hands a job in by itself, under the name `inner_name`. Slurm
    warns the job of its time limit no sooner than `warned_after` seconds from its start.
    """

    token: str
    run_id: str
    arguments: list[str]
    written_at: float
    submits: bool = False
    warned_after: float | None = None

    @property
    def comment(self) -> str:
        """The job's comment, by which it is found again."""
        return f"wildloop run={self.run_id} launch={self.token}"

    @property
    def inner_name(self) -> str:
        """Name of the jobs that the command itself submits."""
        return f"wildloop-{self.token}"


class Job(_Record):
    """Written after sbatch has answered."""

    job_id: str
    submitted_at: float


class Start(_Record):
    """Written by the job, once per attempt: `restart` counts Slurm's requeues."""

    job_id: str
    restart: int
    host: str
    pid: int
    boot: str
    devices: str
    started_at: float


class End(_Record):
    """Written by the job when its command has ended.

    A `signalled` attempt may yet be requeued: only Slurm can tell whether it was the last.
    """

    job_id: str
    restart: int
    exit_code: int
    signalled: bool
    ended_at: float


class Inner(_Record):
    """The jobs that the command itself has handed in, each with its state as last seen; with
    `is_over`, what came of them all, by `exit_code`.
    """

    jobs: dict[str, str] = {}
    is_over: bool = False
    exit_code: int = 0
    reason: str | None = None


class Final(_Record):
    """Slurm's last word on the job: it is over, and its processes are gone."""

    state: str
    reason: str | None
    exit_code: int | None
    host: str | None


def read(folder: Path, name: str, kind: type[Found]) -> Found | None:
    """A record; None where there is none.

    Raises:
        ValueError: it is there but damaged.
    """
    path = folder / name
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise ValueError(
            f"Slurm record '{path}' is damaged: see `squeue --me -o '%i %k'` for the job, and use "
            "a new record folder"
        ) from error


def read_claim(folder: Path) -> str | None:
    """The job that runs the command here, whatever was noted at submission."""
    path = folder / CLAIM
    return path.read_text(encoding="ascii").strip() if path.exists() else None


def earlier_seconds(folder: Path, start: Start) -> float:
    """How long the job ran before its latest start, as far as its ends were noted."""
    path, begun, seconds = folder / EARLIER, 0.0, 0.0
    if start.restart == 0 or not path.exists():
        return 0.0
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if "started_at" in line:
                begun = Start.model_validate_json(line).started_at
            else:
                seconds += max(0.0, End.model_validate_json(line).ended_at - begun)
        except ValidationError:
            # Cut short by the loss of the node.
            continue
    return seconds


def write(folder: Path, name: str, record: BaseModel) -> None:
    """Write a record as one step that survives a power cut."""
    write_text(folder, name, record.model_dump_json() + "\n")


def write_text(folder: Path, name: str, text: str) -> None:
    """Write a small file as one step that survives a power cut."""
    path = folder / f"{name}.{uuid4().hex[:8]}"
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    path.replace(folder / name)


def settle_exit_code(folder: Path, exit_code: int) -> None:
    """Make the code of the last attempt the launch's exit code."""
    write_text(folder, EXIT_CODE, f"{exit_code}\n")


def is_slurm_launch(folder: Path) -> bool:
    """Whether the launch in this folder was handed to Slurm, or was about to be."""
    return (folder / INTENT).exists()
