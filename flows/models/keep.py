"""Keep or discard: what an iteration's runs have shown, and what became of its change."""

from enum import StrEnum

from pydantic import BaseModel, Field

from wildloop.flows.models.evidence import Comparison, Direction, Level


class KeepStatus(StrEnum):
    """What became of an iteration's change."""

    KEEP = "keep"
    DISCARD = "discard"
    CRASH = "crash"
    ABLATION = "ablation"
    WITHDRAWN = "withdrawn"


class Evidence(BaseModel):
    """A configuration as a decision saw it. `values` has one mean per seed."""

    id: str = Field(default="", description="Of its configuration.")
    configuration: str = Field(description="Command and parameters, without the seed.")
    values: list[float] = Field(default_factory=list)
    seeds: list[str] = Field(default_factory=list, description="Of `values`.")
    failed_seeds: list[str] = Field(
        default_factory=list, description="Seeds tried that have no value."
    )
    run_ids: list[str] = Field(default_factory=list)
    names: list[str] = Field(default_factory=list)
    memory_mb: float | None = Field(default=None, description="Largest that a run has told.")
    busy: list[str] = Field(default_factory=list, description="Runs that shared their machine.")
    code: str | None = Field(default=None, description="Digest of the files that ran.")
    level: Level = Level.CLAIMED
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
    is_tested: bool = Field(
        default=True, description="False: the agent's own seeds did not call for a test."
    )
    refused: str = Field(
        default="", description="Why a change that its test has shown is not kept all the same."
    )
    warnings: list[str] = Field(default_factory=list)
    tag: str | None = None
    started_from: str = Field(
        default="",
        description="Node of the tree whose code it began with; empty: with what lay there.",
    )
    reverted_by: str | None = Field(default=None, description="Commit that took the change back.")
    onto: str | None = Field(
        default=None, description="Of several researchers: what the session's branch held."
    )
    merged: str | None = Field(
        default=None, description="The code with the change on `onto`, put on the branch."
    )
    applied: bool = Field(default=False, description="False: to be carried out yet.")
    decided_at: float = 0.0

    @property
    def is_shown(self) -> bool:
        """Whether a test has shown the change to be better than what it is compared with."""
        return self.comparison is not None and self.comparison.established


class Decided(BaseModel):
    """A decision before it is noted, with what is the best by it."""

    verdict: Verdict
    best: Evidence | None = None
    baseline: str | None = None


class Merge(Decided):
    """A change of one of several researchers that is to be kept, once its merged code was run."""

    begun: str = Field(description="Commit of the session's branch that the change began at.")
    task: str | None = Field(default=None, description="Of the plan.")
    onto: str | None = Field(default=None, description="What the merged code was made on.")
    merged: str | None = Field(
        default=None, description="The merged code that is run; None: not begun yet."
    )


class Start(BaseModel):
    """The code that an iteration begins with, where that is not what lay there."""

    iteration: int
    node: str = Field(description="Id of the node of the tree whose code it is.")
    commit: str = Field(description="Of that node.")
    why: str = Field(default="", description="Who has chosen it, and for what.")
    made: str | None = Field(
        default=None, description="Commit that brought the code back; None: to be made yet."
    )


class KeepState(BaseModel):
    """What a session knows of kept and discarded changes; a part of its record."""

    base: str | None = Field(
        default=None,
        description="Commit that the iteration began at, before another node's code was put there.",
    )
    base_iteration: int | None = None
    asked: str | None = Field(
        default=None, description="Where the agent wants the next iteration to start from."
    )
    start: Start | None = Field(default=None, description="Of the last iteration that has one.")
    start_index: int | None = Field(
        default=None, description="The last iteration whose beginning was chosen."
    )
    start_fault: str = Field(
        default="", description="Why that iteration does not begin where it was to."
    )
    metric: str | None = None
    direction: Direction = "max"
    best: Evidence | None = None
    baseline: str | None = Field(
        default=None, description="Id of the configuration that was measured first."
    )
    verdicts: list[Verdict] = Field(default_factory=list)
    begun: int = Field(
        default=0, description="How many verdicts belong to comparisons that are over."
    )

    def begin_anew(self) -> None:
        """A new comparison: nothing is the best yet, and what was kept before is not compared."""
        self.begun = len(self.verdicts)
        self.best = self.baseline = None

    @property
    def current(self) -> list[Verdict]:
        """The decisions of the comparison that goes on."""
        return self.verdicts[self.begun :]

    def start_of(self, iteration: int) -> Start | None:
        """The node that an iteration has begun at; None where it went on from what lay there."""
        start = self.start
        is_its = start is not None and start.iteration == iteration and start.made is not None
        return start if is_its else None

    def of(self, iteration: int) -> Verdict | None:
        """The decision about an iteration; None if there is none yet."""
        return next((one for one in self.verdicts if one.iteration == iteration), None)

    @property
    def won(self) -> list[Verdict]:
        """The decisions that have kept a change because its test has shown it."""
        return [
            one
            for one in self.current
            if one.status is KeepStatus.KEEP and one.comparison and one.comparison.established
        ]

    @property
    def kept(self) -> Verdict | None:
        """The decision that made the best what it is; None for the first measurement."""
        return self.won[-1] if self.won else None

    @property
    def tests(self) -> int:
        """How many tests have been made since something was kept by one."""
        count = 0
        for one in self.current:
            if one.comparison is None or one.comparison.p is None or not one.is_tested:
                continue
            count = 0 if one.comparison.established else count + 1
        return count


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
    best_sd: float | None
    gain: float | None
    p: float | None = Field(description="One-sided, of this test alone.")
    limit: float | None = Field(description="What p had to be below.")
    test: str
    seeds: str
    configuration: str
    reverted_by: str
    tag: str
    why: str
    warnings: str
    level: str = Field(default="", description="Of the values: claimed, measured or confirmed.")


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
