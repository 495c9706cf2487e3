"""How sure a difference is: means over seeds, and Welch's interval."""

import math
import statistics
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

CONFIDENCE = 0.95
FEW = 3


class Difference(BaseModel):
    """Mean of one sample minus mean of another; `low` and `high` bound it at 95 % confidence."""

    model_config = ConfigDict(frozen=True)

    mean: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    sizes: tuple[int, int]
    why_unsure: str = ""

    @property
    def is_established(self) -> bool:
        """Whether the interval is there and excludes 0."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


def difference(one: Sequence[float], other: Sequence[float]) -> Difference | None:
    """Welch's t interval of `mean(one) - mean(other)`; None where a sample is empty.

    Unequal variances, Welch-Satterthwaite degrees of freedom (Welch 1947), two-sided; by
    `scipy.stats.ttest_ind`. Without two values on each side, or without any spread, there is no
    interval, and `why_unsure` says why.
    """
    if not one or not other:
        return None
    sizes = (len(one), len(other))
    mean = statistics.fmean(one) - statistics.fmean(other)
    if min(sizes) < 2:
        why = "an interval needs two seeds or more on both sides"
        return Difference(mean=mean, sizes=sizes, why_unsure=why)
    if statistics.pstdev(one) == 0 and statistics.pstdev(other) == 0:
        why = "neither side has any spread over its seeds: do they change anything?"
        return Difference(mean=mean, sizes=sizes, why_unsure=why)
    # SciPy takes a second to load: only reports pay for it.
    from scipy.stats import ttest_ind

    test = ttest_ind(one, other, equal_var=False)
    interval = test.confidence_interval(CONFIDENCE)
    low, high = float(interval.low), float(interval.high)
    if not (math.isfinite(low) and math.isfinite(high)):
        return Difference(mean=mean, sizes=sizes, why_unsure="the interval is not finite")
    why = "" if min(sizes) >= FEW else f"{min(sizes)} seeds are few: the interval is wide"
    return Difference(
        mean=mean, low=low, high=high, p=float(test.pvalue), sizes=sizes, why_unsure=why
    )


def spread(values: Sequence[float]) -> float | None:
    """Sample standard deviation; None for fewer than two values."""
    return statistics.stdev(values) if len(values) > 1 else None
