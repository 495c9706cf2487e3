"""Two runs beside one another: what differs between them."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from wildloop.flows.models.history import Difference
from wildloop.flows.models.run import Run

Group = Literal["command", "parameters", "code", "environment", "metrics"]
GROUPS: tuple[Group, ...] = ("command", "parameters", "code", "environment", "metrics")
MOST_SHOWN = 25


class ComparedValue(BaseModel):
    """One thing that either run has, by name; None where it has none."""

    group: Group
    name: str
    first: Any = None
    second: Any = None
    differs: bool


class RunComparison(BaseModel):
    """Answer of `GET /runs/{run_id}/compare/{other_run_id}`."""

    first: Run
    second: Run
    is_same_configuration: bool = Field(
        description="Whether they differ in no more than the seed: program, settings and code."
    )
    values: list[ComparedValue] = Field(description="By group; equal ones too.")
    code: Difference = Field(description="Of the files that ran; a note where it cannot be told.")

    @property
    def differing(self) -> list[ComparedValue]:
        """Those that differ."""
        return [one for one in self.values if one.differs]

    def shown(self, most: int = MOST_SHOWN) -> list[ComparedValue]:
        """Those that differ, at most so many of each group: two environments differ in hundreds."""
        kept = [[one for one in self.differing if one.group == group] for group in GROUPS]
        return [one for group in kept for one in group[:most]]
