"""Problems drawn at random: space, shape, noise, failures and baseline differ with each seed.

What was chosen for the agent was chosen on many of these, so that it fits no single function.
"""

import math
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.search.problems import (
    Problem,
    Values,
    is_active,
    place,
    project_of,
    reference,
)

Array = NDArray[np.float64]
SHAPES = ("bowl", "root", "loss", "accuracy", "peaks", "plateau")
LEVELS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Standard deviations between seeds, relative to the gap of baseline and best."""
SHARED = (0.0, 0.0, 0.5, 0.8)
"""How much of their variance a seed has in common for all configurations."""
FAILING = 0.2
SHRINK = 0.6


def drawn(seed: int) -> Problem:
    """A problem of its own for each seed."""
    rng = np.random.default_rng([977, seed])
    space = _space(rng)
    worth, fails = _response(space, rng), _failure(space, rng)
    tried = [one for one in reference(space, 5000 + seed) if not fails(one)]
    baseline = _baseline(space, tried, worth, rng)
    known = [worth(one) for one in tried]
    best, worst = _best(space, tried, worth), min(known)
    sd = float(rng.choice(LEVELS)) * max(best - worth(baseline), 0.1 * (best - min(known)))
    shared, louder = float(rng.choice(SHARED)), rng.random() < 0.25
    loud = str(rng.choice(list(space)))
    dimensions = project_of(space, dict.fromkeys(space, 0)).search

    def truth(values: Values) -> float:
        return worst if fails(values) else worth(values)

    def measure(values: Values, run_seed: int) -> float | None:
        if fails(values):
            return None
        digest = zlib.crc32(repr(sorted(values.items())).encode())
        own = float(np.random.default_rng([seed, run_seed, digest]).normal())
        common = float(np.random.default_rng([seed, run_seed]).normal())
        scale = 0.4 + 2 * place(dimensions[loud], values[loud]) if louder else 1.0
        noise = math.sqrt(1 - shared) * own * scale + math.sqrt(shared) * common
        return worth(values) + sd * noise

    return Problem(space, baseline, measure, truth)


def _space(rng: np.random.Generator) -> dict[str, Any]:
    kinds = ("float", "log", "int", "logint", "numbers", "texts")
    count = int(rng.integers(2, 10))
    space: dict[str, Any] = {}
    for number in range(count):
        match str(rng.choice(kinds, p=[0.35, 0.25, 0.1, 0.1, 0.08, 0.12])):
            case "float":
                one: dict[str, Any] = {"low": 0.0, "high": 1.0}
            case "log":
                one = {"low": 1e-5, "high": 1.0, "log": True}
            case "int":
                one = {"low": 1, "high": int(rng.integers(3, 15)), "int": True}
            case "logint":
                one = {"low": 4, "high": 512, "log": True, "int": True}
            case "numbers":
                one = {"values": [16, 32, 64, 128, 256]}
            case _:
                one = {"values": ["a", "b", "c", "d"][: int(rng.integers(2, 5))]}
        space[f"p{number}"] = one
    texts = [name for name, one in space.items() if isinstance(one.get("values", [0])[0], str)]
    for name, one in space.items():
        if texts and name not in texts and rng.random() < 0.3:
            parent = str(rng.choice(texts))
            one["when"] = {parent: [space[parent]["values"][0]]}
    # A child comes after what it hangs on.
    return {name: space[name] for name in [*texts, *(n for n in space if n not in texts)]}


def _response(space: dict[str, Any], rng: np.random.Generator) -> Callable[[Values], float]:
    dimensions = project_of(space, dict.fromkeys(space, 0)).search
    texts = [n for n, one in space.items() if isinstance(one.get("values", [0])[0], str)]
    numbers = [name for name in space if name not in texts]
    count = max(1, len(numbers))
    weights = rng.permutation(np.geomspace(1.0, float(rng.choice([0.02, 0.1, 0.5])), count))
    mixing = float(rng.choice([0, 0.3, 0.6]))
    mix = np.eye(count) + mixing * np.triu(rng.normal(size=(count, count)), 1)
    peaks = rng.uniform(0.05, 0.95, (3, count))
    heights = np.array([1.0, 0.85, 0.7])
    offsets = {n: rng.permutation(np.linspace(0, 0.6, len(space[n]["values"]))) for n in texts}
    moves = {n: rng.normal(0, 0.08, (len(space[n]["values"]), count)) for n in texts}
    shape, ripples = str(rng.choice(SHAPES)), 0.15 * float(rng.random() < 0.2)

    def parts(values: Values, peak: int) -> float:
        off = np.zeros(count)
        if numbers:
            off = np.array([place(dimensions[n], values[n]) for n in numbers]) - peaks[peak]
            on = np.array([is_active(space, n, values) for n in numbers])
            off = np.where(on, off, 0.2)
        cost = 0.0
        for name in texts:
            index = space[name]["values"].index(values[name])
            off = off + moves[name][index] * bool(numbers)
            cost += float(offsets[name][index])
        waves = ripples * float((1 - np.cos(6 * np.pi * off)).mean())
        return 6 * float(weights @ (mix @ off) ** 2) + cost + waves

    def worth(values: Values) -> float:
        q = parts(values, 0)
        match shape:
            case "bowl":
                return 1 - q
            case "root":
                return 1 - math.sqrt(0.02 + q)
            case "loss":
                return -0.1 * math.exp(min(2.0 * q, 8.0))
            case "accuracy":
                return 0.5 + 0.45 * math.exp(-2 * q)
            case "plateau":
                return 0.1 + 0.8 * max(0.0, 1 - q)
            case _:
                return float(max(heights[k] * math.exp(-2 * parts(values, k)) for k in range(3)))

    return worth


def _failure(space: dict[str, Any], rng: np.random.Generator) -> Callable[[Values], bool]:
    """Whether a run gives nothing: in a corner of a fifth of the space, in a quarter of them."""
    dimensions = project_of(space, dict.fromkeys(space, 0)).search
    if rng.random() > 0.25:
        return lambda values: False
    direction = rng.normal(size=len(space))

    def height(values: Values) -> float:
        return float(direction @ [place(dimensions[name], values[name]) for name in space])

    limit = np.quantile([height(one) for one in reference(space, 77)], 1 - FAILING)
    return lambda values: height(values) > limit


def _baseline(
    space: dict[str, Any],
    tried: list[dict[str, Any]],
    worth: Callable[[Values], float],
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Good, fair or poor: the best of sixteen, the third of eight, the median of seven."""
    count, rank = [(16, 0), (8, 2), (7, 3)][int(rng.integers(3))]
    return sorted(tried[:count], key=worth, reverse=True)[rank]


def _best(
    space: dict[str, Any], tried: list[dict[str, Any]], worth: Callable[[Values], float]
) -> float:
    return max(worth(one) for one in tried)
