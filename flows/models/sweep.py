"""The sweep: a named group of runs with one goal."""

import json
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator
from pydantic.config import JsonDict

from wildloop.flows.models.body import NOT_BLANK, Body, Word
from wildloop.flows.models.compute import ComputeWish, check_wish
from wildloop.flows.models.run import RunCounts, RunCreate
from wildloop.flows.text.storable import UNUSABLE

MOST_RUNS = 1000


def _storable(value: str) -> str:
    if UNUSABLE.search(value):
        raise ValueError("must not contain a NUL or half a character")
    return value


Storable = Annotated[str, AfterValidator(_storable)]
Text = Annotated[Storable, Field(min_length=1, pattern=r"\S")]
Name = Annotated[Text, Field(max_length=200)]


class SweepStatus(StrEnum):
    """Status words of a sweep."""

    DRAFT = "draft"
    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


BEGINNINGS = (SweepStatus.DRAFT, SweepStatus.PENDING, SweepStatus.RUNNING)
_TWO_BEGINNINGS: JsonDict = {
    "properties": {"auto_start": {"const": True}, "status": {"enum": ["draft", "pending"]}},
    "required": ["auto_start", "status"],
}


class WildSweepCreate(Body):
    """Body of `POST /sweeps/wild`: a sweep that an agent fills run by run."""

    name: Name
    goal: Annotated[Storable, Field(min_length=1)]
    chat_session_id: Storable | None = None


def _finite(values: list[JsonValue]) -> list[JsonValue]:
    try:
        json.dumps(values, allow_nan=False)
    except ValueError as error:
        raise ValueError("must hold no NaN and no infinity: give them as text, 'nan'") from error
    return values


Values = Annotated[list[JsonValue], Field(min_length=1, max_length=10_000), AfterValidator(_finite)]


class SweepCreate(ComputeWish):
    """Body of `POST /sweeps`: a grid, of which every combination becomes a run.

    A sweep is `pending` by default: its runs are made and wait (`ready`) for its start. With
    `auto_start` or status `running` they are queued at once; a `draft` has none until its start.
    """

    model_config = ConfigDict(json_schema_extra={"not": _TWO_BEGINNINGS})

    name: Name
    base_command: Text = Field(
        description="Shell command; each run's parameters are appended to it as `--key=value`."
    )
    parameters: dict[Storable, Values] = Field(
        default_factory=dict,
        max_length=100,
        description="The values of each parameter, as `{lr: [0.1, 0.01], seed: [1, 2]}`.",
    )
    max_runs: int = Field(
        default=10, ge=1, le=MOST_RUNS, description="Combinations beyond are left out, and named."
    )
    auto_start: bool = False
    goal: Storable = ""
    workdir: Storable | None = Field(
        default=None,
        description="Folder to run in; default: the session's project, else the server's "
        "--workdir.",
    )
    status: Word[SweepStatus] | None = Field(
        default=None,
        description="draft, pending or running.",
        json_schema_extra={"enum": [*BEGINNINGS, None]},
    )
    chat_session_id: Storable | None = None
    gpus: int = Field(default=1, ge=0, le=1024, description="Slots that each run takes.")
    timeout_seconds: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _has_one_beginning(self) -> "SweepCreate":
        check_wish(self)
        if self.status not in (None, *BEGINNINGS):
            raise ValueError(
                f"status: a sweep cannot begin as '{self.status}': give draft, pending or running"
            )
        if self.auto_start and self.status in (SweepStatus.DRAFT, SweepStatus.PENDING):
            raise ValueError(
                f"auto_start: it contradicts status '{self.status}': leave out one of them"
            )
        return self

    @property
    def beginning(self) -> SweepStatus:
        """The status that the sweep begins with."""
        if self.auto_start:
            return SweepStatus.RUNNING
        return self.status or SweepStatus.PENDING


class SweepUpdate(Body):
    """Body of `PUT /sweeps/{id}`: what is left out stays.

    The grid can be changed while the sweep is a draft. `status`: `pending` makes a draft's runs,
    `running` starts them, `canceled` stops all that have not ended; the rest follows from the runs.
    """

    name: Name | None = None
    goal: Storable | None = None
    status: Word[SweepStatus] | None = None
    base_command: Text | None = None
    parameters: Annotated[dict[Storable, Values], Field(max_length=100)] | None = None
    max_runs: int | None = Field(default=None, ge=1, le=MOST_RUNS)
    workdir: Storable | None = None

    @property
    def grid_fields(self) -> list[str]:
        """The fields given that say which runs there are to be."""
        grid = ("base_command", "parameters", "max_runs", "workdir")
        return [name for name in grid if getattr(self, name) is not None]


class SweepRunCreate(RunCreate):
    """Body of `POST /sweeps/{id}/runs`.

    Without a command of its own the run has the sweep's, with `parameters` appended to it.
    """

    name: str = Field(
        default="",
        max_length=200,
        description="Default: from the parameters.",
        json_schema_extra=NOT_BLANK,
    )
    command: str = Field(
        default="",
        description="Default: base_command and the parameters.",
        json_schema_extra=NOT_BLANK,
    )


class AddToSweep(Body):
    """Body of `POST /runs/{id}/add-to-sweep`."""

    sweep_id: str | None = Field(description="null takes the run out of its sweep.")


class SweepRecord(BaseModel):
    """What is stored of a sweep; its runs and progress are read from the runs themselves."""

    id: str
    name: str
    goal: str = ""
    is_wild: bool = True
    base_command: str = ""
    parameters: dict[str, list[Any]] = Field(default_factory=dict)
    workdir: str | None = None
    chat_session_id: str | None = None
    researcher: int | None = Field(default=None, description="Of the session, who has made it.")
    created_at: float
    status: SweepStatus = Field(
        default=SweepStatus.PENDING, description="Status while no run has started."
    )
    max_runs: int | None = None
    gpus: int = 1
    compute: str | None = None
    gpu_type: str | None = None
    gpu_memory_gb: float | None = None
    timeout_seconds: float | None = None
    skipped: int = Field(default=0, description="Combinations beyond `max_runs`, not run.")
    notes: list[str] = Field(default_factory=list, description="What was left out, and why.")
    metric: str | None = Field(default=None, description="Primary metric, where one is known.")
    direction: str = Field(default="max", pattern="^(max|min)$")


class SweepBest(BaseModel):
    """The best run of a sweep by its primary metric."""

    run_id: str
    run_name: str
    metric: str
    value: float


class Sweep(SweepRecord):
    """A sweep as the API shows it."""

    run_ids: list[str] = Field(default_factory=list)
    progress: RunCounts = Field(default_factory=RunCounts)
    best: SweepBest | None = None
    ui_url: str | None = None


def sweep_status(record_status: SweepStatus, progress: RunCounts) -> SweepStatus:
    """Derive a sweep's status from its runs' counts.

    Running while any run is queued or active, pending while all wait to be started, then
    failed if every run failed, canceled if every run or the sweep itself was stopped, else
    completed.
    """
    if progress.total == 0:
        return record_status
    if progress.queued or progress.launching or progress.running:
        return SweepStatus.RUNNING
    if record_status is SweepStatus.CANCELED:
        return record_status
    if progress.ready == progress.total:
        return record_status
    if progress.ready:
        return SweepStatus.RUNNING
    if progress.failed == progress.total:
        return SweepStatus.FAILED
    if progress.canceled == progress.total:
        return SweepStatus.CANCELED
    return SweepStatus.COMPLETED
