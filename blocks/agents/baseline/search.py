"""Which configurations to try: Optuna's samplers, asked and told."""

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

import optuna

from blocks.agents.baseline.config import Dimension, ProjectFile

Configuration = dict[str, Any]


def distributions(
    space: Mapping[str, Dimension],
) -> dict[str, optuna.distributions.BaseDistribution]:
    """The search space in Optuna's terms."""
    found: dict[str, optuna.distributions.BaseDistribution] = {}
    for name, dimension in space.items():
        if dimension.values:
            found[name] = optuna.distributions.CategoricalDistribution(dimension.values)
        elif dimension.int:
            found[name] = optuna.distributions.IntDistribution(
                int(dimension.low or 0), int(dimension.high or 0), log=dimension.log
            )
        else:
            found[name] = optuna.distributions.FloatDistribution(
                dimension.low or 0.0, dimension.high or 0.0, log=dimension.log
            )
    return found


def random_configurations(project: ProjectFile, count: int, seed: int) -> list[Configuration]:
    """Random configurations, each range cut into `count` strata (Latin hypercube).

    McKay, Beckman, Conover 1979: one draw from each stratum of every dimension covers the space
    better than independent draws.
    """
    rng = random.Random(seed)
    columns = {}
    for name, dimension in project.search.items():
        strata = [(i + rng.random()) / count for i in range(count)]
        rng.shuffle(strata)
        columns[name] = [place(dimension, share) for share in strata]
    return [rounded({name: columns[name][i] for name in columns}) for i in range(count)]


def place(dimension: Dimension, share: float) -> Any:
    """The value at `share` (0 to 1) of a dimension."""
    if dimension.values:
        return dimension.values[min(len(dimension.values) - 1, int(share * len(dimension.values)))]
    low, high = dimension.low or 0.0, dimension.high or 0.0
    value = low * (high / low) ** share if dimension.log else low + (high - low) * share
    return round(value) if dimension.int else value


def tpe_configurations(
    project: ProjectFile,
    tried: Sequence[tuple[Configuration, float | None]],
    count: int,
    seed: int,
) -> list[Configuration]:
    """Configurations by TPE (Bergstra et al. 2011), told of everything tried.

    A failed configuration (None) is told as failed, so that it is neither a result nor asked again
    at once; those asked together are told apart by the constant liar.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = distributions(project.search)
    study = optuna.create_study(
        direction="maximize" if project.metric.direction == "max" else "minimize",
        sampler=optuna.samplers.TPESampler(
            seed=seed, n_startup_trials=3, multivariate=True, constant_liar=True
        ),
    )
    for configuration, value in tried:
        if set(configuration) != set(space):
            continue
        state = optuna.trial.TrialState.FAIL if value is None else optuna.trial.TrialState.COMPLETE
        study.add_trial(
            optuna.trial.create_trial(
                params=configuration, distributions=space, value=value, state=state
            )
        )
    return [rounded(study.ask(space).params) for _ in range(count)]


def rounded(configuration: Configuration) -> Configuration:
    """Values with four significant digits: what is shown is what is run."""
    return {
        name: float(f"{value:.4g}") if isinstance(value, float) else value
        for name, value in configuration.items()
    }


def key_of(configuration: Mapping[str, Any]) -> str:
    """A text that is equal for equal configurations."""
    return json.dumps(configuration, sort_keys=True)
