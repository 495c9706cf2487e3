"""Problems of other kinds, held back: nothing of the agent was chosen by them.

Larger is better; what is a loss comes with a minus. Each seed draws another one of its kind.
"""

import math
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.search.problems import TRUE_FROM, TRUE_SEEDS, Problem, Values, reference

Array = NDArray[np.float64]
WORST_LOSS = 50.0


def _draw(*key: int) -> np.random.Generator:
    return np.random.default_rng(key)


def _digest(values: Values) -> int:
    return zlib.crc32(repr(sorted(values.items())).encode())


def valley(seed: int) -> Problem:
    """Two logarithmic parameters, a narrow bent valley of the loss, little noise (of a share)."""
    space = {
        "lr": {"low": 1e-5, "high": 1.0, "log": True},
        "decay": {"low": 1e-6, "high": 1.0, "log": True},
    }
    rng = _draw(11, seed)
    bend, at, shift = rng.uniform(-0.5, 0.5), rng.uniform(-3.5, -1.0), rng.uniform(-4.0, -2.5)

    def truth(values: Values) -> float:
        x, y = math.log10(values["lr"]), math.log10(values["decay"])
        across = y - shift + bend * (x - at) ** 2 + 0.7 * (x - at)
        return -min(WORST_LOSS, 0.2 + 0.6 * across**2 + 0.05 * (x - at) ** 2)

    def measure(values: Values, run_seed: int) -> float:
        own = _draw(seed, run_seed, _digest(values)).normal()
        return truth(values) * math.exp(0.04 * float(own))

    return Problem(space, {"lr": 1e-3, "decay": 1e-4}, measure, truth)


def broad(seed: int) -> Problem:
    """Eight parameters, of which three matter, one by its interaction; low noise."""
    space: dict[str, Any] = {
        "lr": {"low": 1e-5, "high": 1e-1, "log": True},
        "warmup": {"low": 0.0, "high": 0.5},
        "heads": {"values": [1, 2, 4, 8]},
        "width": {"low": 32, "high": 1024, "log": True, "int": True},
        "layers": {"low": 1, "high": 10, "int": True},
        "dropout": {"low": 0.0, "high": 0.6},
        "clip": {"low": 0.1, "high": 10.0, "log": True},
        "norm": {"values": ["pre", "post", "none"]},
    }
    rng = _draw(12, seed)
    best_lr, best_layers = rng.uniform(-3.5, -2.0), rng.uniform(4, 9)
    norms = dict(zip(("pre", "post", "none"), rng.permutation([0.0, 0.02, 0.05]), strict=True))

    def truth(values: Values) -> float:
        lr, layers = math.log10(values["lr"]), values["layers"]
        off = lr - best_lr + 0.12 * (layers - best_layers)
        found = 0.92 - 0.05 * min(off**2, 6.0) - 0.004 * (layers - best_layers) ** 2
        found -= 0.08 * (values["dropout"] - 0.2) ** 2 + norms[values["norm"]]
        return float(found - 0.01 * abs(math.log(values["width"] / 300)))

    def measure(values: Values, run_seed: int) -> float:
        return truth(values) + 0.006 * float(_draw(seed, run_seed, _digest(values)).normal())

    base = {"lr": 1e-4, "warmup": 0.1, "heads": 4, "width": 128, "layers": 2, "dropout": 0.0}
    return Problem(space, base | {"clip": 1.0, "norm": "post"}, measure, truth)


def unstable(seed: int) -> Problem:
    """Four parameters; the nearer to divergence, the better until shortly before, and the louder.

    Beyond it a run fails, near it only some seeds do.
    """
    space: dict[str, Any] = {
        "lr": {"low": 1e-4, "high": 10.0, "log": True},
        "momentum": {"low": 0.0, "high": 0.99},
        "batch": {"low": 8, "high": 512, "log": True, "int": True},
        "smoothing": {"low": 0.0, "high": 0.3},
    }
    rng = _draw(13, seed)
    edge, loved = rng.uniform(-1.0, 0.8), rng.uniform(0.05, 0.2)

    def strength(values: Values) -> float:
        rate = math.log10(values["lr"]) - 0.5 * math.log10(1 - values["momentum"])
        return rate - 0.5 * math.log10(values["batch"] / 64) - edge

    def worth(values: Values) -> float:
        at = strength(values)
        rise = 0.85 - 0.04 * (at + 0.7) ** 2 if at < 0 else 0.3
        return rise - 1.5 * (values["smoothing"] - loved) ** 2

    def measure(values: Values, run_seed: int) -> float | None:
        own = _draw(seed, run_seed, _digest(values))
        at = strength(values) + 0.15 * float(own.normal())
        if at > 0:
            return None
        return worth(values) + 0.03 * math.exp(1.5 * min(0.0, at)) * 2 * float(own.normal())

    base = {"lr": 1e-3, "momentum": 0.5, "batch": 64, "smoothing": 0.0}
    return Problem(space, base, measure, worth)


def cliff(seed: int) -> Problem:
    """Five parameters; most of the space learns nothing, a fifth fails, the rest is a hill."""
    space: dict[str, Any] = {
        "lr": {"low": 1e-5, "high": 1.0, "log": True},
        "init": {"low": 0.01, "high": 3.0, "log": True},
        "depth": {"low": 2, "high": 20, "int": True},
        "gate": {"values": ["relu", "gelu", "tanh"]},
        "mix": {"low": 0.0, "high": 1.0},
    }
    rng = _draw(14, seed)
    centre = rng.uniform([0.3, 0.3, 0.2, 0.1], [0.7, 0.7, 0.6, 0.9])
    loved = str(rng.choice(["relu", "gelu", "tanh"]))

    def places(values: Values) -> Array:
        lr = math.log10(values["lr"]) / 5 + 1
        init = math.log10(values["init"] / 0.01) / math.log10(300)
        return np.array([lr, init, (values["depth"] - 2) / 18, values["mix"]])

    def fails(values: Values) -> bool:
        found = places(values)
        return bool(found[0] + found[1] > 1.45)

    def truth(values: Values) -> float:
        if fails(values):
            return 0.0
        off = (places(values) - centre) * np.array([3.0, 2.0, 1.5, 0.7])
        hill = 0.9 - float(off @ off) - 0.08 * (values["gate"] != loved)
        return max(0.1, hill)

    def measure(values: Values, run_seed: int) -> float | None:
        if fails(values):
            return None
        return truth(values) + 0.02 * float(_draw(seed, run_seed, _digest(values)).normal())

    tried = [one for one in reference(space, 900 + seed) if truth(one) > 0.1]
    return Problem(space, sorted(tried[:6], key=truth)[2], measure, truth)


def peaks(seed: int) -> Problem:
    """Four parameters, five peaks of unlike heights; a seed shifts all configurations alike."""
    space = {name: {"low": -1.0, "high": 1.0} for name in "abcd"}
    rng = _draw(15, seed)
    centres, heights = rng.uniform(-0.9, 0.9, (5, 4)), np.array([1.0, 0.9, 0.8, 0.65, 0.5])
    widths = rng.uniform(0.35, 0.8, 5)

    def truth(values: Values) -> float:
        off = np.array([values[name] for name in "abcd"]) - centres
        return float((heights * np.exp(-0.5 * (off**2).sum(axis=1) / widths**2)).max())

    def measure(values: Values, run_seed: int) -> float:
        common = float(_draw(seed, run_seed).normal())
        own = float(_draw(seed, run_seed, _digest(values)).normal())
        return truth(values) + 0.12 * common + 0.05 * own

    return Problem(space, dict.fromkeys("abcd", 0.0), measure, truth)


def table(seed: int) -> Problem:
    """Lists and whole numbers alone, with interactions between pairs; no noise."""
    space: dict[str, Any] = {
        "cell": {"values": ["lstm", "gru", "conv", "attention"]},
        "pool": {"values": ["mean", "max", "last"]},
        "skip": {"values": [True, False]},
        "kernel": {"low": 1, "high": 9, "int": True},
        "blocks": {"low": 1, "high": 6, "int": True},
        "loss": {"values": ["ce", "focal"]},
    }
    rng = _draw(16, seed)
    sizes = [4, 3, 2, 9, 6, 2]
    single = [0.5 * rng.normal(size=size) for size in sizes]
    # Whole numbers answer smoothly.
    for number in (3, 4):
        peak = rng.uniform(0, sizes[number] - 1)
        single[number] = -0.8 * (np.arange(sizes[number]) - peak) ** 2 / sizes[number]
    pairs = {
        (i, j): 0.3 * rng.normal(size=(sizes[i], sizes[j])) for i in range(3) for j in range(i, 6)
    }

    def index(name: str, value: Any) -> int:
        one = space[name]
        return int(one["values"].index(value) if "values" in one else value - one["low"])

    def truth(values: Values) -> float:
        at = [index(name, values[name]) for name in space]
        total = sum(single[n][at[n]] for n in range(6))
        return float(total + sum(one[at[i], at[j]] for (i, j), one in pairs.items()))

    tried = reference(space, 950 + seed)
    base = sorted(tried[:5], key=truth)[2]
    return Problem(space, base, lambda values, run_seed: truth(values), truth)


def classifier(seed: int) -> Problem:
    """Kernel classification of few points, really trained: an accuracy in steps, high noise."""
    space: dict[str, Any] = {
        "width": {"low": 0.05, "high": 20.0, "log": True},
        "penalty": {"low": 1e-5, "high": 10.0, "log": True},
        "kernel": {"values": ["rbf", "laplace", "poly"]},
        "scale": {"low": 0.0, "high": 1.0},
        "features": {"low": 2, "high": 10, "int": True},
    }
    rng = _draw(17, seed)
    inputs = rng.normal(size=(400, 10)) * np.linspace(1.6, 0.4, 10)
    weights = rng.normal(size=(10, 2)) * np.linspace(1, 0.1, 10)[:, None]
    score = np.sin(2 * inputs @ weights[:, 0]) + 0.5 * inputs @ weights[:, 1]
    labels = np.sign(score + 0.4 * rng.normal(size=400))
    spread = inputs.std(axis=0)
    scaled = inputs / spread

    def measure(values: Values, run_seed: int) -> float:
        order = _draw(seed, run_seed).permutation(400)
        train, held = order[:80], order[80:180]
        some = values["features"]
        data = scaled[:, :some] * spread[:some] ** (1 - values["scale"])
        gram = _kernel(values["kernel"], data[train], data[train], values["width"])
        found = np.linalg.solve(gram + values["penalty"] * np.eye(80), labels[train])
        told = _kernel(values["kernel"], data[held], data[train], values["width"]) @ found
        return float((np.sign(told) == labels[held]).mean())

    def truth(values: Values) -> float:
        return float(np.mean([measure(values, TRUE_FROM + one) for one in range(TRUE_SEEDS)]))

    base = {"width": 10.0, "penalty": 1e-3, "kernel": "rbf", "scale": 0.0, "features": 10}
    return Problem(space, base, measure, truth)


def _kernel(name: str, some: Array, others: Array, width: float) -> Array:
    if name == "poly":
        return np.asarray((1 + some @ others.T / width) ** 2)
    far = (some**2).sum(axis=1)[:, None] + (others**2).sum(axis=1) - 2 * some @ others.T
    far = np.maximum(far, 0.0)
    return np.asarray(np.exp(-far / width**2) if name == "rbf" else np.exp(-np.sqrt(far) / width))


def schedule(seed: int) -> Problem:
    """A perplexity, where a choice brings parameters of its own; noise is a share of it, high."""
    space: dict[str, Any] = {
        "schedule": {"values": ["constant", "step", "cosine"]},
        "lr": {"low": 1e-4, "high": 1.0, "log": True},
        "gamma": {"low": 0.05, "high": 0.95, "when": {"schedule": ["step"]}},
        "every": {"low": 1, "high": 30, "int": True, "when": {"schedule": ["step"]}},
        "warm": {"low": 0.0, "high": 0.5, "when": {"schedule": ["cosine"]}},
        "tie": {"values": [True, False]},
    }
    rng = _draw(18, seed)
    at, best_warm, best_every = rng.uniform(-2.5, -0.8), rng.uniform(0.05, 0.3), rng.uniform(5, 25)
    tied = bool(rng.random() < 0.5)

    def truth(values: Values) -> float:
        off = math.log10(values["lr"]) - at
        cost = 0.5 * off**2
        match values["schedule"]:
            case "constant":
                cost += 0.25
            case "step":
                cost += 0.1 + 0.6 * (values["gamma"] - 0.4) ** 2
                cost += 0.1 * abs(math.log(values["every"] / best_every))
            case _:
                cost += 3 * (values["warm"] - best_warm) ** 2
        return -20.0 * math.exp(min(cost + 0.08 * (values["tie"] != tied), 4.0))

    def measure(values: Values, run_seed: int) -> float:
        own = float(_draw(seed, run_seed, _digest(values)).normal())
        return truth(values) * math.exp(0.15 * own)

    base = {"schedule": "constant", "lr": 0.01, "gamma": 0.5, "every": 10, "warm": 0.1, "tie": True}
    return Problem(space, base, measure, truth)


OTHERS: dict[str, Callable[[int], Problem]] = {
    "valley": valley,
    "broad": broad,
    "unstable": unstable,
    "cliff": cliff,
    "peaks": peaks,
    "table": table,
    "classifier": classifier,
    "schedule": schedule,
}
