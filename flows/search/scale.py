"""The scale of an axis, for whoever draws: pictures, the page, the terminal."""

import math
from collections.abc import Iterable, Sequence
from statistics import quantiles

FENCE = 3.0
"""In spreads of the middle half: what lies beyond is an outlier."""


def robust_limits(values: Sequence[float], keep: Iterable[float] = ()) -> tuple[float, float]:
    """Limits of an axis that a few outliers do not flatten.

    Args:
        values: what is shown; one far from the middle half of them may lie outside.
        keep: what lies inside in any case.
    """
    kept = [one for one in keep if math.isfinite(one)]
    every = [*values, *kept]
    low, high = min(every), max(every)
    q1, _, q3 = quantiles(values, n=4, method="inclusive") if len(values) > 1 else [low] * 3
    fence = FENCE * (q3 - q1)
    inner = [one for one in values if q1 - fence <= one <= q3 + fence] + kept
    # What outliers leave of the axis has to be worth it.
    if fence > 0 and max(inner) - min(inner) < 0.5 * (high - low):
        low, high = min(inner), max(inner)
    pad = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    return float(low - pad), float(high + pad)
