"""Bodies that only the HTTP API has."""

import re
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from wildloop.blocks.cluster.models import ClusterType
from wildloop.flows.models.body import Body, Word
from wildloop.flows.models.metrics import MetricSource, TakenMetric
from wildloop.flows.models.run import MetricPoint, RunStatus
from wildloop.flows.models.session import TaskProgress

_WHOLE = re.compile(r"[+-]?[0-9]{1,9}")


class Health(BaseModel):
    """Answer of `GET /health`."""

    status: str = "ok"
    version: str
    workdir: str = Field(description="Folder of runs and sessions that name none.")
    ready: bool = Field(description="Whether a run that is asked for now would be taken.")
    reason: str | None = Field(default=None, description="Why it would not be.")


class Ready(BaseModel):
    """Answer of `GET /ready`."""

    ready: bool = True


class SystemHealth(BaseModel):
    """Answer of `GET /wild/v2/system-health`: runs by status, and room for more."""

    running: int
    queued: int
    ready: int
    completed: int
    failed: int
    total: int
    max_concurrent: int
    max_new_runs: int
    warnings: list[str] = Field(
        default_factory=list, description="What keeps runs from beginning, such as a full disk."
    )


class DetectRequest(Body):
    """Body of `POST /cluster/detect`; may be left out."""

    preferred_type: Word[ClusterType] | None = None


class BestMetric(BaseModel):
    """The best value that a run has reached in its primary metric."""

    metric: str
    direction: str
    value: float


class RunMetricsView(BaseModel):
    """Answer of `GET /runs/{id}/metrics`: the series by name, and where they come from."""

    run_id: str
    series: dict[str, list[MetricPoint]]
    last: dict[str, float] = Field(description="Last finite value by name.")
    lowest: dict[str, float]
    highest: dict[str, float]
    best: BestMetric | None = Field(description="Of the primary metric, where one is known.")
    sources: list[MetricSource]
    broken: int = Field(description="Damaged parts of all sources, passed over.")
    notes: list[str] = Field(description="What was left out, why, and what to do about it.")
    taken: list[TakenMetric] = Field(
        default_factory=list, description="What was taken for the metrics that are asked for."
    )
    origins: dict[str, str] = Field(default_factory=dict, description="The file of each, by name.")
    units: dict[str, str] = Field(default_factory=dict, description="As a log printed them.")


def _number(value: Any) -> Any:
    """A whole number that was sent as text."""
    return int(value) if isinstance(value, str) and _WHOLE.fullmatch(value) else value


class StatusReport(Body):
    """Body of `POST /runs/{id}/status`: what a process beside a run has seen of it.

    All of it is noted in the run's folder.
    """

    status: Word[RunStatus]
    exit_code: Annotated[int | None, BeforeValidator(_number)] = Field(
        default=None, ge=-255, le=255, description='A number, or a text like "3".'
    )
    error: Annotated[str, Field(max_length=10_000)] | None = None
    tmux_pane: Annotated[str, Field(max_length=1000)] | None = None
    wandb_dir: Annotated[str, Field(max_length=4096)] | None = None


class ArtifactFile(BaseModel):
    """A file of a run's folder. `modified` is in Unix seconds."""

    path: str = Field(description="Relative to the run's folder; as the download takes it.")
    name: str
    size: int
    modified: float


class RunArtifacts(BaseModel):
    """Answer of `GET /runs/{id}/artifacts`."""

    run_id: str
    run_dir: str
    files: list[ArtifactFile]
    notes: list[str] = Field(default_factory=list, description="What was left out, and why.")


class MetricEntry(Body):
    """Metrics of one step, as `{"step": 1, "loss": 0.3}` or `{"name": .., "value": ..}`."""

    model_config = ConfigDict(extra="allow")

    step: float | None = None
    time: float | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if isinstance((self.model_extra or {}).get("rows"), list):
            raise ValueError("rows: a list of entries stands alone")
        return self


MetricEntries = Annotated[list[MetricEntry], Field(min_length=1, max_length=10_000)]


class MetricRows(Body):
    """Many entries, as job sidecars send them. A row without a number is passed over, and told."""

    rows: MetricEntries


class Accepted(BaseModel):
    """How many metric values were taken."""

    accepted: int
    ignored: list[str] = Field(
        default_factory=list, description="Names whose values are no numbers, so not kept."
    )


class PlanView(BaseModel):
    """Answer of `GET /wild/v2/plan/{id}`."""

    session_id: str
    plan: str
    tasks: TaskProgress


class LogView(BaseModel):
    """Answer of `GET /wild/v2/iteration-log/{id}`."""

    session_id: str
    log: str


class ReportView(BaseModel):
    """Answer of `GET /wild/v2/report/{id}`."""

    session_id: str
    report: str = Field(description="Markdown.")
    report_path: str | None = Field(
        default=None, description="Its file; null for a report made for this answer."
    )
    page_path: str | None = Field(default=None, description="The same as a page (HTML).")


class ErrorBody(BaseModel):
    """Every error: what was asked, what was found, what to do."""

    detail: str
