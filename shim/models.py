"""Bodies that only the HTTP API has."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from blocks.cluster.models import ClusterType
from flows.models.run import MetricPoint
from flows.models.session import TaskProgress


class Health(BaseModel):
    """Answer of `GET /health`."""

    status: str = "ok"
    version: str


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


class DetectRequest(BaseModel):
    """Body of `POST /cluster/detect`; may be left out."""

    preferred_type: ClusterType | None = None


class RunMetrics(BaseModel):
    """Answer of `GET /runs/{id}/metrics`."""

    run_id: str
    series: dict[str, list[MetricPoint]]
    last: dict[str, float]


class MetricEntry(BaseModel):
    """Metrics of one step, as `{"step": 1, "loss": 0.3}` or `{"name": .., "value": ..}`."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    step: float | None = None
    time: float | None = None


MetricEntries = Annotated[list[MetricEntry], Field(min_length=1, max_length=10_000)]


class Accepted(BaseModel):
    """How many metric values were taken."""

    accepted: int


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
    report: str
    report_path: str


class ErrorBody(BaseModel):
    """Every error: what was asked, what was found, what to do."""

    detail: str
