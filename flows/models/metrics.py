"""What a run has measured: series by name, and the files they were read from."""

from enum import StrEnum

from pydantic import BaseModel, Field

from wildloop.flows.models.run import MetricPoint


class SourceKind(StrEnum):
    """Where metrics come from, the one that is believed first at the top."""

    JSONL = "metrics.jsonl"
    WANDB = "wandb"
    TENSORBOARD = "tensorboard"
    MLFLOW = "mlflow"
    TRACKIO = "trackio"
    CSV = "csv"
    TRAINER = "trainer_state.json"
    JSON = "json"
    LOG = "run.log"


class MetricSource(BaseModel):
    """One file, or one run folder of a tracker, that metrics were read from."""

    kind: SourceKind
    path: str
    points: int = Field(default=0, description="Values read so far.")
    broken: int = Field(default=0, description="Damaged parts that were passed over.")
    problem: str | None = Field(default=None, description="Why it could not be read, if so.")


class TakenMetric(BaseModel):
    """What was taken for a wanted metric."""

    wanted: str
    found: str | None = Field(default=None, description="The name that it has where it was seen.")
    source: str = Field(default="", description="The file that it was read from.")
    others: list[str] = Field(
        default_factory=list, description="Names that might be meant, where none was taken."
    )


class RunMetrics(BaseModel):
    """The metrics of one run.

    A series with more points than the reader keeps is thinned evenly: its lowest, highest, first
    and last values stay.
    """

    series: dict[str, list[MetricPoint]] = Field(default_factory=dict)
    last: dict[str, float] = Field(
        default_factory=dict, description="Last value by name, of those that end finite."
    )
    diverged: list[str] = Field(
        default_factory=list, description="Names whose last value is NaN or infinite."
    )
    lowest: dict[str, float] = Field(default_factory=dict)
    highest: dict[str, float] = Field(default_factory=dict)
    sources: list[MetricSource] = Field(default_factory=list)
    broken: int = Field(default=0, description="Damaged parts of all sources.")
    notes: list[str] = Field(
        default_factory=list, description="What was left out, why, and what to do about it."
    )

    taken: list[TakenMetric] = Field(
        default_factory=list,
        description="What was taken for the project's metric, and others that were asked for.",
    )
    origins: dict[str, str] = Field(
        default_factory=dict, description="The file that each metric was read from, by name."
    )
    units: dict[str, str] = Field(
        default_factory=dict, description="Units as a log printed them; '%' is not divided out."
    )

    def best(self, name: str, direction: str) -> float | None:
        """The highest (`max`) or lowest (`min`) value of a metric; None where there is none."""
        return (self.highest if direction == "max" else self.lowest).get(name)
