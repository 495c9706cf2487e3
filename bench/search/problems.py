"""Problems whose truth is known: a measurement has noise, the true value of a configuration none.

Each seed of the bench draws another problem of the same kind (other optimum, other interactions,
other baseline), so that no constant can be fitted to one function.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wildloop.blocks.agents.baseline.config import Dimension, ProjectFile
from wildloop.blocks.agents.baseline.search import random_configurations

Values = Mapping[str, Any]
Array = NDArray[np.float64]
BASELINE_AMONG = 8
BASELINE_PLACE = 2
REFERENCE = 400
MISSED = 0.25
BLUNT = 0.02
REACHED = 0.9
TRUE_SEEDS, TRUE_FROM = 60, 100_000


@dataclass(frozen=True)
class Problem:
    """A search space, what a run of a configuration measures, and what it is truly worth.

    Larger is better. `measure` returns None on a failure; `truth` of what always fails is that of
    the worst that does not.
    """

    space: dict[str, Any]
    baseline: dict[str, Any]
    measure: Callable[[Values, int], float | None]
    truth: Callable[[Values], float]

    def typical(self, count: int = 41) -> float:
        """What a configuration at random is worth, as the median of one run each."""
        tried = reference(self.space, 0)[:count]
        return float(np.median([self.measure(one, TRUE_FROM - 2) or 0.0 for one in tried]))

    @property
    def project(self) -> ProjectFile:
        """The problem as wildloop.toml declares it."""
        return project_of(self.space, self.baseline)


def project_of(space: Mapping[str, Any], baseline: Mapping[str, Any]) -> ProjectFile:
    """wildloop.toml for a space."""
    return ProjectFile.model_validate(
        {
            "train": {"command": "python train.py"},
            "metric": {"name": "score", "direction": "max"},
            "search": space,
            "baseline": baseline,
        }
    )


NETWORK = {
    "lr": {"low": 1e-4, "high": 1.0, "log": True},
    "momentum": {"low": 0.0, "high": 0.99},
    "weight-decay": {"low": 1e-6, "high": 1e-1, "log": True},
    "width": {"values": [16, 32, 64, 128, 256]},
    "dropout": {"low": 0.0, "high": 0.7},
    "batch": {"low": 8, "high": 256, "log": True, "int": True},
}
BOOSTING = {
    "rate": {"low": 1e-3, "high": 1.0, "log": True},
    "depth": {"low": 1, "high": 12, "int": True},
    "leaf": {"low": 1, "high": 64, "log": True, "int": True},
    "share": {"low": 0.2, "high": 1.0},
    "loss": {"values": ["square", "absolute", "huber"]},
}
OPTIMISERS = {
    "optimiser": {"values": ["sgd", "adam", "adagrad"]},
    "lr": {"low": 1e-4, "high": 1.0, "log": True},
    "momentum": {"low": 0.0, "high": 0.99, "when": {"optimiser": ["sgd"]}},
    "beta2": {"low": 0.9, "high": 0.9999, "when": {"optimiser": ["adam"]}},
    "layers": {"low": 1, "high": 3, "int": True},
    "width1": {"low": 8, "high": 256, "log": True, "int": True},
    "width2": {"low": 8, "high": 256, "log": True, "int": True, "when": {"layers": [2, 3]}},
    "width3": {"low": 8, "high": 256, "log": True, "int": True, "when": {"layers": [3]}},
}
RIDGE = {
    "scale": {"low": 0.01, "high": 100.0, "log": True},
    "penalty": {"low": 1e-6, "high": 100.0, "log": True},
    "features": {"low": 8, "high": 128, "log": True, "int": True},
    "wave": {"values": ["cos", "tanh", "relu"]},
    "power": {"low": 0.5, "high": 2.0},
}


def place(dimension: Dimension, value: Any) -> float:
    """Where a value lies in its dimension, from 0 to 1."""
    if dimension.values is not None:
        return dimension.values.index(value) / max(1, len(dimension.values) - 1)
    low, high = dimension.range
    if dimension.log:
        return float(np.log(value / low) / np.log(high / low))
    return (float(value) - low) / (high - low)


def is_active(space: Mapping[str, Any], name: str, values: Values) -> bool:
    """Whether a parameter matters beside these values."""
    when = space[name].get("when", {})
    return all(values[parent] in allowed for parent, allowed in when.items())


class Surface:
    """A smooth response with interactions, whose best is 1: a bowl in skewed coordinates.

    Args:
        space: the parameters; texts add an offset each, and shift the bowl.
        rng: draws everything else.
        ripples: height of the waves on the bowl, which make local optima.
        fails_above: sum of the first two places beyond which a run diverges; None: none does.
        centre: where the bowl lies; default: drawn.
    """

    def __init__(
        self,
        space: Mapping[str, Any],
        rng: np.random.Generator,
        ripples: float = 0.0,
        fails_above: float | None = None,
        centre: Values | None = None,
    ) -> None:
        self._space, self._ripples, self._fails_above = space, ripples, fails_above
        self._dimensions = project_of(space, dict.fromkeys(space, 0)).search
        texts = [name for name, one in self._dimensions.items() if _is_text(one)]
        self._numbers = [name for name in space if name not in texts]
        count = len(self._numbers)
        self._optimum = rng.uniform(0.15, 0.85, count)
        # Few parameters matter much, as in practice.
        self._weights = 3 * rng.permutation(np.geomspace(1.0, 0.05, count))
        self._mix = np.eye(count) + 0.35 * np.triu(rng.normal(size=(count, count)), 1)
        sizes = {name: len(self._dimensions[name].values or []) for name in texts}
        self._offsets = {n: rng.permutation(np.linspace(0, 0.25, k)) for n, k in sizes.items()}
        self._shifts = {n: rng.normal(0, 0.1, (k, count)) for n, k in sizes.items()}
        if centre is not None:
            self._optimum = self._places(centre)

    def fails(self, values: Values) -> bool:
        """Whether it diverges."""
        return self._fails_above is not None and self._places(values)[:2].sum() > self._fails_above

    def __call__(self, values: Values) -> float:
        """The response; 1 is the best there can be."""
        optimum, offset = self._optimum, 0.0
        for name, offsets in self._offsets.items():
            index = (self._dimensions[name].values or []).index(values[name])
            optimum = optimum + self._shifts[name][index]
            offset += float(offsets[index])
        off = self._places(values) - np.clip(optimum, 0.0, 1.0)
        # What is not there costs a little: it could have helped.
        on = [is_active(self._space, name, values) for name in self._numbers]
        off = np.where(on, off, MISSED)
        bowl = float(self._weights @ (self._mix @ off) ** 2)
        waves = float((1 - np.cos(4 * np.pi * off)).mean())
        return 1.0 - np.sqrt(BLUNT + bowl) + np.sqrt(BLUNT) - offset - self._ripples * waves

    def _places(self, values: Values) -> Array:
        return np.array([place(self._dimensions[name], values[name]) for name in self._numbers])


def _is_text(dimension: Dimension) -> bool:
    return any(isinstance(one, str) for one in dimension.values or [])


def synthetic(
    space: dict[str, Any], seed: int, noise: float, ripples: float = 0.0, fails: bool = False
) -> Problem:
    """A surface with Gaussian noise: `noise` is relative to the gap of baseline and best."""
    surface = Surface(space, np.random.default_rng(seed), ripples, 1.5 if fails else None)
    tried = [one for one in reference(space, seed) if not surface.fails(one)]
    baseline = _baseline(tried, surface)
    worst, best = min(map(surface, tried)), max(map(surface, tried))
    sd = noise * (max(best, REACHED) - surface(baseline))

    def truth(given: Values) -> float:
        return worst if surface.fails(given) else surface(given)

    return Problem(space, baseline, _noisy(truth, sd, seed, surface.fails), truth)


def nothing_to_gain(seed: int) -> Problem:
    """The baseline is the best there is, and noise is large: any other recommendation is worse."""
    baseline, *tried = reference(NETWORK, seed)
    surface = Surface(NETWORK, np.random.default_rng(seed), centre=baseline)
    sd = 0.3 * (surface(baseline) - float(np.median([surface(one) for one in tried])))
    return Problem(NETWORK, baseline, _noisy(surface, sd, seed), surface)


def _noisy(
    truth: Callable[[Values], float],
    sd: float,
    seed: int,
    fails: Callable[[Values], bool] = lambda values: False,
) -> Callable[[Values, int], float | None]:
    def measure(given: Values, run_seed: int) -> float | None:
        digest = zlib.crc32(repr(sorted(given.items())).encode())
        draw = np.random.default_rng([seed, run_seed, digest])
        return None if fails(given) else truth(given) + sd * float(draw.normal())

    return measure


def reference(space: Mapping[str, Any], seed: int) -> list[dict[str, Any]]:
    """Configurations at random, which no search draws."""
    start = {
        name: one["values"][0] if "values" in one else one["low"] for name, one in space.items()
    }
    return random_configurations(project_of(space, start), [], REFERENCE, 10_000 + seed)


def _baseline(tried: Sequence[dict[str, Any]], worth: Callable[[Values], float]) -> dict[str, Any]:
    """A baseline as people have it: the third best of eight at random."""
    return sorted(tried[:BASELINE_AMONG], key=worth, reverse=True)[BASELINE_PLACE]


def trained(seed: int) -> Problem:
    """Real training in a millisecond: ridge regression on random features; a seed is a split."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(240, 4))
    weights = rng.normal(size=(4, 3))
    target = np.sin(2 * inputs @ weights[:, 0]) + 0.5 * np.abs(inputs @ weights[:, 1])
    target = target + 0.3 * (inputs @ weights[:, 2]) + 0.4 * rng.normal(size=240)

    def measure(given: Values, run_seed: int) -> float:
        return -_ridge(inputs, target, given, run_seed)

    def truth(given: Values) -> float:
        return float(np.mean([measure(given, TRUE_FROM + one) for one in range(TRUE_SEEDS)]))

    baseline = _baseline(reference(RIDGE, seed), lambda one: measure(one, TRUE_FROM - 1))
    return Problem(RIDGE, baseline, measure, truth)


def _ridge(inputs: Array, target: Array, given: Values, seed: int) -> float:
    """Root mean squared error on a fifth of the data, trained on the rest."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(target))
    held, rest = order[:48], order[48:]
    raw = inputs @ rng.normal(size=(4, given["features"])) * given["scale"] / 2
    waves = {"cos": np.cos, "tanh": np.tanh, "relu": lambda x: np.maximum(x, 0)}
    made = waves[given["wave"]](raw)
    made = np.sign(made) * np.abs(made) ** given["power"]
    made = np.column_stack([made, np.ones(len(made))])
    gram = made[rest].T @ made[rest] + given["penalty"] * np.eye(made.shape[1])
    found = np.linalg.solve(gram, made[rest].T @ target[rest])
    return float(np.sqrt(np.mean((made[held] @ found - target[held]) ** 2)))


PROBLEMS: dict[str, Callable[[int], Problem]] = {
    "low noise": lambda seed: synthetic(NETWORK, seed, 0.05, fails=True),
    "high noise": lambda seed: synthetic(NETWORK, 100 + seed, 0.5),
    "deterministic": lambda seed: synthetic(BOOSTING, 200 + seed, 0.0, ripples=0.1),
    "conditional": lambda seed: synthetic(OPTIMISERS, 300 + seed, 0.15),
    "training": trained,
    "nothing to gain": nothing_to_gain,
}
