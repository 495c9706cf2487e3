"""When to stop a running trial: decisions from metric series, as values."""

import math
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from wildloop.flows.models.run import MetricPoint

MIN_POINTS = 3
MIN_RIVALS = 3
REDUCTION = 3


class Reading(NamedTuple):
    """The metric at a step; NaN where it was not finite."""

    step: float
    value: float


Curve = Sequence[Reading]


def curve_of(points: Sequence[MetricPoint], metric: str) -> list[Reading]:
    """The series of `metric`, by step; points without a step count from 1 on.

    Of several values at one step the last counts.
    """
    named = [point for point in points if point.name == metric]
    found = {
        point.step if point.step is not None else float(index): point.value
        for index, point in enumerate(named, start=1)
    }
    return [
        Reading(step, math.nan if value is None else value) for step, value in sorted(found.items())
    ]


def median_stops(
    curve: Curve,
    rivals: Sequence[Curve],
    is_max: bool,
    *,
    min_points: int = MIN_POINTS,
    min_rivals: int = MIN_RIVALS,
) -> bool:
    """The median rule (Golovin et al. 2017, Vizier).

    Stop if the best value so far is worse than the median of what the rivals had averaged by the
    same step. Only rivals that got as far count; with fewer than `min_rivals` of them, or fewer
    than `min_points` readings, nothing is stopped. A reading that is not finite counts as worst.
    """
    if len(curve) < max(1, min_points):
        return False
    step = curve[-1].step
    reached = [one for one in rivals if one and one[-1].step >= step]
    means = [_mean(one, step, is_max) for one in reached if one[0].step <= step]
    if len(means) < max(1, min_rivals):
        return False
    own = max(_gain(one.value, is_max) for one in curve)
    return own < median(means)


def halving_stops(
    curve: Curve,
    rivals: Sequence[Curve],
    is_max: bool,
    *,
    first_rung: float = MIN_POINTS,
    reduction: int = REDUCTION,
) -> bool:
    """Asynchronous successive halving in its stopping form (Li et al. 2020, ASHA).

    Rungs lie at steps `first_rung`, `first_rung * reduction`, and so on. At the highest rung that
    the trial has reached, it goes on only among the best 1 / `reduction` of those that have
    reached the rung; while fewer than `reduction` have, it goes on. Ties go on.
    """
    if reduction < 2 or first_rung <= 0:
        raise ValueError("reduction must be 2 or more and first_rung above 0")
    if not curve or curve[-1].step < first_rung:
        return False
    power = math.floor(math.log(curve[-1].step / first_rung, reduction) + 1e-9)
    rung = first_rung * reduction**power
    own = _at(curve, rung, is_max)
    peers = [_at(one, rung, is_max) for one in rivals if one and one[-1].step >= rung]
    if own is None or len(peers) + 1 < reduction:
        return False
    better = sum(peer > own for peer in peers if peer is not None)
    return better >= max(1, (len(peers) + 1) // reduction)


def _gain(value: float, is_max: bool) -> float:
    """The value as something to maximise; minus infinity where it is not finite."""
    if not math.isfinite(value):
        return -math.inf
    return value if is_max else -value


def _mean(curve: Curve, step: float, is_max: bool) -> float:
    gains = [_gain(one.value, is_max) for one in curve if one.step <= step]
    return sum(gains) / len(gains)


def _at(curve: Curve, step: float, is_max: bool) -> float | None:
    """The best reading up to `step`; None if there is none."""
    gains = [_gain(one.value, is_max) for one in curve if one.step <= step]
    return max(gains, default=None)
