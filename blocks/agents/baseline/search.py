"""Which configurations to try: a Latin hypercube, then Optuna's TPE, asked and told."""

import json
import random
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from blocks.agents.baseline.config import Dimension, ProjectFile

if TYPE_CHECKING:
    # Importing Optuna takes half a second: most calls of the agent do without.
    from optuna.distributions import BaseDistribution

Configuration = dict[str, Any]
STARTUP_TRIALS = 3
ASKS_PER_CONFIGURATION = 10
DIGITS = 4


def random_configurations(
    project: ProjectFile, seen: Iterable[Configuration], count: int, seed: int
) -> list[Configuration]:
    """Up to `count` new random configurations, each range cut into `count` strata.

    Latin hypercube sampling (McKay, Beckman, Conover 1979): one draw from each stratum of every
    dimension covers the space better than independent draws. Fewer come where a small discrete
    space has no more to offer.
    """
    rng = random.Random(seed)
    known = {key_of(one) for one in seen}
    found: list[Configuration] = []
    for _ in range(ASKS_PER_CONFIGURATION):
        columns = {}
        for name, dimension in project.search.items():
            strata = [(i + rng.random()) / count for i in range(count)]
            rng.shuffle(strata)
            columns[name] = [_place(dimension, share) for share in strata]
        for i in range(count):
            _take({name: columns[name][i] for name in columns}, project, known, found)
        if len(found) >= count:
            break
    return found[:count]


def _place(dimension: Dimension, share: float) -> Any:
    """The value at `share` (0 to 1) of a dimension."""
    if dimension.values is not None:
        return dimension.values[min(len(dimension.values) - 1, int(share * len(dimension.values)))]
    low, high = dimension.range
    value = low * (high / low) ** share if dimension.log else low + (high - low) * share
    return round(value) if dimension.int else value


def tpe_configurations(
    project: ProjectFile,
    tried: Sequence[tuple[Configuration, float | None]],
    count: int,
    seed: int,
) -> list[Configuration]:
    """Up to `count` new configurations by TPE (Bergstra et al. 2011), told of everything tried.

    A configuration without a result (None) is told as failed, and never asked for again. Those
    asked for together are kept apart by the constant liar. What lies outside the searched ranges,
    as a baseline may, is not told: Optuna takes no such trial.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = _distributions(project.search)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(
            seed=seed, n_startup_trials=STARTUP_TRIALS, multivariate=True, constant_liar=True
        )
    study = optuna.create_study(
        direction="maximize" if project.metric.direction == "max" else "minimize", sampler=sampler
    )
    for configuration, value in tried:
        if not in_space(configuration, project):
            continue
        state = optuna.trial.TrialState.FAIL if value is None else optuna.trial.TrialState.COMPLETE
        study.add_trial(
            optuna.trial.create_trial(
                params=configuration, distributions=space, value=value, state=state
            )
        )
    known = {key_of(configuration) for configuration, _ in tried}
    found: list[Configuration] = []
    for _ in range(count * ASKS_PER_CONFIGURATION):
        if len(found) == count:
            break
        _take(study.ask(space).params, project, known, found)
    return found


def _distributions(space: Mapping[str, Dimension]) -> "dict[str, BaseDistribution]":
    """The search space in Optuna's terms."""
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    found: dict[str, BaseDistribution] = {}
    for name, dimension in space.items():
        if dimension.values is not None:
            found[name] = CategoricalDistribution(dimension.values)
            continue
        low, high = dimension.range
        if dimension.int:
            found[name] = IntDistribution(int(low), int(high), log=dimension.log)
        else:
            found[name] = FloatDistribution(low, high, log=dimension.log)
    return found


def _take(
    configuration: Configuration,
    project: ProjectFile,
    known: set[str],
    found: list[Configuration],
) -> None:
    """Add a configuration to `found`, unless it is known."""
    short = {name: _short(value, project.search[name]) for name, value in configuration.items()}
    if key_of(short) not in known:
        known.add(key_of(short))
        found.append(short)


def _short(value: Any, dimension: Dimension) -> Any:
    """A value with four significant digits, still in its range: what is shown is what is run."""
    if dimension.values is not None or not isinstance(value, float):
        return value
    low, high = dimension.range
    return min(high, max(low, float(f"{value:.{DIGITS}g}")))


def in_space(configuration: Configuration, project: ProjectFile) -> bool:
    """Whether every searched parameter has a value inside its dimension, and there is no other."""
    return set(configuration) == set(project.search) and all(
        dimension.has(configuration[name]) for name, dimension in project.search.items()
    )


def key_of(configuration: Mapping[str, Any]) -> str:
    """A text that is equal for equal configurations, 1 and 1.0 being equal."""
    same = {
        name: float(value) if isinstance(value, int) and not isinstance(value, bool) else value
        for name, value in configuration.items()
    }
    return json.dumps(same, sort_keys=True)
