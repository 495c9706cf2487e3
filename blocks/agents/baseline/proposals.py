"""Which configurations to try next: those that promise the largest improvement."""

from collections.abc import Collection, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from wildloop.blocks.agents.baseline.encoding import Cube
from wildloop.blocks.agents.baseline.gaussian import Belief, Process
from wildloop.blocks.agents.baseline.outlook import Outlook
from wildloop.blocks.agents.baseline.search import Configuration, key_of

Array = NDArray[np.float64]
ANYWHERE = 1000
NEAR_EACH = 100
PARENTS = 5
REFINED, REFINEMENTS = 200, 3
STEPS = (0.3, 0.1, 0.03)
"""Standard deviations of a step from a good configuration, as shares of a range."""
BEST, NEAR_BEST = 2, 300
SHORT_STEPS = (0.15, 0.07, 0.02)
MOVED = 0.3
HOPE = 2.0
SOON, LATER = 12, 24
"""From so many runs on more is known than where the best so far lies."""
Way = Literal["near", "likely", "other", "hope"]


def promising_configurations(
    outlook: Outlook, seen: Sequence[Configuration], count: int, seed: int
) -> list[Configuration]:
    """Up to `count` new configurations of the largest expected improvement, to be run at once.

    Expected improvement (Jones, Schonlau, Welch 1998) on what the best tried one is believed to
    be worth, so that a lucky run raises no bar. Each further one is chosen as if the ones before
    had given what is expected of them.

    Args:
        outlook: what is known; it has results.
        seen: configurations that are not to come again.
        count: how many at most.
        seed: of the draws.
    """
    cube, process = outlook.cube, outlook.process
    rng = np.random.default_rng(seed)
    known = {key_of(one) for one in seen}
    good = [one.configuration for one in outlook.rivals[:PARENTS]] or [outlook.project.base()]
    parents = np.array([cube.shares(one) for one in good])
    tried = cube.points([one.configuration for one in outlook.groups])
    found: list[Configuration] = []
    for number in range(len(seen), len(seen) + count):
        way = _way(number)
        some = [process] if way in ("near", "likely") else process.plausible
        judge = some[int(rng.integers(len(some)))]
        bar = None if way == "hope" else float(judge.believe(tried).mean.max())
        best = None
        if way == "near":
            best = _first_new(cube, _near(cube, judge, parents[:BEST], bar, rng), known)
        if best is None:
            best = _first_new(cube, _pool(cube, judge, parents, bar, rng), known)
        if best is None:
            break
        known.add(key_of(best))
        found.append(best)
        point = cube.points([best])
        process, tried = process.with_believed(point), np.vstack([tried, point])
    return found


def _first_new(cube: Cube, pool: Array, known: Collection[str]) -> Configuration | None:
    return next((one for one in map(cube.configuration, pool) if key_of(one) not in known), None)


def _way(number: int) -> Way:
    """How the proposal after `number` others is made, so that a search does not stay on one hill.

    First near the best, which few runs make better most surely; then in turn with anywhere, by
    scales that are plausible. Later anywhere alone, by the most probable scales too, and one in
    four by the best that may be hoped for.
    """
    if number < LATER:
        return "other" if number % 2 and number >= SOON else "near"
    return ("likely", "other", "likely", "hope")[number % 4]


def _near(
    cube: Cube, process: Process, parents: Array, bar: float | None, rng: np.random.Generator
) -> Array:
    """Shares of candidates near the best, the most promising first."""
    near = _stepped(cube, np.repeat(parents, NEAR_BEST, axis=0), rng, SHORT_STEPS)
    gains = improvement(process.believe(cube.points_at(near)), bar)
    found: Array = near[np.argsort(-gains, kind="stable")]
    return found


def _pool(
    cube: Cube, process: Process, parents: Array, bar: float | None, rng: np.random.Generator
) -> Array:
    """Shares of candidates, the most promising first: from anywhere, near the good, refined."""
    anywhere = rng.random((ANYWHERE, len(cube.dimensions)))
    pool = np.vstack([anywhere, _stepped(cube, np.repeat(parents, NEAR_EACH, axis=0), rng)])
    gains = improvement(process.believe(cube.points_at(pool)), bar)
    for _ in range(REFINEMENTS):
        leaders = pool[np.argsort(-gains, kind="stable")[:2]]
        near = _stepped(cube, np.repeat(leaders, REFINED // 2, axis=0), rng)
        gains = np.append(gains, improvement(process.believe(cube.points_at(near)), bar))
        pool = np.vstack([pool, near])
    found: Array = pool[np.argsort(-gains, kind="stable")]
    return found


def improvement(belief: Belief, bar: float | None) -> Array:
    """The expected improvement on `bar`; without one, the upper end of what is believed."""
    if bar is None:
        return belief.mean + HOPE * belief.sd
    z = (belief.mean - bar) / belief.sd
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    found: Array = belief.sd * (z * ndtr(z) + density)
    return found


def _stepped(
    cube: Cube, starts: Array, rng: np.random.Generator, sizes: Sequence[float] = STEPS
) -> Array:
    """Shares near `starts`: a few parameters moved, by a step of some size."""
    count, width = starts.shape
    moved = rng.random((count, width)) < max(MOVED, 1 / width)
    moved[np.arange(count), rng.integers(width, size=count)] = True
    steps = rng.normal(size=(count, width)) * rng.choice(sizes, size=(count, 1))
    # A step of whole numbers, or in a list of numbers, reaches the next one at least.
    steps = np.sign(steps) * np.maximum(np.abs(steps), cube.cells)
    near = np.clip(starts + steps, 0, 1)
    anew = rng.random((count, width))
    return np.where(moved, np.where(cube.ordered, near, anew), starts)
