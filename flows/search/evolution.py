"""The evolutionary sampler: parents, crossover and mutation in the unit cube."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from wildloop.flows.models.evo import Choice, EvoSweepSpec
from wildloop.flows.search.space import Space

COOLING = 0.25
"""Share of the mutation strength that is left in the last generation."""


class EvolutionSampler(BaseSampler):  # type: ignore[misc, unused-ignore]
    """Children of the best trials so far, for one generation.

    Two parents are drawn from the `top_k` best, each dimension comes from one of the two, then a
    range moves by a Gaussian step of `mutation_strength` (relative to the range, on the log axis
    where there is one; reflected at the bounds), and a choice is drawn anew with that probability.
    The strength cools over the generations, so that the last ones refine.

    Optuna's own NSGA-II has neither: it keeps a whole population and mutates by a uniform redraw.
    """

    def __init__(self, spec: EvoSweepSpec, generation: int, rng: np.random.Generator) -> None:
        self._space = Space(spec.search_space)
        self._top_k = spec.top_k
        self._strength = spec.mutation_strength * cooling(generation, spec.generations)
        self._rng = rng
        self._fallback = RandomSampler(seed=int(rng.integers(2**31)))

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The whole space: every dimension is inherited together."""
        return self._space.distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """One child; nothing where there is no parent, which leaves it to `sample_independent`."""
        sign = -1 if study.direction is StudyDirection.MAXIMIZE else 1
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        ranked = sorted(complete, key=lambda one: (sign * (one.value or 0.0), one.number))
        parents = [
            self._space.encode(self._space.of_optuna(one.params)) for one in ranked[: self._top_k]
        ]
        if not parents:
            return {}
        child = breed(self._space, parents, self._strength, self._rng)
        return self._space.to_optuna(self._space.decode(child))

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A uniform draw, while nothing has finished."""
        return self._fallback.sample_independent(study, trial, param_name, param_distribution)


def cooling(generation: int, generations: int) -> float:
    """Factor on the mutation strength: 1 for the first children, `COOLING` for the last."""
    if generations <= 2:
        return 1.0
    return float(COOLING ** (max(0, generation - 1) / (generations - 2)))


def breed(
    space: Space, parents: Sequence[Sequence[float]], strength: float, rng: np.random.Generator
) -> list[float]:
    """A child's point: uniform crossover of two parents, then mutation."""
    pair = rng.choice(len(parents), size=2, replace=len(parents) < 2)
    child = []
    for index, dimension in enumerate(space.dimensions.values()):
        share = parents[pair[rng.integers(2)]][index]
        if isinstance(dimension, Choice):
            child.append(float(rng.random()) if rng.random() < strength else share)
        else:
            child.append(reflect(share + float(rng.normal(0, strength))))
    return child


def reflect(share: float) -> float:
    """Fold a coordinate back into [0, 1], as a ball bounces off both walls."""
    folded = share % 2.0
    return 2.0 - folded if folded > 1.0 else folded
