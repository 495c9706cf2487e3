"""Paired comparison of two searches over the same seeds."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from bench.search.problems import Problem

Values = NDArray[np.float64]
Scores = dict[str, Values]
LEAST_PAIRS = 3


class Pairs(NamedTuple):
    """How often one search won and lost against another, and Wilcoxon's two-sided p."""

    won: int
    lost: int
    p: float

    def __str__(self) -> str:
        return f"{self.won}/{self.lost} p={self.p:.2g}"


def versus(values: Values, rivals: Values, direction: Literal["max", "min"]) -> Pairs:
    """Compare seed by seed; even pairs count for neither."""
    return _pairs((values - rivals) * (1 if direction == "max" else -1))


def totals(tables: dict[int, Scores], problems: Sequence[Problem], name: str, rival: str) -> Pairs:
    """Compare over all problems, each scaled by the spread of its values over all searches."""
    gains = []
    for number, scores in tables.items():
        sign = 1 if problems[number].direction == "max" else -1
        spread = float(np.nanstd(np.concatenate(list(scores.values())))) or 1.0
        gains.append(sign * (scores[name] - scores[rival]) / spread)
    return _pairs(np.concatenate(gains))


def _pairs(gains: Values) -> Pairs:
    uneven = gains[np.abs(gains) > 1e-12]
    p = float(wilcoxon(uneven).pvalue) if len(uneven) >= LEAST_PAIRS else 1.0
    return Pairs(int((uneven > 0).sum()), int((uneven < 0).sum()), p)
