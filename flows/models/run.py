"""The run: one command, one configuration, one tracked outcome."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from blocks.launchers.slurm_options import SlurmOverride
from flows.models.body import NOT_BLANK, Body


class RunStatus(StrEnum):
    """The status words of a run, as the HTTP API and the files use them."""

    READY = "ready"
    QUEUED = "queued"
    LAUNCHING = "launching"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def is_active(self) -> bool:
        """True while the run holds a slot (launching or running)."""
        return self in (RunStatus.LAUNCHING, RunStatus.RUNNING)

    @property
    def is_terminal(self) -> bool:
        """True once the run has its one outcome."""
        return self in (RunStatus.FINISHED, RunStatus.FAILED, RunStatus.STOPPED)

    def can_become(self, other: "RunStatus") -> bool:
        """Whether the transition to `other` is allowed."""
        return other in _TRANSITIONS[self]


_TRANSITIONS: dict[RunStatus, frozenset[RunStatus]] = {
    RunStatus.READY: frozenset({RunStatus.QUEUED, RunStatus.STOPPED}),
    RunStatus.QUEUED: frozenset({RunStatus.LAUNCHING, RunStatus.STOPPED}),
    RunStatus.LAUNCHING: frozenset({RunStatus.RUNNING, RunStatus.FAILED, RunStatus.STOPPED}),
    RunStatus.RUNNING: frozenset({RunStatus.FINISHED, RunStatus.FAILED, RunStatus.STOPPED}),
    RunStatus.FINISHED: frozenset(),
    RunStatus.FAILED: frozenset(),
    RunStatus.STOPPED: frozenset(),
}


class GpuWrapConfig(Body):
    """How a run behaves beside GPU users outside Wildloop.

    `enabled` true leaves alone every device that outside processes use, false none; by default
    those that other users' processes use. A run that died for want of a GPU that others use is
    tried `retries` more times, each after `retry_delay_seconds` (default: 30).
    """

    model_config = ConfigDict(extra="allow")

    enabled: bool | None = None
    retries: int | None = Field(default=None, ge=0)
    retry_delay_seconds: float | None = Field(default=None, ge=0)


class Checkout(Body):
    """The exact code of a run: a commit of its repository, and changes on top of it."""

    git_commit: str = Field(pattern=r"^[0-9a-fA-F]{7,64}$")
    patch: str | None = Field(default=None, description="File with the changes, for `git apply`.")
    snapshot: str | None = Field(
        default=None,
        pattern=r"^[0-9a-fA-F]{7,64}$",
        description="The commit with the changes, as a commit that no branch knows.",
    )


class RunSpec(Body):
    """What to run: the body of `POST /runs` and the parameter of the `experiment` flow."""

    name: str = Field(
        min_length=1,
        max_length=200,
        description="Short name, unique by habit.",
        json_schema_extra=NOT_BLANK,
    )
    command: str = Field(
        min_length=1,
        description="Shell command, run by bash in `workdir`; one configuration.",
        json_schema_extra=NOT_BLANK,
    )
    workdir: str | None = Field(
        default=None,
        description="Folder to run in; default: the session's project, else the server's "
        "--workdir.",
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="The configuration, for tables; not added to `command`."
    )
    env: dict[str, str] = Field(default_factory=dict, description="Extra environment variables.")
    gpus: int = Field(
        default=1,
        ge=0,
        le=1024,
        description="Slots of the GPU limit (and devices, where there are any); 0: CPU only.",
    )
    timeout_seconds: float | None = Field(
        default=None, gt=0, description="The command is ended after this long (default: never)."
    )
    seed: int | None = Field(default=None, description="Seed, recorded in the manifest.")
    priority: int = Field(default=0, ge=-1000, le=1000, description="Higher starts first.")
    sweep_id: str | None = Field(default=None, description="Sweep that the run belongs to.")
    chat_session_id: str | None = Field(
        default=None, description="Session that the run belongs to."
    )
    parent_run_id: str | None = Field(default=None, description="Run that this one repeats.")
    origin_alert_id: str | None = Field(default=None, description="Alert that led to this run.")
    gpuwrap_config: GpuWrapConfig | None = None
    retries: int = Field(default=0, ge=0, le=100, description="More attempts after a failure.")
    retry_delay_seconds: float = Field(default=0.0, ge=0, le=86_400 * 7)
    slurm: SlurmOverride | None = Field(
        default=None, description="Slurm options of this run, instead of the compute block's."
    )
    checkout: Checkout | None = Field(
        default=None, description="Run this code in a worktree of its own, not what is there."
    )

    @field_validator("name", "command")
    @classmethod
    def _not_blank(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("must not be blank")
        if "\x00" in value:
            raise ValueError("must not contain a NUL character")
        return value.strip()


class RunCreate(RunSpec):
    """Body of `POST /runs`."""

    auto_start: bool = Field(
        default=False, description="Queue at once; otherwise the run is `ready` until started."
    )


class RunRerun(Body):
    """Body of `POST /runs/{id}/rerun`."""

    exact: bool = Field(
        default=False,
        description="Run the commit and uncommitted changes of the first time, in a worktree of "
        "their own; otherwise the code as it is now.",
    )
    command: str | None = Field(
        default=None,
        min_length=1,
        pattern=r"\S",
        description="Another command (default: the same).",
    )
    auto_start: bool = Field(default=True, description="Queue at once; otherwise `ready`.")
    origin_alert_id: str | None = Field(default=None, description="Alert that led to this run.")


class RunUpdate(Body):
    """Body of `PUT /runs/{id}`: what may be changed of a run that was not yet launched."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(default=None, min_length=1, max_length=200, pattern=r"\S")
    command: str | None = Field(default=None, min_length=1, pattern=r"\S")
    priority: int | None = Field(default=None, ge=-1000, le=1000)
    timeout_seconds: float | None = Field(default=None, gt=0)
    sweep_id: str | None = Field(
        default=None, description="Another sweep; null takes the run out of its sweep."
    )


class Run(BaseModel):
    """A run as the API shows it. Times are Unix seconds."""

    id: str
    name: str
    command: str
    workdir: str
    status: RunStatus
    sweep_id: str | None = None
    chat_session_id: str | None = None
    parent_run_id: str | None = None
    origin_alert_id: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    seed: int | None = None
    priority: int = 0
    gpus_requested: int = 1
    timeout_seconds: float | None = None
    created_at: float
    queued_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    exit_code: int | None = None
    error: str | None = None
    gpus: list[str] = Field(default_factory=list, description="Device ids the run got.")
    host: str | None = None
    run_dir: str
    git_commit: str | None = None
    is_archived: bool = False
    attempt: int = 0
    reason: str | None = Field(default=None, description="Why it waits, where that is known.")
    job_id: str | None = Field(default=None, description="Slurm's number of the job.")
    metrics: dict[str, float] = Field(default_factory=dict, description="Last value by name.")
    ui_url: str | None = None


class RunFacts(BaseModel):
    """What execution found out about a run, kept as Prefect flow-run labels (flat values)."""

    queued_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    exit_code: int | None = None
    host: str | None = None
    gpus: str | None = Field(default=None, description="Comma-separated device ids.")
    run_dir: str | None = None
    git_commit: str | None = None
    attempt: int | None = None
    metrics: str | None = Field(default=None, description="JSON object of last values.")
    archived: bool | None = None
    reason: str | None = None
    job_id: str | None = None


class RunCounts(BaseModel):
    """How many runs have each status."""

    total: int = 0
    ready: int = 0
    queued: int = 0
    launching: int = 0
    running: int = 0
    completed: int = 0
    failed: int = 0
    canceled: int = 0

    @classmethod
    def of(cls, numbers: Mapping[RunStatus, int]) -> "RunCounts":
        """From numbers by status; finished counts as completed, stopped as canceled."""
        words = {RunStatus.FINISHED: "completed", RunStatus.STOPPED: "canceled"}
        named = {words.get(status, status.value): count for status, count in numbers.items()}
        return cls(total=sum(numbers.values()), **named)


class MetricPoint(BaseModel):
    """One value of one metric series."""

    name: str
    value: float | None = Field(description="None stands for NaN or infinite.")
    step: float | None = None
    time: float | None = None


class LogChunk(BaseModel):
    """A part of a run's log. `offset` and `next_offset` are bytes."""

    run_id: str
    content: str
    offset: int
    next_offset: int
    size: int
    eof: bool = Field(description="True if the run has ended and this reaches the end.")
