"""Mean ranks, regrets and shares of bad recommendations, with intervals."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, rankdata

Array = NDArray[np.float64]
DRAWS = 4000
TOLERANCE = 1e-9


class Cell(NamedTuple):
    """One search with one budget on one problem: the true values of what it recommends."""

    problem: str
    seed: int
    strategy: str
    runs: int
    value: float
    baseline: float
    typical: float
    used: int


class Summary(NamedTuple):
    """A strategy at one budget; intervals are of 95 %."""

    strategy: str
    rank: float
    rank_interval: tuple[float, float]
    behind: tuple[float, float]
    regret: float
    regret_interval: tuple[float, float]
    worse: int
    count: int
    used: float

    @property
    def worse_interval(self) -> tuple[float, float]:
        """Of the share of recommendations that are truly worse than the baseline (Wilson)."""
        found = binomtest(self.worse, self.count).proportion_ci(method="wilson")
        return float(found.low), float(found.high)


def summaries(cells: Sequence[Cell], runs: int, ours: str) -> list[Summary]:
    """The strategies at one budget, best mean rank first.

    A rank is among the strategies, on one problem and seed, even ones in the middle. A regret is
    the distance to the best that any strategy found there with any budget, 1 being that of a
    configuration at random. `behind` is how much worse than ours its rank is, pair by pair.
    Intervals are by the bootstrap over problems and seeds.
    """
    tops: dict[tuple[str, int], float] = {}
    for cell in cells:
        key = (cell.problem, cell.seed)
        tops[key] = max(tops.get(key, -np.inf), cell.value, cell.baseline)
    here = [cell for cell in cells if cell.runs == runs]
    names = list(dict.fromkeys(cell.strategy for cell in here))
    keys = list(dict.fromkeys((cell.problem, cell.seed) for cell in here))
    at = {(cell.problem, cell.seed, cell.strategy): cell for cell in here}
    rows = [[at[*key, name] for name in names] for key in keys]
    ranks = np.array([rankdata([-round(cell.value, 9) for cell in row]) for row in rows])
    regrets = np.array(
        [[_regret(cell, tops[key]) for cell in row] for key, row in zip(keys, rows, strict=True)]
    )
    rng = np.random.default_rng(0)
    draws = rng.integers(len(keys), size=(DRAWS, len(keys)))
    own = names.index(ours) if ours in names else 0
    found = []
    for number, name in enumerate(names):
        mine = [row[number] for row in rows]
        found.append(
            Summary(
                name,
                float(ranks[:, number].mean()),
                _interval(ranks[:, number], draws),
                _interval(ranks[:, number] - ranks[:, own], draws),
                float(regrets[:, number].mean()),
                _interval(regrets[:, number], draws),
                sum(cell.value < cell.baseline - TOLERANCE for cell in mine),
                len(mine),
                float(np.mean([cell.used for cell in mine])),
            )
        )
    return sorted(found, key=lambda one: one.rank)


def _regret(cell: Cell, top: float) -> float:
    # Where what is typical is as good as any, the baseline is the measure.
    most = max(top - cell.typical, top - cell.baseline)
    return (top - cell.value) / most if most > TOLERANCE else 0.0


def _interval(values: Array, draws: NDArray[np.int64]) -> tuple[float, float]:
    low, high = np.percentile(values[draws].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def overall(cells: Sequence[Cell], runs: int, ours: str) -> str:
    """The table of one budget."""
    lines = [
        "| strategy | mean rank | behind the agent by | regret | truly worse than base | runs |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for one in summaries(cells, runs, ours):
        low, high = one.worse_interval
        behind = "" if one.strategy == ours else _span(one.behind, "+.2f")
        lines.append(
            f"| {one.strategy} | {one.rank:.2f} {_span(one.rank_interval)} | {behind} "
            f"| {one.regret:.3f} {_span(one.regret_interval, '.3f')} "
            f"| {one.worse} of {one.count} [{low:.1%}, {high:.1%}] | {one.used:.1f} |"
        )
    return "\n".join(lines)


def by_problem(cells: Sequence[Cell], runs: int, ours: str) -> str:
    """Mean rank and mean regret on each problem alone."""
    problems = list(dict.fromkeys(cell.problem for cell in cells))
    found = {
        problem: {
            one.strategy: one
            for one in summaries([c for c in cells if c.problem == problem], runs, ours)
        }
        for problem in problems
    }
    lines = [
        "| strategy | " + " | ".join(problems) + " |",
        "| --- |" + " ---: |" * len(problems),
    ]
    for one in summaries(cells, runs, ours):
        here = [found[problem][one.strategy] for problem in problems]
        shown = " | ".join(f"{it.rank:.2f} ({it.regret:.3f})" for it in here)
        lines.append(f"| {one.strategy} | {shown} |")
    return "\n".join(lines)


def _span(interval: tuple[float, float], form: str = ".2f") -> str:
    return f"[{interval[0]:{form}}, {interval[1]:{form}}]"
