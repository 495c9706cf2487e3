"""How far seeds spread: each configuration's own variance, shrunken towards its neighbours'.

Few seeds tell little of a variance, and many small samples together tell much: the empirical Bayes
estimate of G. K. Smyth (Statistical Applications in Genetics and Molecular Biology 3, 2004).
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from wildloop.flows.models.evidence import Estimate

MOST_FREEDOM = 10.0
"""So much of a neighbourhood's variance is believed at most, in degrees of freedom."""
FEW = 3
FEW_FREEDOM = 4.0
OUTLIER = 0.05


@dataclass(frozen=True)
class Variance:
    """A variance with the degrees of freedom behind it."""

    value: float
    df: float


def own_variance(estimate: Estimate) -> Variance | None:
    """The variance of a configuration's own seeds; None below two."""
    if estimate.sd is None:
        return None
    return Variance(estimate.sd**2, estimate.n - 1)


def prior_variance(neighbours: Sequence[Estimate]) -> Variance | None:
    """What the neighbours say of a variance before it is looked at; None where they say nothing.

    With three or more neighbours their own disagreement says how far to believe them: log s^2 has
    a known variance, and what goes beyond it is that of the true variances.
    """
    known = [one for one in map(own_variance, neighbours) if one is not None]
    positive = [one.value for one in known if one.value > 0]
    if not positive:
        return None
    total = sum(one.df for one in known)
    pooled = sum(one.value * one.df for one in known) / total
    if len(known) < FEW:
        return Variance(pooled, min(FEW_FREEDOM, total))
    floor = 1e-4 * statistics.median(positive)
    logs = [math.log(max(one.value, floor)) - _log_bias(one.df) for one in known]
    noise = statistics.fmean(_trigamma(one.df / 2) for one in known)
    excess = statistics.variance(logs) - noise
    if excess <= 0:
        return Variance(pooled, min(MOST_FREEDOM, total))
    df = 2 * _trigamma_inverse(excess)
    centre = statistics.fmean(logs) + _log_bias(df)
    return Variance(math.exp(centre), min(MOST_FREEDOM, df, total))


def shrunken(own: Variance | None, prior: Variance | None) -> Variance | None:
    """The own variance, shrunken towards the prior where the two can be of one kind."""
    if own is None or prior is None:
        return own or prior
    if own.value > prior.value and _is_outlier(own, prior):
        return own
    df = own.df + prior.df
    return Variance((own.value * own.df + prior.value * prior.df) / df, df)


def _is_outlier(own: Variance, prior: Variance) -> bool:
    """Whether a variance is larger than its neighbours let expect (an F test)."""
    from scipy.special import fdtrc

    return float(fdtrc(own.df, prior.df, own.value / prior.value)) < OUTLIER


def _log_bias(df: float) -> float:
    """How far log s^2 lies beside log sigma^2 on the mean."""
    from scipy.special import digamma

    return float(digamma(df / 2)) - math.log(df / 2)


@lru_cache(maxsize=4096)
def _trigamma(x: float) -> float:
    from scipy.special import polygamma

    return float(polygamma(1, x))


def _trigamma_inverse(value: float) -> float:
    """The x with trigamma(x) = value, by Newton's method on 1 / trigamma, as Smyth gives it."""
    from scipy.special import polygamma

    if value > 1e7:
        return 1 / math.sqrt(value)
    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = _trigamma(x)
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, x))
        x += step
        if abs(step) < 1e-8 * x:
            break
    return x
