"""The run: one command, one configuration, one tracked outcome."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, Field, field_validator, model_validator
from pydantic.json_schema import SkipJsonSchema

from wildloop.blocks.launchers.kubernetes_options import KubernetesOverride
from wildloop.blocks.launchers.slurm_options import SlurmOverride
from wildloop.flows.models.body import NOT_BLANK, Body
from wildloop.flows.models.compute import ComputeWish, check_wish

MOST_NAMES = 1_000
"""Parameters and variables of one run: each is kept, shown and compared many times."""


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
    tried `retries` more times (-1: as often as it takes), each after `retry_delay_seconds`
    (default: 30).
    """

    enabled: bool | None = None
    retries: int | None = Field(default=None, ge=-1)
    retry_delay_seconds: float | None = Field(default=None, ge=0)


MOST_PRIORITY = 1000


class Checkout(Body):
    """The exact code of a run: a commit of its repository, and changes on top of it."""

    git_commit: str = Field(pattern=r"^[0-9a-fA-F]{7,64}$")
    patch: str | None = Field(default=None, description="File with the changes, for `git apply`.")
    snapshot: str | None = Field(
        default=None,
        pattern=r"^[0-9a-fA-F]{7,64}$",
        description="The commit with the changes, as a commit that no branch knows.",
    )


class RunSpec(ComputeWish):
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
        default_factory=dict,
        max_length=MOST_NAMES,
        description="The configuration, for tables; not added to `command`.",
    )
    env: dict[str, str] = Field(
        default_factory=dict, max_length=MOST_NAMES, description="Extra environment variables."
    )
    gpus: int = Field(
        default=1,
        ge=0,
        le=1024,
        description="Slots of the GPU limit (and devices, where there are any); 0: CPU only.",
    )
    timeout_seconds: float | None = Field(
        default=None,
        gt=0,
        description="The command is ended after running for so long (default: never).",
    )
    seed: int | None = Field(default=None, description="Seed, recorded in the manifest.")
    priority: int = Field(
        default=0, ge=-MOST_PRIORITY, le=MOST_PRIORITY, description="Higher starts first."
    )
    sweep_id: str | None = Field(default=None, description="Sweep that the run belongs to.")
    chat_session_id: str | None = Field(
        default=None, description="Session that the run belongs to."
    )
    parent_run_id: str | None = Field(default=None, description="Run that this one repeats.")
    origin_alert_id: str | None = Field(default=None, description="Alert that led to this run.")
    gpuwrap_config: GpuWrapConfig | None = None
    metric: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="What it measures (default: the metric of its session or project).",
    )
    retries: int = Field(default=0, ge=0, le=100, description="More attempts after a failure.")
    retry_delay_seconds: float = Field(default=0.0, ge=0, le=86_400 * 7)
    slurm: SlurmOverride | None = Field(
        default=None, description="Slurm options of this run, instead of the compute block's."
    )
    kubernetes: KubernetesOverride | None = Field(
        default=None, description="Kubernetes options of this run, instead of the block's."
    )
    checkout: Checkout | None = Field(
        default=None, description="Run this code in a worktree of its own, not what is there."
    )
    researcher: int | None = Field(
        default=None,
        ge=1,
        le=16,
        description="Whose run it is, where several researchers work on its session.",
    )

    place: SkipJsonSchema[str | None] = Field(
        default=None, description="The mark of its folder, set by Wildloop: see `files/place.py`."
    )

    @model_validator(mode="after")
    def _even(self) -> Self:
        nodes = self.slurm.nodes if self.slurm is not None else None
        if nodes and self.gpus % nodes:
            raise ValueError(
                f"gpus: {self.gpus} cannot be spread evenly over {nodes} nodes (slurm.nodes): give "
                "a multiple of it"
            )
        check_wish(self)
        return self

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
    checkout: Checkout | None = Field(
        default=None,
        description="Run this code instead; the run belongs to no session, and changes no account.",
    )
    command: str | None = Field(
        default=None,
        min_length=1,
        pattern=r"\S",
        description="Another command (default: the same).",
    )
    auto_start: bool = Field(default=True, description="Queue at once; otherwise `ready`.")
    origin_alert_id: str | None = Field(default=None, description="Alert that led to this run.")
    gpuwrap_config: GpuWrapConfig | None = Field(
        default=None, description="Instead of the first run's."
    )


class Withdrawal(Body):
    """Body of `POST /runs/{id}/withdraw`."""

    reason: str = Field(
        min_length=1, max_length=500, pattern=r"\S", description="Why, for ledger and report."
    )


class RunUpdate(Body):
    """Body of `PUT /runs/{id}`: what may be changed of a run that was not yet launched."""

    name: str | None = Field(default=None, min_length=1, max_length=200, pattern=r"\S")
    command: str | None = Field(default=None, min_length=1, pattern=r"\S")
    priority: int | None = Field(default=None, ge=-1000, le=1000)
    timeout_seconds: float | None = Field(default=None, gt=0)
    sweep_id: str | None = Field(
        default=None, description="Another sweep; null takes the run out of its sweep."
    )


class MetricPoint(BaseModel):
    """One value of one metric series."""

    name: str
    value: float | None = Field(description="None stands for NaN or infinite.")
    step: float | None = None
    time: float | None = None


class Run(BaseModel):
    """A run as the API shows it. Times are Unix seconds."""

    id: str
    name: str
    command: str
    workdir: str
    status: RunStatus
    sweep_id: str | None = None
    chat_session_id: str | None = Field(default=None, description="Its session's own id.")
    front_end_id: str | None = Field(
        default=None, description="What another front end calls the session."
    )
    researcher: int | None = Field(
        default=None, description="Whose it is, where several work on the session."
    )
    parent_run_id: str | None = None
    origin_alert_id: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    seed: int | None = None
    priority: int = 0
    gpus_requested: int = 1
    compute: str | None = Field(
        default=None, description="The compute that it was given; before that, what it asks for."
    )
    gpu_type: str | None = Field(default=None, description="Type of GPU that it asks for.")
    gpu_memory_gb: float | None = Field(default=None, description="Memory of each, at least.")
    timeout_seconds: float | None = None
    created_at: float
    queued_at: float | None = None
    launched_at: float | None = Field(default=None, description="When a worker took it up.")
    started_at: float | None = Field(default=None, description="When its command was started.")
    finished_at: float | None = None
    exit_code: int | None = None
    error: str | None = None
    gpus: list[str] = Field(default_factory=list, description="Device ids the run got.")
    host: str | None = None
    run_dir: str
    git_commit: str | None = None
    code: str | None = Field(
        default=None,
        description="Digest of the files that it executed, notes and outputs left out.",
    )
    code_lines: int | None = Field(
        default=None, description="Lines of these files; none where they were not counted."
    )
    code_note: str = Field(default="", description="Why its code is unknown, if it is.")
    startup: dict[str, float] = Field(
        default_factory=dict,
        description="What its Python carried out by itself and no package brings, and when each "
        "was last changed (Unix seconds).",
    )
    environment: str = Field(
        default="", description="Digest of the environment that was asked for; empty for none."
    )
    variables: list[str] = Field(
        default_factory=list, description="Environment variables that its request sets."
    )
    violations: list[str] = Field(
        default_factory=list, description="What was seen of it that takes belief from its value."
    )
    shared_files: list[str] = Field(
        default_factory=list,
        description="Outputs that a run beside it in the same folder may have written, too.",
    )
    sealed: str = Field(
        default="", description="Digest of its metrics as they were at its end; empty: not yet."
    )
    withdrawn: str = Field(default="", description="Why it was taken out of the comparison.")
    is_archived: bool = False
    attempt: int = 0
    reason: str | None = Field(default=None, description="Why it waits, where that is known.")
    job_id: str | None = Field(default=None, description="Slurm's number of the job.")
    restarts: int = Field(default=0, description="How often Slurm has begun it anew.")
    earlier_seconds: float = Field(
        default=0.0,
        description="How long it ran before Slurm began it anew; `started_at` is its latest start.",
    )
    gpuwrap_config: GpuWrapConfig | None = None
    metrics: dict[str, float] = Field(default_factory=dict, description="Last value by name.")
    series: dict[str, list[MetricPoint]] | None = Field(
        default=None, description="Of the metrics that a list was asked for."
    )
    diverged: list[str] = Field(
        default_factory=list, description="Metrics that ended as NaN or infinite: no value."
    )
    is_measured: bool = Field(
        default=False, description="Whether it has the metric that it is judged by."
    )
    unmeasured: str = Field(
        default="",
        description="Where the metric that it is judged by was not found: what was seen, where was "
        "looked, and the mend.",
    )
    cpu_seconds: float | None = Field(
        default=None, description="CPU time that it has used, once it has ended; not of Slurm's."
    )
    peak_memory: int | None = Field(
        default=None,
        description="Bytes that its largest process had at its peak, once it has ended. Known only "
        "above the worker's own; not of Slurm's, nor of one that was taken up again.",
    )
    ui_url: str | None = None


class RunFacts(BaseModel):
    """What execution found out about a run, kept as Prefect flow-run labels (flat values)."""

    queued_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    exit_code: int | None = None
    host: str | None = None
    gpus: str | None = Field(default=None, description="Comma-separated device ids.")
    compute: str | None = Field(default=None, description="Where several can be chosen from.")
    run_dir: str | None = None
    git_commit: str | None = None
    code: str | None = None
    code_lines: int | None = None
    startup: str | None = Field(default=None, description="JSON object: path to Unix seconds.")
    code_note: str | None = None
    violations: str | None = Field(default=None, description="JSON list of texts.")
    shared_files: str | None = Field(default=None, description="JSON list of paths.")
    sealed: str | None = Field(default=None, description="Digest of the sealed metrics.")
    withdrawn: str | None = None
    attempt: int | None = None
    metrics: str | None = Field(default=None, description="JSON object of last values.")
    diverged: str | None = Field(default=None, description="JSON list of names.")
    unmeasured: str | None = None
    measured: bool | None = Field(default=None, description="Whether the wanted metric is there.")
    cpu_seconds: float | None = None
    peak_memory: int | None = None
    archived: bool | None = None
    reason: str | None = None
    job_id: str | None = None
    restarts: int | None = None
    earlier_seconds: float | None = None


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


class LogChunk(BaseModel):
    """A part of a run's log. `offset` and `next_offset` are bytes."""

    run_id: str
    content: str
    offset: int
    next_offset: int
    size: int
    eof: bool = Field(description="True if the run has ended and this reaches the end.")
    notes: list[str] = Field(default_factory=list, description="What of it is not here, and why.")
