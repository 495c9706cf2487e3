"""Figures: what was measured, of whom, with how much history; and their one-number summaries."""

import math
from collections.abc import Sequence
from enum import StrEnum

from pydantic import BaseModel, Field


class Measure(StrEnum):
    """What can be measured; the words of `--measures`."""

    IDLE = "idle"
    FIRST_BYTE = "first-byte"
    BURST = "burst"
    GAP = "gap"
    THROUGHPUT = "throughput"
    CREATE = "create"
    LIST = "list"
    LIST_ONE = "list-one"
    HEALTH = "health"


class Row(StrEnum):
    """A line of the table: what it shows, and in what unit."""

    FIRST_BYTE = "request to first byte, idle (s)"
    BURST = "request to first byte, 10 at once (s)"
    GAP = "hand-over gap, one slot (s)"
    PER_MINUTE = "runs a minute"
    CPU_PER_RUN = "control-plane CPU a run (s)"
    CREATE = "POST /runs, 8 clients (ms)"
    LIST = "GET /runs, 8 clients (ms)"
    LIST_ONE = "GET /runs, 1 client (ms)"
    HEALTH = "GET /wild/v2/system-health, 8 clients (ms)"
    IDLE_CPU = "idle CPU (% of a core)"
    IDLE_RSS = "idle RSS, sum (MB)"
    IDLE_PSS = "idle memory, shared counted once (MB)"


class Aim(BaseModel):
    """What a row of Wildloop should reach: its median, its worst value; None: no aim."""

    median: float | None = None
    worst: float | None = None
    more_is_better: bool = False

    def met_by(self, figure: "Figure") -> bool:
        """Whether a figure reaches it; one with failures does not."""
        if figure.failures or not figure.values:
            return False
        if self.more_is_better:
            return self.median is None or figure.median >= self.median
        return (self.median is None or figure.median <= self.median) and (
            self.worst is None or figure.worst <= self.worst
        )

    def __str__(self) -> str:
        sign = ">=" if self.more_is_better else "<="
        shown = [f"{sign} {self.median:g}"] if self.median is not None else []
        return ", ".join(shown + ([f"max <= {self.worst:g}"] if self.worst is not None else []))


def aims() -> dict[Row, Aim]:
    """The aims on two cores."""
    return {
        Row.FIRST_BYTE: Aim(median=0.5),
        Row.GAP: Aim(median=0.3),
        Row.PER_MINUTE: Aim(median=60, more_is_better=True),
        Row.CPU_PER_RUN: Aim(median=0.5),
        Row.CREATE: Aim(worst=1000),
        Row.LIST: Aim(median=60, worst=1000),
        Row.HEALTH: Aim(worst=1000),
    }


class Figure(BaseModel):
    """The values of one row for one subject with `recorded` runs of history at the start.

    `failures` are the requests that gave no value; `note` is what a reader must know.
    """

    row: Row
    subject: str
    recorded: int = 0
    values: list[float]
    failures: int = 0
    note: str = ""

    @property
    def median(self) -> float:
        """The middle value."""
        return percentile(self.values, 50)

    @property
    def p99(self) -> float:
        """The 99th percentile; with fewer than 100 values, the largest."""
        return percentile(self.values, 99)

    @property
    def worst(self) -> float:
        """The largest value."""
        return max(self.values)


class Failure(BaseModel):
    """A measure that could not be taken."""

    subject: str
    measure: str
    recorded: int = 0
    reason: str


class Facts(BaseModel):
    """The machine and the versions."""

    cores: int
    python: str
    prefect: str
    platform: str
    date: str
    load_before: float = Field(description="1-minute load average before anything was started.")
    others: float | None = Field(
        default=None, description="Cores that processes beside the harness kept busy meanwhile."
    )


class Report(BaseModel):
    """One run of the harness."""

    command: str
    facts: Facts
    cuts: list[str] = Field(default_factory=list)
    figures: list[Figure] = Field(default_factory=list)
    failures: list[Failure] = Field(default_factory=list)

    @property
    def subjects(self) -> list[str]:
        """Every subject that has a figure or a failure, in the order of measuring."""
        measured = [one.subject for one in self.figures]
        return list(dict.fromkeys(measured + [one.subject for one in self.failures]))

    def find(self, row: Row, subject: str, recorded: int) -> Figure | None:
        """The figure of a cell."""
        wanted = (row, subject, recorded)
        for figure in self.figures:
            if (figure.row, figure.subject, figure.recorded) == wanted:
                return figure
        return None


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile: a value that was measured, never one between two.

    Raises:
        ValueError: there are no values, or `percent` is not within 0 to 100.
    """
    if not values:
        raise ValueError("no values: a percentile needs at least one")
    if not 0 <= percent <= 100:
        raise ValueError(f"percent {percent:g}: give 0 to 100")
    ranked = sorted(values)
    return ranked[max(0, math.ceil(percent / 100 * len(ranked)) - 1)]


def hand_over_gaps(starts: Sequence[float], ends: Sequence[float], slots: int) -> list[float]:
    """Seconds from a slot's being freed to the next queued command's first byte.

    The i-th end frees the slot that the start number i + `slots` takes, as long as more commands
    wait, which the caller sees to.
    """
    begun, over = sorted(starts), sorted(ends)
    return [start - end for start, end in zip(begun[slots:], over, strict=False)]


def most_at_once(starts: Sequence[float], ends: Sequence[float]) -> int:
    """How many commands ran at the same time at most; an end comes before a start of that time."""
    changes = sorted([(at, 1) for at in starts] + [(at, -1) for at in ends])
    running = most = 0
    for _, change in changes:
        running += change
        most = max(most, running)
    return most
