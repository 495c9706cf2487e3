"""The sweep: a named group of runs with one goal."""

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, Field

from flows.models.run import RunCounts


class SweepStatus(StrEnum):
    """Status words of a sweep."""

    DRAFT = "draft"
    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


class WildSweepCreate(BaseModel):
    """Body of `POST /sweeps/wild`: a sweep that an agent fills run by run."""

    name: str = Field(min_length=1, max_length=200)
    goal: str = Field(min_length=1)
    chat_session_id: str | None = None


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
    created_at: float
    status: SweepStatus = Field(
        default=SweepStatus.PENDING, description="Status while no run has started."
    )
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
    failed if every run failed, canceled if every run was stopped, else completed.
    """
    if progress.total == 0:
        return record_status
    if progress.queued or progress.launching or progress.running:
        return SweepStatus.RUNNING
    if progress.ready == progress.total:
        return record_status
    if progress.ready:
        return SweepStatus.RUNNING
    if progress.failed == progress.total:
        return SweepStatus.FAILED
    if progress.canceled == progress.total:
        return SweepStatus.CANCELED
    return SweepStatus.COMPLETED
