"""Is one configuration better than another? A test on one value per seed.

SciPy is imported when it is needed: it takes a second to load, and most sessions do without.
"""

import math
import statistics
from collections.abc import Sequence

from flows.models.keep import Comparison, Direction, Spread

WELCH = "Welch t"
ONE_SEED = "t, equal spread"
KNOWN_SPREAD = "t, spread of earlier seeds"
NO_SPREAD = "exact: no spread between seeds"
NOT_ESTABLISHED = "not established"


def compare(
    candidate: Sequence[float],
    best: Sequence[float],
    direction: Direction,
    *,
    alpha: float = 0.05,
    tried: int = 1,
    spread: Spread | None = None,
) -> Comparison:
    """Test whether the mean of `candidate` is better than that of `best`.

    The test depends on how much is known of the spread between seeds:

    - two seeds or more of both: Welch's t test, one-sided (B. L. Welch, Biometrika 34, 1947;
      `scipy.stats.ttest_ind_from_stats` with `equal_var=False`);
    - one seed of one of them: Student's t test with the other's spread, which is that of a single
      case against a small sample (Crawford and Howell, The Clinical Neuropsychologist 12, 1998);
    - one seed of each: the same with `spread`, a standard deviation measured on earlier seeds;
    - values that do not differ between two seeds or more of all that is known: better is better;
    - else nothing is established, whatever the difference.

    Args:
        candidate: a value for each seed, at least one.
        best: likewise.
        direction: whether larger or smaller values are better.
        alpha: probability of taking noise for a gain.
        tried: number of configurations of which this one is the best looking; the p-value is
            multiplied by it (Bonferroni).
        spread: the standard deviation between seeds, as measured before.

    Raises:
        ValueError: one of them has no value, or a value that is not finite.
    """
    if not candidate or not best or not all(map(math.isfinite, [*candidate, *best])):
        raise ValueError("each side needs at least one finite value")
    sign = 1.0 if direction == "max" else -1.0
    ours, theirs = [sign * value for value in candidate], [sign * value for value in best]
    gain = statistics.fmean(ours) - statistics.fmean(theirs)
    name, raw = _p_value(ours, theirs, gain, spread)
    p = None if raw is None else min(1.0, raw * max(1, tried))
    established = p is not None and p < alpha and gain > 0
    return Comparison(
        test=name,
        gain=gain,
        p=p,
        alpha=alpha,
        tried=max(1, tried),
        established=established,
        why=_why(established, gain, p, alpha, tried, name),
    )


def _p_value(
    ours: list[float], theirs: list[float], gain: float, spread: Spread | None
) -> tuple[str, float | None]:
    """(name of the test, one-sided p-value before any adjustment)."""
    variances = [_sum_of_squares(side) for side in (ours, theirs)]
    df = len(ours) + len(theirs) - 2
    is_known = sum(variances) > 0
    if df == 0 and spread is not None:
        if spread.sd == 0:
            return NO_SPREAD, 0.0 if gain > 0 else 1.0
        return KNOWN_SPREAD, _t_tail(gain / (spread.sd * math.sqrt(2)), spread.df)
    if df == 0:
        return NOT_ESTABLISHED, None
    if not is_known and (spread is None or spread.sd == 0):
        return NO_SPREAD, 0.0 if gain > 0 else 1.0
    if not is_known and spread is not None:
        # A few equal values by chance (a small test set): the spread of all seeds is the better
        # guide.
        error = spread.sd * math.sqrt(1 / len(ours) + 1 / len(theirs))
        return KNOWN_SPREAD, _t_tail(gain / error, spread.df)
    from scipy import stats

    if len(ours) > 1 and len(theirs) > 1:
        sides = [
            (statistics.fmean(side), math.sqrt(squares / (len(side) - 1)), len(side))
            for side, squares in zip((ours, theirs), variances, strict=True)
        ]
        found = stats.ttest_ind_from_stats(
            *sides[0], *sides[1], equal_var=False, alternative="greater"
        )
        return WELCH, float(found.pvalue)
    error = math.sqrt(sum(variances) / df * (1 / len(ours) + 1 / len(theirs)))
    return ONE_SEED, _t_tail(gain / error, df)


def _t_tail(t: float, df: int) -> float:
    """Probability that Student's t with `df` degrees of freedom is larger than `t`."""
    from scipy import stats

    return float(stats.t.sf(t, df))


def _sum_of_squares(values: Sequence[float]) -> float:
    mean = statistics.fmean(values)
    return 0.0 if len(set(values)) < 2 else sum((value - mean) ** 2 for value in values)


def _why(
    established: bool, gain: float, p: float | None, alpha: float, tried: int, name: str
) -> str:
    if p is None:
        return (
            f"difference {gain:+.4g}, but not established: one seed of each, and no spread between "
            "seeds is known"
        )
    among = f", times {tried} configurations" if tried > 1 else ""
    word = "better" if established else "not shown to be better"
    return f"{word}: difference {gain:+.4g}, p = {p:.3g} ({name}{among}), alpha = {alpha:g}"


def pooled_spread(groups: Sequence[Sequence[float]]) -> Spread | None:
    """The standard deviation within groups, pooled over those of two values or more.

    s^2 = sum((n_i - 1) s_i^2) / sum(n_i - 1), as in any analysis of variance; None where no group
    has two values.
    """
    usable = [group for group in groups if len(group) > 1]
    df = sum(len(group) - 1 for group in usable)
    if df == 0:
        return None
    return Spread(sd=math.sqrt(sum(map(_sum_of_squares, usable)) / df), df=df)


def merged_spread(known: Spread | None, more: Spread | None) -> Spread | None:
    """Two pooled spreads as one."""
    if known is None or more is None:
        return known or more
    df = known.df + more.df
    return Spread(sd=math.sqrt((known.df * known.sd**2 + more.df * more.sd**2) / df), df=df)
