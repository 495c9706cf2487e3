"""What the runs so far let expect: of every configuration that was tried, and of any other."""

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from wildloop.blocks.agents.baseline.analysis import (
    SEARCH_SEED,
    Group,
    baseline_group,
    configuration_of,
    groups,
    result_of,
)
from wildloop.blocks.agents.baseline.api import RunView
from wildloop.blocks.agents.baseline.config import ProjectFile
from wildloop.blocks.agents.baseline.encoding import Cube
from wildloop.blocks.agents.baseline.gaussian import Process
from wildloop.blocks.agents.baseline.search import Configuration, key_of

Array = NDArray[np.float64]
TAIL = 2.0
"""How far below the median a bad value counts, in distances from the median to the best."""
MOST_TOLD = 200
SPANS = 3.0
"""A positive loss whose largest value is so many times the smallest is told by its logarithm."""
EQUAL = 1e-12
DRAWS = 100


class Outlook:
    """The belief after some runs. Larger is better here, whatever the metric's direction.

    Args:
        project: space, metric and baseline.
        runs: of the session; one needs a result at least (`has_results`).
    """

    def __init__(self, project: ProjectFile, runs: Sequence[RunView]) -> None:
        self.project, self.cube = project, Cube(project)
        self._sign = 1.0 if project.metric.direction == "max" else -1.0
        self.runs = list(runs)
        self.groups = groups(runs, project)
        self.base = baseline_group(runs, project)

    @property
    def has_results(self) -> bool:
        """Whether anything is known."""
        return bool(self.groups)

    @cached_property
    def is_exact(self) -> bool:
        """Whether seeds change nothing, as far as any was repeated."""
        repeated = [one.values for one in self.groups if len(one.values) > 1]
        return bool(repeated) and all(
            max(values) - min(values) <= EQUAL * max(map(abs, values)) for values in repeated
        )

    @cached_property
    def process(self) -> Process:
        """The Gaussian process that was told of every run."""
        told = self._told()
        points = self.cube.points([one for one, _, _ in told])
        values = np.array([value for _, value, _ in told])
        seeds = np.array([seed for _, _, seed in told])
        return Process(points, values, self.cube.columns, seeds, self.is_exact)

    @cached_property
    def is_loss(self) -> bool:
        """Whether scores are losses that span much: then shares of them count, not differences."""
        results = [result_of(run, self.project) for run in self.runs]
        known = [-self._sign * value for value in results if value is not None]
        return bool(known) and 0 < min(known) < max(known) / SPANS

    def _told(self) -> list[tuple[Configuration, float, int]]:
        """Configurations, scores and seeds, a run each.

        What failed is as bad as the worst that did not.
        Far below the median it does not matter how bad something is: it would only flatten what
        tells the good from the very good.
        """
        found: list[tuple[Configuration, float | None, int]] = []
        for run in self.runs:
            one, value = configuration_of(run, self.project), result_of(run, self.project)
            if run.ended and len(one) == len(self.project.search):
                score = None if value is None else self._sign * value
                found.append((one, score, SEARCH_SEED if run.seed is None else run.seed))
        if self.is_loss:
            found = [(one, None if v is None else -math.log(-v), seed) for one, v, seed in found]
        known = [value for _, value, _ in found if value is not None]
        middle = float(np.median(known))
        floor = max(min(known), middle - TAIL * max(0.0, max(known) - middle))
        told = [
            (one, floor if value is None else max(floor, value), seed) for one, value, seed in found
        ]
        if len(told) > MOST_TOLD:
            best = sorted(told, key=lambda pair: -pair[1])[: MOST_TOLD // 2]
            told = [*best, *[one for one in told[-MOST_TOLD:] if one not in best]][:MOST_TOLD]
        return told

    @cached_property
    def failed(self) -> list[Configuration]:
        """What has failed on some seed."""
        return [
            configuration_of(run, self.project)
            for run in self.runs
            if run.ended and result_of(run, self.project) is None
        ]

    @cached_property
    def rivals(self) -> list[Group]:
        """What may be recommended, the most promising by the belief first.

        Not the baseline, and nothing that has failed on any seed.
        """
        base = key_of(self.project.base())
        lost = {key_of(one) for one in self.failed}
        found = [one for one in self.groups if key_of(one.configuration) not in {base, *lost}]
        if not found:
            return []
        means = self.process.means(self._points(found))
        return [found[i] for i in np.argsort(-means, kind="stable")]

    def gain(self, one: Group) -> float:
        """How much better than the baseline a configuration is expected to be, in the told unit."""
        if self.base is None:
            return math.inf
        means = self.process.means(self._points([one, self.base]))
        return float(means[0] - means[1])

    def chances_against_baseline(self, some: Sequence[Group]) -> list[float] | None:
        """How probable it is of each of these that it is better; None without a baseline."""
        if self.base is None:
            return None
        if self.is_exact:
            return [float(self._sign * (one.mean - self.base.mean) > 0) for one in some]
        return [float(one) for one in self.process.chances_above(self._points([*some, self.base]))]

    def chances(self, some: Sequence[Group], rng: np.random.Generator) -> Array:
        """How probable it is of each of these that it is the best of them."""
        drawn = self.process.draws(self._points(some), DRAWS, rng)
        found: Array = np.bincount(drawn.argmax(axis=1), minlength=len(some)) / len(drawn)
        return found

    @property
    def noise(self) -> float:
        """Standard deviation between seeds, in the told unit; 0 where they change nothing."""
        return 0.0 if self.is_exact else self.process.noise

    def _points(self, some: Sequence[Group]) -> Array:
        return self.cube.points([one.configuration for one in some])
