"""The rivals: Optuna's samplers, plain, and with the best confirmed on further seeds.

A rival's first run is the baseline. Its search knows no budget, so that one long search serves
every budget: the first runs of it are what a shorter one would have done.
"""

import importlib.util
import warnings
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import optuna

from bench.search.problems import Problem, is_active
from wildloop.blocks.agents.baseline.encoding import Cube
from wildloop.blocks.agents.baseline.gaussian import Process
from wildloop.blocks.agents.baseline.proposals import improvement

SEARCH_SEED = 0
CONFIRMED, CONFIRMED_AT_12 = 3, 2
FURTHER_SEEDS = (1, 2)
HAS_TORCH = importlib.util.find_spec("torch") is not None
"""Whether Optuna's GP can run; without it a plain one, by the agent's process, takes its place."""
POOL, NEAR, SPREAD = 1000, 200, 0.1
FITTED_EACH = 12


class Tried(NamedTuple):
    """A configuration and what its run gave."""

    values: dict[str, Any]
    value: float | None


Sampler = Callable[[int], optuna.samplers.BaseSampler]
SAMPLERS: dict[str, Sampler] = {
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "TPE": lambda seed: optuna.samplers.TPESampler(seed=seed),
    "CMA-ES": lambda seed: optuna.samplers.CmaEsSampler(seed=seed),
    "GP": lambda seed: optuna.samplers.GPSampler(seed=seed),
}
BRANCHING = frozenset({"random", "TPE"})
"""Those that are asked only for what matters; the others search one flat space better."""


def search(problem: Problem, name: str, runs: int, seed: int) -> list[Tried]:
    """The baseline and `runs` - 1 configurations, all with one seed."""
    if name == "GP" and not HAS_TORCH:
        return _plain_gp(problem, runs, seed)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=SAMPLERS[name](seed))
    study.enqueue_trial(problem.baseline)
    found = []
    for _ in range(runs):
        trial = study.ask()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values = _suggested(trial, problem, is_branching=name in BRANCHING)
        value = problem.measure(values, SEARCH_SEED)
        if value is None:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(trial, value)
        found.append(Tried(values, value))
    return found


def _plain_gp(problem: Problem, runs: int, seed: int) -> list[Tried]:
    """Expected improvement by a Gaussian process over a flat space; five at random to begin with.

    Its scales are fitted again after every twelfth part more runs.
    """
    project, rng = problem.project, np.random.default_rng([31, seed])
    cube, found = Cube(project), [Tried(problem.baseline, _value(problem, problem.baseline))]
    fitted = 0
    process: Process | None = None
    while len(found) < runs:
        pool = rng.random((POOL, len(cube.dimensions)))
        known = [one.value for one in found if one.value is not None]
        if len(found) > 5 and known:
            told = np.array([min(known) if one.value is None else one.value for one in found])
            points = cube.points([one.values for one in found])
            is_due = len(found) >= fitted + max(1, fitted // FITTED_EACH)
            process = Process(points, told, cube.columns, like=None if is_due else process)
            fitted = len(found) if is_due else fitted
            best = max(found, key=lambda one: -np.inf if one.value is None else one.value)
            near = cube.shares(best.values) + SPREAD * rng.normal(size=(NEAR, pool.shape[1]))
            pool = np.vstack([pool, np.clip(near, 0, 1)])
            gains = improvement(process.believe(cube.points_at(pool)), max(known))
            pool = pool[np.argsort(-gains, kind="stable")]
        values = cube.configuration(pool[0])
        found.append(Tried(values, _value(problem, values)))
    return found


def _value(problem: Problem, values: dict[str, Any]) -> float | None:
    return problem.measure(values, SEARCH_SEED)


def _suggested(trial: optuna.Trial, problem: Problem, is_branching: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, one in problem.space.items():
        if is_branching and not is_active(problem.space, name, found):
            found[name] = problem.baseline[name]
        elif "values" in one:
            found[name] = trial.suggest_categorical(name, one["values"])
        else:
            is_log = one.get("log", False)
            suggest = trial.suggest_int if one.get("int") else trial.suggest_float
            found[name] = suggest(name, one["low"], one["high"], log=is_log)
    return found


def best_seen(tried: Sequence[Tried]) -> dict[str, Any]:
    """The configuration of the best value; the baseline where nothing gave one."""
    known = [one for one in tried if one.value is not None]
    return max(known, key=lambda one: one.value or 0.0, default=tried[0]).values


def best_confirmed(problem: Problem, tried: Sequence[Tried], runs: int) -> dict[str, Any]:
    """The best mean among the best three (two of 12 runs) after two further seeds each."""
    count = CONFIRMED_AT_12 if runs <= 12 else CONFIRMED
    searched = [one for one in tried[: runs - count * len(FURTHER_SEEDS)] if one.value is not None]
    leaders = sorted(searched, key=lambda one: -(one.value or 0.0))[:count]

    def mean(one: Tried) -> float:
        further = [problem.measure(one.values, seed) for seed in FURTHER_SEEDS]
        return fmean([one.value or 0.0, *(value or 0.0 for value in further)])

    return max(leaders, key=mean).values if leaders else tried[0].values
