"""The statistics of the account once more, from their publications, with numpy and scipy.

Nothing of the product is used. Variances are moderated after Smyth (2004): each configuration's own
variance, drawn towards that of its neighbours as far as these agree.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special, stats

ROUNDING = 1e-9
Side = dict[str, float]
"""Value by seed."""


@dataclass(frozen=True)
class Tested:
    """A comparison; `p` is one-sided."""

    name: str
    gain: float
    p: float | None = None
    low: float | None = None
    high: float | None = None


def equal(values: Sequence[float]) -> bool:
    """Whether values differ by rounding at most."""
    found = np.asarray(values)
    return bool(np.ptp(found) <= ROUNDING * np.abs(found).max())


def mean(side: Side) -> float:
    """Over its seeds."""
    return float(np.mean(list(side.values())))


def deviation(side: Side) -> float | None:
    """Of the sample."""
    values = list(side.values())
    if len(values) < 2:
        return None
    return 0.0 if equal(values) else float(np.std(values, ddof=1))


def interval(side: Side) -> tuple[float, float]:
    """95 % t interval of the mean."""
    values = list(side.values())
    half = stats.t.ppf(0.975, len(values) - 1) * (deviation(side) or 0.0) / np.sqrt(len(values))
    return float(np.mean(values) - half), float(np.mean(values) + half)


def is_exact(groups: Sequence[Sequence[float]]) -> bool:
    """Whether nothing that was repeated, twice at least, has given different values."""
    repeated = [group for group in groups if len(group) > 1]
    return sum(len(group) - 1 for group in repeated) >= 2 and all(map(equal, repeated))


def compare(
    ours: Side, theirs: Side, sign: float, neighbours: Sequence[Side], exact: bool
) -> Tested:
    """Whether `ours` is better; `sign` is -1 where smaller values are."""
    ends = np.mean(list(ours.values())), np.mean(list(theirs.values()))
    gain = float(sign * (ends[0] - ends[1]))
    if abs(gain) <= ROUNDING * max(map(abs, ends)):
        gain = 0.0
    if exact:
        return Tested("exact: no spread between seeds", gain, float(gain <= 0), gain, gain)
    found = paired(ours, theirs, neighbours)
    name = "paired t" if found else "Welch t"
    found = found or unpaired(ours, theirs, neighbours)
    if found is None or found[0] <= 0:
        return Tested("not established", gain)
    variance, freedom = found
    error = np.sqrt(variance)
    half = float(stats.t.ppf(0.975, freedom) * error)
    p = float(stats.t.sf(gain / error, freedom))
    return Tested(name, gain, p, gain - half, gain + half)


def unpaired(ours: Side, theirs: Side, neighbours: Sequence[Side]) -> tuple[float, float] | None:
    """Welch's variance of the difference, with Satterthwaite's freedom."""
    prior = prior_of(neighbours)
    sides = [moderated(own(side), prior) for side in (ours, theirs)]
    known = [side for side in sides if side]
    if not known:
        return None
    parts = [
        ((side or known[0])[0] / len(values), (side or known[0])[1])
        for side, values in zip(sides, (ours, theirs), strict=True)
    ]
    total = sum(part for part, _ in parts)
    if total <= 0:
        return None
    return total, total**2 / sum(part**2 / freedom for part, freedom in parts if part)


def paired(ours: Side, theirs: Side, neighbours: Sequence[Side]) -> tuple[float, float] | None:
    """The variance of the mean difference, where seeds matter alike in all that ran them."""
    seeds = list(ours)
    if len(seeds) < 3 or set(seeds) != set(theirs):
        return None
    table = np.array(
        [[one[s] for s in seeds] for one in (ours, theirs, *neighbours) if set(seeds) <= set(one)]
    )
    rows, columns = table.shape
    centred = table - table.mean(axis=1, keepdims=True)
    effects = centred.mean(axis=0)
    rest, freedom = float(((centred - effects) ** 2).sum()), (rows - 1) * (columns - 1)
    if rest <= 1e-18 * np.abs(table).max() ** 2:
        return None
    ratio = rows * float((effects**2).sum()) / (columns - 1) / (rest / freedom)
    if stats.f.sf(ratio, columns - 1, freedom) >= 0.01:
        return None
    differences = table[0] - table[1]
    if np.ptp(differences) <= ROUNDING * np.abs(table).max():
        return None
    prior = (2 * rest / freedom, min(10.0, freedom)) if rows > 2 else None
    found = moderated((float(np.var(differences, ddof=1)), columns - 1.0), prior)
    assert found
    return found[0] / columns, found[1]


def own(side: Side) -> tuple[float, float] | None:
    """A sample's variance with its freedom."""
    found = deviation(side)
    return None if found is None else (found**2, len(side) - 1.0)


def moderated(
    mine: tuple[float, float] | None, prior: tuple[float, float] | None
) -> tuple[float, float] | None:
    """Smyth's posterior variance; of one that is too large for the prior, itself."""
    if mine is None or prior is None:
        return mine or prior
    if mine[0] > prior[0] and stats.f.sf(mine[0] / prior[0], mine[1], prior[1]) < 0.05:
        return mine
    freedom = mine[1] + prior[1]
    return (mine[0] * mine[1] + prior[0] * prior[1]) / freedom, freedom


def prior_of(neighbours: Sequence[Side]) -> tuple[float, float] | None:
    """Smyth's scaled inverse chi-square, fitted by the moments of log s^2; 10 freedom at most."""
    known = [found for found in map(own, neighbours) if found]
    if not any(value for value, _ in known):
        return None
    values, freedoms = np.array(known).T
    total = float(freedoms.sum())
    pooled = float(values @ freedoms) / total
    if len(known) < 3:
        return pooled, min(4.0, total)
    floor = 1e-4 * np.median(values[values > 0])
    logs = np.log(np.maximum(values, floor)) - special.digamma(freedoms / 2) + np.log(freedoms / 2)
    excess = logs.var(ddof=1) - special.polygamma(1, freedoms / 2).mean()
    if excess <= 0:
        return pooled, min(10.0, total)
    half = optimize.brentq(lambda x: special.polygamma(1, x) - excess, 1e-8, 1e8, xtol=1e-12)
    centre = logs.mean() + special.digamma(half) - np.log(half)
    return float(np.exp(centre)), float(min(10.0, 2 * half, total))
