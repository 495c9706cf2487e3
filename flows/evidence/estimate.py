"""One estimate: the mean over distinct seeds, with its spread and its interval."""

import math
import statistics
from collections.abc import Mapping, Sequence

from wildloop.flows.models.evidence import Estimate

CONFIDENCE = 0.95
ROUNDING = 1e-9
"""Two values differ if they do by more than this share of the larger."""


def estimate_of(by_seed: Mapping[str, float]) -> Estimate:
    """The estimate of one value for each seed; spread within rounding is none."""
    values = list(by_seed.values())
    if not values:
        return Estimate()
    mean = math.fsum(values) / len(values)
    sd = low = high = None
    if len(values) > 1:
        sd = 0.0 if are_equal(values) else statistics.stdev(values)
        half = t_quantile((1 + CONFIDENCE) / 2, len(values) - 1) * sd / math.sqrt(len(values))
        low, high = mean - half, mean + half
    return Estimate(seeds=list(by_seed), values=values, mean=mean, sd=sd, low=low, high=high)


def are_equal(values: Sequence[float]) -> bool:
    """Whether values differ by no more than rounding."""
    return max(values) - min(values) <= ROUNDING * max(map(abs, values))


def t_quantile(probability: float, df: float) -> float:
    """Quantile of Student's t."""
    # SciPy takes a quarter of a second to load: who only lists runs does without.
    from scipy.special import stdtrit

    return float(stdtrit(df, probability))


def t_tail(t: float, df: float) -> float:
    """Probability that Student's t is larger than `t`."""
    from scipy.special import stdtr

    return float(stdtr(df, -t))
