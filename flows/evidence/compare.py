"""The one comparison: is a configuration better than another?"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from wildloop.flows.evidence.estimate import CONFIDENCE, ROUNDING, are_equal, t_quantile, t_tail
from wildloop.flows.evidence.pairing import paired_variance
from wildloop.flows.evidence.spread import Variance, own_variance, prior_variance, shrunken
from wildloop.flows.models.evidence import Comparison, Direction, Estimate

PAIRED = "paired t"
WELCH = "Welch t"
EXACT = "exact: no spread between seeds"
NOT_ESTABLISHED = "not established"
FEWEST_SEEDS = 2
MOST_SEEDS = 50
POWER = 0.8


def compare(
    ours: Estimate,
    theirs: Estimate,
    direction: Direction,
    *,
    neighbours: Sequence[Estimate] = (),
    is_exact: bool = False,
    alpha: float = 0.05,
    limit: float | None = None,
    tried: int = 1,
) -> Comparison:
    """Test whether the mean of `ours` is better than that of `theirs`.

    - Where the metric has no spread (`is_exact`), a difference beyond rounding is established.
    - Both ran the same seeds, and seeds are shown to matter alike: a t test of the differences.
    - Else Welch's t test (Biometrika 34, 1947), each side's variance shrunken towards that of the
      neighbours. A side of one seed has theirs; it is never more than a candidate.

    The p-value is one-sided and of this test alone; `limit` is what it has to be below.

    Args:
        ours: the one that may be better.
        theirs: the one it is compared with.
        direction: whether larger or smaller values are better.
        neighbours: other configurations of the same line, whose spread is known.
        is_exact: whether the metric is known to have no spread.
        alpha: probability of claiming anything where nothing helps, of the session as a whole.
        limit: the share of alpha that this test has; default: all of it.
        tried: how many tests share alpha.

    Raises:
        ValueError: one of them has no value, or a value that is not finite.
    """
    if ours.mean is None or theirs.mean is None:
        raise ValueError("each side needs at least one value")
    if not all(map(math.isfinite, [*ours.values, *theirs.values])):
        raise ValueError("values must be finite")
    sign = 1.0 if direction == "max" else -1.0
    gain = sign * (ours.mean - theirs.mean)
    limit = alpha if limit is None else limit
    if abs(gain) <= ROUNDING * max(abs(ours.mean), abs(theirs.mean)):
        gain = 0.0
    if is_exact:
        result = _Result(EXACT, 0.0, None, 0.0 if gain > 0 else 1.0, gain, gain, gain > 0)
    else:
        result = _tested(ours, theirs, gain, neighbours, limit)
    found = Comparison(
        gain=gain,
        ours=ours,
        theirs=theirs,
        alpha=alpha,
        tried=tried,
        limit=limit,
        **result._asdict(),
    )
    found.why = why(found)
    return found


def with_limit(found: Comparison, limit: float, tried: int) -> Comparison:
    """A comparison as it is told where so many tests share alpha.

    Args:
        found: the test, with any limit.
        limit: what its p has to be below.
        tried: how many tests share alpha.
    """
    if found.limit == limit and found.tried == tried:
        return found
    is_shown = found.established
    if found.p is not None and found.test != EXACT:
        is_enough = min(found.ours.n, found.theirs.n) >= FEWEST_SEEDS
        is_shown = found.gain > 0 and found.p < limit and is_enough
    update = {"limit": limit, "tried": tried, "established": is_shown}
    found = found.model_copy(update=update)
    found.why = why(found)
    return found


class _Result(NamedTuple):
    """What a test says."""

    test: str = NOT_ESTABLISHED
    error: float | None = None
    df: float | None = None
    p: float | None = None
    low: float | None = None
    high: float | None = None
    established: bool = False


def _tested(
    ours: Estimate,
    theirs: Estimate,
    gain: float,
    neighbours: Sequence[Estimate],
    limit: float,
) -> _Result:
    name, found = WELCH, None
    paired = paired_variance(ours, theirs, neighbours)
    if paired is not None:
        name, found = PAIRED, Variance(paired.value / ours.n, paired.df)
    else:
        found = difference_variance(ours, theirs, neighbours)
    if found is None or found.value <= 0:
        return _Result()
    error = math.sqrt(found.value)
    p = t_tail(gain / error, found.df)
    half = t_quantile((1 + CONFIDENCE) / 2, found.df) * error
    is_enough = min(ours.n, theirs.n) >= FEWEST_SEEDS
    return _Result(
        test=name,
        error=error,
        df=found.df,
        p=p,
        low=gain - half,
        high=gain + half,
        established=gain > 0 and p < limit and is_enough,
    )


def difference_variance(
    ours: Estimate, theirs: Estimate, neighbours: Sequence[Estimate]
) -> Variance | None:
    """The variance of a difference of two means, with Welch's and Satterthwaite's freedom.

    None where nothing is known of the spread of one of the sides.
    """
    prior = prior_variance(neighbours)
    sides = [(shrunken(own_variance(side), prior), side.n) for side in (ours, theirs)]
    known = [found for found, _ in sides if found is not None]
    if not known:
        return None
    # Of a single seed without neighbours, the other side's spread is all there is.
    parts = [((found or known[0]).value / n, (found or known[0]).df) for found, n in sides]
    total = sum(value for value, _ in parts)
    if total <= 0:
        return None
    # By shares: squares of very small variances are zero.
    return Variance(total, 1 / sum((value / total) ** 2 / df for value, df in parts if value > 0))


def is_exact_metric(groups: Sequence[Sequence[float]]) -> bool:
    """Whether the metric has no spread: of all groups of repeated runs, none has any.

    Two repetitions at least, in one group or in several, have to show it.
    """
    repeated = [group for group in groups if len(group) > 1]
    if sum(len(group) - 1 for group in repeated) < 2:
        return False
    return all(map(are_equal, repeated))


def seeds_to_decide(found: Comparison) -> int | None:
    """How many more seeds of each side would show the gain as it looks, with a power of 80 %.

    None where it is established, no gain, or would take more than 50.
    """
    if found.established or found.gain <= 0 or found.test == EXACT:
        return None
    if found.error is None or found.df is None:
        return FEWEST_SEEDS
    sizes = (found.ours.n, found.theirs.n)
    each = found.error**2 / (1 / sizes[0] + 1 / sizes[1])
    for more in range(1, MOST_SEEDS + 1):
        new = (sizes[0] + more, sizes[1] + more)
        if min(new) < FEWEST_SEEDS:
            continue
        df = found.df + 2 * more
        needed = t_quantile(1 - found.limit, df) + t_quantile(POWER, df)
        if found.gain >= needed * math.sqrt(each * (1 / new[0] + 1 / new[1])):
            return more
    return None


def why(found: Comparison) -> str:
    """A comparison in one sentence, the same wherever it is told."""
    sides = f"{found.ours.text} against {found.theirs.text}"
    if found.test == EXACT:
        word = {True: "better", False: "worse" if found.gain < 0 else "equal"}[found.established]
        return f"{word}: difference {found.gain:+.4g}, {EXACT} ({sides})"
    if found.p is None:
        return (
            f"difference {found.gain:+.4g}, but not established: nothing is known of the spread "
            f"between seeds ({sides})"
        )
    word = "better" if found.established else "not shown to be better"
    if found.further:
        return (
            f"{word}: difference {found.gain:+.4g} by {found.further} further seeds of each, which "
            f"have decided nothing ({sides}); by those that decided p = {found.p:.2g} one-sided "
            f"({found.test})"
        )
    few = min(found.ours.n, found.theirs.n) < FEWEST_SEEDS
    among = f" for {found.tried} tests" if found.tried > 1 else ""
    return (
        f"{word}: difference {found.gain:+.4g}, p = {found.p:.2g} one-sided ({found.test}; below "
        f"{found.limit:.2g} is shown{among}){'; one seed shows nothing' if few else ''}: {sides}"
    )
