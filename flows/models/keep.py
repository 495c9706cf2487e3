"""Keep or discard: what an iteration's runs have shown, and what became of its change."""

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, Field

Direction = Literal["max", "min"]


class KeepStatus(StrEnum):
    """What became of an iteration's change."""

    KEEP = "keep"
    DISCARD = "discard"
    CRASH = "crash"


class Evidence(BaseModel):
    """The runs of one configuration of one iteration's code. `values` has one mean per seed."""

    configuration: str = Field(description="Command and parameters, without the seed.")
    values: list[float] = Field(default_factory=list)
    seeds: list[str] = Field(default_factory=list, description="Of `values`; `?` for none told.")
    failed_seeds: list[str] = Field(
        default_factory=list, description="Seeds tried that have no value."
    )
    run_ids: list[str] = Field(default_factory=list)
    names: list[str] = Field(default_factory=list)
    memory_mb: float | None = Field(default=None, description="Largest that a run has told.")
    busy: list[str] = Field(default_factory=list, description="Runs that shared their machine.")
    iteration: int = 0
    commit: str | None = None

    @property
    def n(self) -> int:
        """How many seeds."""
        return len(self.values)

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return sum(self.values) / len(self.values)


class Spread(BaseModel):
    """A standard deviation between seeds, with its degrees of freedom."""

    sd: float
    df: int


class Comparison(BaseModel):
    """A one-sided test of whether one configuration is better than another."""

    test: str = Field(description="Name of the test; `not established` where none is possible.")
    gain: float = Field(description="Mean against mean; above 0 is better in either direction.")
    p: float | None = Field(default=None, description="Adjusted for `tried` configurations.")
    alpha: float = 0.05
    tried: int = Field(default=1, description="Configurations that were compared with the best.")
    established: bool = False
    why: str = ""


class Verdict(BaseModel):
    """The decision about one iteration's change. `decided_at` is in Unix seconds."""

    iteration: int
    label: str
    status: KeepStatus
    why: str
    description: str = ""
    metric: str | None = None
    direction: Direction = "max"
    commit: str | None = None
    base: str | None = Field(default=None, description="The commit that the iteration began at.")
    candidate: Evidence | None = None
    against: Evidence | None = Field(default=None, description="The best before.")
    comparison: Comparison | None = None
    warnings: list[str] = Field(default_factory=list)
    tag: str | None = None
    reverted_by: str | None = Field(default=None, description="Commit that took the change back.")
    applied: bool = Field(default=False, description="False: to be carried out yet.")
    decided_at: float = 0.0


class KeepState(BaseModel):
    """What a session knows of kept and discarded changes; a part of its record."""

    base: str | None = Field(default=None, description="Commit that the iteration began at.")
    base_iteration: int | None = None
    metric: str | None = None
    direction: Direction = "max"
    best: Evidence | None = None
    spread: Spread | None = Field(default=None, description="Pooled over all configurations.")
    verdicts: list[Verdict] = Field(default_factory=list)

    def of(self, iteration: int) -> Verdict | None:
        """The decision about an iteration; None if there is none yet."""
        return next((one for one in self.verdicts if one.iteration == iteration), None)


class ResultRow(BaseModel):
    """A row of results.tsv. `metric` is the mean over seeds, `memory` is in MiB."""

    commit: str
    metric: float | None
    memory: float | None
    status: KeepStatus
    description: str
    iteration: int
    n: int
    sd: float | None
    best_mean: float | None = Field(description="Mean of the best before, compared with.")
    best_n: int | None
    gain: float | None
    p: float | None
    test: str
    seeds: str
    configuration: str
    reverted_by: str
    tag: str
    why: str
    warnings: str


class ResultsView(BaseModel):
    """Answer of `GET /wild/v2/results/{session_id}`."""

    session_id: str
    keep: str
    alpha: float
    metric: str | None
    direction: Direction
    best: Evidence | None
    rows: list[ResultRow]
    results_path: str
