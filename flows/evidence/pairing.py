"""Whether seeds move all configurations alike, so that differences seed by seed tell more."""

import math
import statistics
from collections.abc import Sequence

from wildloop.flows.evidence.estimate import are_equal
from wildloop.flows.evidence.spread import MOST_FREEDOM, Variance, shrunken
from wildloop.flows.models.evidence import Estimate

FEWEST = 3
CERTAIN = 0.01


def paired_variance(
    ours: Estimate, theirs: Estimate, neighbours: Sequence[Estimate]
) -> Variance | None:
    """The variance of the differences seed by seed; None where the sides are not paired.

    They are if both ran the same seeds, three or more, and if the seeds are shown to matter alike
    in all configurations that ran them (the F test of a two-way analysis of variance, p < 0.01).
    Differences without any spread give no scale of their own: they count as not paired, which is
    the more careful.
    """
    if ours.n < FEWEST or set(ours.seeds) != set(theirs.seeds):
        return None
    order = ours.seeds
    rows = [
        [dict(zip(one.seeds, one.values, strict=True))[seed] for seed in order]
        for one in (ours, theirs, *neighbours)
        if set(order) <= set(one.seeds)
    ]
    residual = _residual(rows)
    differences = [a - b for a, b in zip(rows[0], rows[1], strict=True)]
    centre = statistics.fmean(differences)
    if residual is None or are_equal([1 + (one - centre) / _scale(rows) for one in differences]):
        return None
    own = Variance(statistics.variance(differences), len(order) - 1)
    prior = Variance(2 * residual.value, min(MOST_FREEDOM, residual.df)) if len(rows) > 2 else None
    return shrunken(own, prior)


def _residual(rows: Sequence[Sequence[float]]) -> Variance | None:
    """What is left beside configurations and seeds; None where seeds are not shown to matter."""
    from scipy.special import fdtrc

    count, width = len(rows), len(rows[0])
    centred = [[value - statistics.fmean(row) for value in row] for row in rows]
    columns = [statistics.fmean(row[i] for row in centred) for i in range(width)]
    between = count * math.fsum(one**2 for one in columns)
    within = math.fsum((value - columns[i]) ** 2 for row in centred for i, value in enumerate(row))
    df = (count - 1) * (width - 1)
    if within <= 1e-18 * _scale(rows) ** 2:
        return None
    ratio = (between / (width - 1)) / (within / df)
    if float(fdtrc(width - 1, df, ratio)) >= CERTAIN:
        return None
    return Variance(within / df, df)


def _scale(rows: Sequence[Sequence[float]]) -> float:
    return max(abs(value) for row in rows for value in row) or 1.0
