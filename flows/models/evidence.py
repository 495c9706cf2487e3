"""The account of a session's evidence: estimates, comparisons, and what they come to."""

from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, Field

Direction = Literal["max", "min"]


class Level(StrEnum):
    """What stands behind a value, from least to most."""

    CLAIMED = "claimed"
    MEASURED = "measured"
    CONFIRMED = "confirmed"
    SEALED = "sealed"


class Estimate(BaseModel):
    """Mean over distinct seeds of one configuration; `low` and `high` are its 95 % t interval."""

    seeds: list[str] = Field(
        default_factory=list, description="Of `values`; `run ID` for a run that told no seed."
    )
    values: list[float] = Field(default_factory=list)
    mean: float | None = None
    sd: float | None = Field(default=None, description="Of the sample (n - 1); none below two.")
    low: float | None = None
    high: float | None = None

    @property
    def n(self) -> int:
        """How many distinct seeds."""
        return len(self.values)

    @property
    def text(self) -> str:
        """`0.971 ± 0.003 (n=3)`"""
        if self.mean is None:
            return "no value"
        spread = f" ± {self.sd:.2g}" if self.sd is not None else ""
        return f"{self.mean:.5g}{spread} (n={self.n})"


class Comparison(BaseModel):
    """One configuration against another. A `gain` above 0 is better in either direction."""

    test: str = Field(description="Name of the test; `not established` where none is possible.")
    gain: float = Field(description="Mean against mean.")
    ours: Estimate = Field(default_factory=Estimate)
    theirs: Estimate = Field(default_factory=Estimate)
    error: float | None = Field(default=None, description="Standard error of the gain.")
    df: float | None = Field(default=None, description="Degrees of freedom of the test.")
    p: float | None = Field(default=None, description="One-sided, of this test alone.")
    low: float | None = Field(default=None, description="95 % interval of the gain.")
    high: float | None = None
    alpha: float = Field(default=0.05, description="Of the whole session.")
    tried: int = Field(default=1, description="Tests that share `alpha`.")
    limit: float = Field(default=0.05, description="What p has to be below, corrected.")
    further: int = Field(
        default=0,
        description="Seeds of each side that gain, means and interval come from and that have "
        "decided nothing; p is of those that decided. 0: all is of those that decided.",
    )
    established: bool = False
    why: str = ""


class RunNote(BaseModel):
    """A run with its value, and what is to be known of it."""

    run_id: str
    name: str
    seed: str | None = None
    status: str
    value: float | None = None
    level: Level = Level.CLAIMED
    chose: bool = Field(default=False, description="Its value chose the configuration.")
    note: str = ""


class Standing(StrEnum):
    """What a configuration is, in the account."""

    BASELINE = "baseline"
    BEST = "best"
    BETTER = "shown better than the baseline"
    BROKEN = "better, but breaks a guard"
    UNDECIDED = "not shown to be better"
    CANDIDATE = "candidate: too few seeds"
    INCOMPLETE = "a seed of it has no value"
    NO_VALUE = "no value"
    WITHDRAWN = "withdrawn"
    OFF_BRANCH = "not on the branch"


class ConfigurationView(BaseModel):
    """What ran, apart from the seed, and what came of it."""

    id: str
    label: str
    program: str
    settings: dict[str, Any]
    command: str = Field(description="Of its first run, as it ran, seed included.")
    code: str | None = Field(description="Digest of the files that its runs executed.")
    code_name: str = ""
    commit: str | None = None
    blobs: dict[str, str] = Field(default_factory=dict, description="Git blob by path.")
    runs: list[RunNote]
    estimate: Estimate
    confirming: Estimate | None = Field(
        default=None, description="Over the seeds that ran after its first values were known."
    )
    missing_seeds: list[str] = Field(default_factory=list)
    not_reproducible: list[str] = Field(default_factory=list)
    level: Level = Level.CLAIMED
    doubts: list[str] = Field(default_factory=list, description="Why it is no more than claimed.")
    standing: Standing
    comparison: Comparison | None = Field(default=None, description="With the baseline.")
    further: Estimate | None = Field(
        default=None, description="Over the seeds of Wildloop's own that have decided nothing."
    )
    seeds_to_decide: int | None = Field(
        default=None, description="More seeds of each side that would decide, as things look."
    )
    changes: int = Field(default=0, description="Settings and code that differ from the baseline.")
    withdrawn: str | None = None


class AblationRow(BaseModel):
    """One change from the reference. The comparison is of the reference with what is without."""

    removed: str
    configuration: str
    comparison: Comparison | None = None
    verdict: Literal["needed", "not needed: simpler without", "undecided", "no single change"]
    seeds_to_decide: int | None = None
    text: str


class AblationRecord(BaseModel):
    """An ablation: what each change of its reference is worth."""

    reference: str
    reference_label: str
    estimate: Estimate
    rows: list[AblationRow]


class AccountView(BaseModel):
    """Answer of `GET /wild/v2/evidence/{session_id}`: all that any text of a session tells."""

    session_id: str
    metric: str | None
    direction: Direction
    alpha: float
    target: float | None = None
    target_verdict: Literal["reached", "not reached", "undecided"] | None = None
    target_text: str | None = Field(default=None, description="The verdict in words.")
    is_deterministic: bool = False
    baseline: str | None = Field(default=None, description="Id of its configuration.")
    best: str | None = None
    verdict: str = Field(default="", description="What is reached, in one short sentence.")
    headline: str
    level: Level = Field(default=Level.CLAIMED, description="Of the best.")
    rule: str
    ties: list[str] = Field(default_factory=list)
    candidates: list[str] = Field(default_factory=list)
    configurations: list[ConfigurationView]
    not_compared: list[RunNote] = Field(default_factory=list)
    ablation: AblationRecord | None = None
    findings: list[str] = Field(default_factory=list, description="What is established, in words.")


class BestResult(BaseModel):
    """A configuration's mean of the session's primary metric."""

    run_id: str = Field(description="Of its first run that has a value.")
    run_name: str
    metric: str
    value: float = Field(description="Mean over the seeds that it is compared by.")
    direction: Direction = "max"
    configuration: str = Field(default="", description="Its settings in one line.")
    id: str = Field(default="", description="Of its configuration in the evidence.")
    sd: float | None = None
    n: int = 1
    level: Level = Level.CLAIMED


class Shown(BaseModel):
    """What a session's runs have shown, as its status and the lists tell it."""

    of: str = Field(description="Digest of what it was computed from: another makes it old.")
    best: BestResult | None = None
    baseline: BestResult | None = None
    gain: Comparison | None = None
    verdict: str = ""
    headline: str = ""
    target: str | None = None
    candidates: list[str] = Field(default_factory=list)
