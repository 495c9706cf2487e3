"""The number that a goal sets for the metric, and whether it is reached."""

import re
from math import sqrt
from typing import Literal

from pydantic import BaseModel

from wildloop.flows.evidence.estimate import CONFIDENCE, t_quantile
from wildloop.flows.models.evidence import Direction, Estimate

TargetVerdict = Literal["reached", "not reached", "undecided"]
_ABOVE = r"above|over|beyond|more than|higher than|exceed(?:s|ing)?|at least|>=|≥|>"
_BELOW = r"below|under|beneath|less than|lower than|at most|<=|≤|<"
_INCLUSIVE = frozenset({"at least", "at most", ">=", "<=", "≥", "≤"})


class Target(BaseModel):
    """What the goal asks of the metric."""

    value: float
    direction: Direction
    inclusive: bool = True

    def met_by(self, value: float) -> bool:
        """Whether `value` reaches the target."""
        if value == self.value:
            return self.inclusive
        return value > self.value if self.direction == "max" else value < self.value


def target_of(goal: str, direction: Direction) -> Target | None:
    """The one number that the goal sets for the metric; None if it cannot be told for sure."""
    words = _ABOVE if direction == "max" else _BELOW
    pattern = rf"({words})\s*(-?\d+(?:\.\d+)?(?:e-?\d+)?)(?![\w.]*\w)\s*(%?)"
    found = re.findall(pattern, goal, re.IGNORECASE)
    if len(found) != 1:
        return None
    word, number, percent = found[0]
    return Target(
        value=float(number) / (100 if percent else 1),
        direction=direction,
        inclusive=word.lower() in _INCLUSIVE,
    )


def reached(target: Target, estimate: Estimate, is_exact: bool) -> TargetVerdict:
    """Whether a configuration reaches the target, by the interval of its mean."""
    if estimate.mean is None:
        return "undecided"
    if is_exact:
        return "reached" if target.met_by(estimate.mean) else "not reached"
    # Equal values of a metric that has spread elsewhere, or of too few runs, are no interval.
    if estimate.low is None or estimate.high is None or estimate.sd == 0:
        return "undecided"
    ends = {target.met_by(estimate.low), target.met_by(estimate.high)}
    if len(ends) > 1:
        return "undecided"
    return "reached" if ends == {True} else "not reached"


def seeds_to_tell(target: Target, estimate: Estimate, most: int = 50) -> int | None:
    """How many more seeds would tell whether the target is reached, if mean and SD stay so.

    None where more than `most` would be needed, or nothing is known of the spread.
    """
    if estimate.mean is None or not estimate.sd:
        return None
    distance = abs(estimate.mean - target.value)
    for more in range(1, most + 1):
        n = estimate.n + more
        if t_quantile((1 + CONFIDENCE) / 2, n - 1) * estimate.sd / sqrt(n) < distance:
            return more
    return None
