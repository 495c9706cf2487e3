"""How the budget of runs is divided, as far as that is decided before anything is known."""

from typing import Literal, NamedTuple

from pydantic import BaseModel

from wildloop.blocks.agents.baseline.config import FEWEST_RUNS, ProjectFile
from wildloop.blocks.agents.baseline.search import Configuration

FEWEST_FRESH = 2
"""Fresh seeds that a configuration needs before anything can be shown of it."""
MANY = 20
LEAST_BROAD, MOST_BROAD = 4, 12
BROAD = 5
POPULATION = 4
EVOLVED = 3
RACED = 6
"""One in so many runs is for the broad start, for an evolutionary sweep, for the race."""

Wanted = tuple[Configuration, int]


class Step(NamedTuple):
    """What to do next: which runs (configuration and seed), and what they are for."""

    kind: Literal["search", "race", "done"]
    wanted: list[Wanted]


class RunShares(BaseModel):
    """How the budget of runs is divided; what comes after `broad` is a forecast."""

    baseline: int
    broad: int
    near: int
    evolved: int
    race: int
    ablation: int

    def of(self, task_id: str) -> int:
        """How many runs a task is planned to create."""
        return {
            "P1-T2": self.baseline,
            "P2-T1": self.broad,
            "P3-T1": self.near,
            "P3-T2": self.evolved,
            "P4-T1": self.race,
            "P4-T2": self.ablation,
        }[task_id]


def shares(project: ProjectFile) -> RunShares:
    """Divide the budget of a project."""
    total = search_budget(project)
    baseline = 2 if total < MANY else min(project.budget.seeds, 3)
    race = max(FEWEST_FRESH, total // RACED)
    broad = min(max(LEAST_BROAD, total // BROAD), MOST_BROAD, max(1, total - baseline - race - 2))
    left = total - baseline - broad - race
    evolved = POPULATION * (total // (EVOLVED * POPULATION))
    if not 0 < evolved < left:
        evolved = left // 2
    return RunShares(
        baseline=baseline,
        broad=broad,
        near=left - evolved,
        evolved=evolved,
        race=race,
        ablation=project.budget.runs - total,
    )


def search_budget(project: ProjectFile) -> int:
    """The runs without those that are kept back for an ablation."""
    return max(min(FEWEST_RUNS, project.budget.runs), project.budget.runs - project.budget.ablation)
