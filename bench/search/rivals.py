"""The rivals: Optuna's samplers, plain, and with the best confirmed on further seeds.

A rival's first run is the baseline. Its search knows no budget, so that one long search serves
every budget: the first runs of it are what a shorter one would have done.
"""

import importlib.util
import warnings
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any, NamedTuple

import optuna

from bench.search.problems import Problem, is_active

SEARCH_SEED = 0
CONFIRMED, CONFIRMED_AT_12 = 3, 2
FURTHER_SEEDS = (1, 2)
HAS_GP = importlib.util.find_spec("torch") is not None
"""Whether Optuna's GP can run: it needs torch."""


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
