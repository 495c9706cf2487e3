"""The Ladder: what is released of a hold-out that is asked more than once.

A value is released only where it is better than the best released so far by more than a step, and
then rounded to that step; else the answer is what was released before. So whoever asks again and
again learns next to nothing of the hold-out but his progress (A. Blum and M. Hardt, The Ladder: a
reliable leaderboard for machine learning competitions, ICML 2015).
"""

import math
from pathlib import Path

from pydantic import BaseModel, Field

from wildloop.flows.models.evidence import Direction, Estimate

SMALLEST_STEP = 0.001
"""Of the value: the step where its spread between seeds is none, or not known."""


class Released(BaseModel):
    """What was told of one configuration."""

    value: float | None = Field(description="None: no more than that it is not better.")
    half_width: float | None = Field(default=None, description="Of the 95 % interval.")
    is_new: bool = Field(description="Better than all before by more than the step.")
    best: float | None = Field(description="The best released so far, this one counted.")


class Ladder(BaseModel):
    """What was released of one hold-out by one metric."""

    metric: str
    direction: Direction
    asked: int = 0
    best: float | None = None
    answers: dict[str, Released] = Field(
        default_factory=dict, description="By configuration: who asks again gets the same."
    )

    def ask(self, configuration: str, value: Estimate, step: float | None = None) -> Released:
        """What may be told of a configuration's sealed value.

        Args:
            configuration: its id.
            value: over the runs that were evaluated.
            step: what a value has to be better by; default: the standard error of its mean.

        Raises:
            ValueError: there is no value.
        """
        if configuration in self.answers:
            return self.answers[configuration]
        if value.mean is None:
            raise ValueError("there is no sealed value")
        self.asked += 1
        step = step or step_of(value)
        sign = 1.0 if self.direction == "max" else -1.0
        is_new = self.best is None or sign * (value.mean - self.best) > step
        half = (value.high - value.mean) if value.high is not None else None
        told = rounded(value.mean, step) if is_new else None
        self.best = told if told is not None else self.best
        found = Released(
            value=told,
            half_width=rounded(half, step / 10) if told is not None and half is not None else None,
            is_new=is_new,
            best=self.best,
        )
        self.answers[configuration] = found
        return found


def step_of(value: Estimate) -> float:
    """The standard error of a mean to one digit, at least a thousandth of the mean."""
    error = (value.sd or 0.0) / math.sqrt(value.n) if value.n else 0.0
    return float(f"{max(error, SMALLEST_STEP * abs(value.mean or 0.0), 1e-12):.0e}")


def rounded(value: float, step: float) -> float:
    """The value to the next multiple of the step."""
    return float(f"{round(value / step) * step:.12g}")


def read_ladder(path: Path, metric: str, direction: Direction) -> Ladder:
    """What was released so far; another metric has a ladder of its own, which begins anew."""
    try:
        found = Ladder.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        found = Ladder(metric=metric, direction=direction)
    if (found.metric, found.direction) != (metric, direction):
        return Ladder(metric=metric, direction=direction, asked=found.asked)
    return found


def write_ladder(path: Path, ladder: Ladder) -> None:
    """Write it, whole or not at all."""
    draft = path.with_suffix(".tmp")
    draft.write_text(ladder.model_dump_json(indent=2) + "\n", encoding="utf-8")
    draft.chmod(0o600)
    draft.replace(path)
