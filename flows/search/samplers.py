"""One candidate from the trials so far, by each sampler. Pure: same trials, same candidate."""

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import optuna
from cmaes import CMA
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import TrialState, create_trial
from scipy.stats import qmc

from wildloop.flows.models.evo import EvoSweepSpec, SamplerKind, Trial, TrialStatus
from wildloop.flows.search.evolution import EvolutionSampler
from wildloop.flows.search.space import Parameters, Space

RETRIES = 20
Accept = Callable[[Parameters], bool]


def propose(
    spec: EvoSweepSpec, seed: int, number: int, trials: Sequence[Trial], is_new: Accept
) -> Parameters | None:
    """Candidate `number`, the first that `is_new`; None if none was found in `RETRIES` draws.

    The first candidate takes `spec.defaults`; the others of generation 0 are a scrambled Sobol
    sequence (Owen 1998), which covers the space more evenly than independent draws.
    """
    found = first_generation(spec, seed, number) if number < spec.population_size else None
    if found is not None and (number == 0 or spec.sampler is not SamplerKind.RANDOM):
        return found if is_new(found) else uniform(spec, seed, number, is_new)
    match spec.sampler:
        case SamplerKind.RANDOM:
            return uniform(spec, seed, number, is_new)
        case SamplerKind.CMAES:
            return _cmaes(spec, seed, number, trials, is_new)
        case SamplerKind.TPE:
            sampler: BaseSampler = TPESampler(
                seed=_integer(seed, number),
                n_startup_trials=spec.population_size,
                multivariate=True,
                constant_liar=True,
            )
        case SamplerKind.EVO:
            sampler = EvolutionSampler(
                spec, number // spec.population_size, np.random.default_rng([seed, number])
            )
            # All that it looks at; a study of every trial would make long sweeps slow.
            trials = parents_of(spec, trials)
    return _by_optuna(spec, sampler, trials, is_new)


def first_generation(spec: EvoSweepSpec, seed: int, number: int) -> Parameters:
    """Candidate `number` of generation 0."""
    space = Space(spec.search_space)
    sobol = qmc.Sobol(len(space.dimensions), scramble=True, rng=np.random.default_rng(seed))
    with warnings.catch_warnings():
        # The balance of powers of two is not what is wanted here, an even start is.
        warnings.simplefilter("ignore", UserWarning)
        points = sobol.random(spec.population_size)
    found = space.decode([float(share) for share in points[number]])
    return found | spec.defaults if number == 0 else found


def fitness(spec: EvoSweepSpec, trials: Sequence[Trial]) -> dict[int, float]:
    """Value by number of every ended trial; a failed one counts as the worst there is.

    A pruned trial counts by what was last seen of it, but not as better than the worst finished
    one: it was stopped for being hopeless.
    """
    finished = [
        one.value for one in trials if one.status is TrialStatus.FINISHED and one.value is not None
    ]
    is_max = spec.fitness_direction == "max"
    seen = [one.value for one in trials if one.status.is_terminal and one.value is not None]
    floor = (min if is_max else max)(finished or seen or [0.0])
    worst = (min if is_max else max)(seen or [0.0])
    found = {}
    for one in trials:
        if one.status is TrialStatus.FINISHED and one.value is not None:
            found[one.number] = one.value
        elif one.status is TrialStatus.PRUNED and one.value is not None:
            found[one.number] = min(one.value, floor) if is_max else max(one.value, floor)
        elif one.status.is_terminal:
            found[one.number] = worst
    return found


def ranked(
    spec: EvoSweepSpec, trials: Sequence[Trial], status: TrialStatus = TrialStatus.FINISHED
) -> list[Trial]:
    """The trials of a status that have a value, best first; the earlier of equals first."""
    sign = -1 if spec.fitness_direction == "max" else 1
    scored = [
        (sign * one.value, one.number, one)
        for one in trials
        if one.status is status and one.value is not None
    ]
    return [one for _, _, one in sorted(scored)]


def parents_of(spec: EvoSweepSpec, trials: Sequence[Trial]) -> list[Trial]:
    """The `top_k` best finished trials, best first; while there are none, of the pruned ones."""
    found = ranked(spec, trials) or ranked(spec, trials, TrialStatus.PRUNED)
    return found[: spec.top_k]


def optuna_study(
    spec: EvoSweepSpec, trials: Sequence[Trial], sampler: BaseSampler | None = None
) -> optuna.Study:
    """An in-memory Optuna study of `trials`: ended ones complete, asked ones running."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = Space(spec.search_space)
    distributions = space.distributions
    values = fitness(spec, trials)
    study = optuna.create_study(
        direction="maximize" if spec.fitness_direction == "max" else "minimize", sampler=sampler
    )
    study.add_trials(
        create_trial(
            params=space.to_optuna(one.parameters),
            distributions=distributions,
            value=values.get(one.number),
            state=TrialState.COMPLETE if one.number in values else TrialState.RUNNING,
        )
        for one in trials
    )
    return study


def _by_optuna(
    spec: EvoSweepSpec, sampler: BaseSampler, trials: Sequence[Trial], is_new: Accept
) -> Parameters | None:
    space = Space(spec.search_space)
    distributions: dict[str, BaseDistribution] = space.distributions
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna_study(spec, trials, sampler)
        for _ in range(RETRIES):
            # A refused candidate stays in the study as running, so the liar moves away from it.
            asked = study.ask(distributions)
            found = space.of_optuna(asked.params)
            if is_new(found):
                return found
    return None


def uniform(spec: EvoSweepSpec, seed: int, number: int, is_new: Accept) -> Parameters | None:
    """A uniform draw, the first that `is_new`; None if there was none in `RETRIES` draws."""
    space = Space(spec.search_space)
    rng = np.random.default_rng([seed, number])
    for _ in range(RETRIES):
        found = space.decode([float(share) for share in rng.random(len(space.dimensions))])
        if is_new(found):
            return found
    return None


def _cmaes(
    spec: EvoSweepSpec, seed: int, number: int, trials: Sequence[Trial], is_new: Accept
) -> Parameters | None:
    """CMA-ES (Hansen 2016) in the unit cube, replayed from every generation that has ended.

    Optuna's own sampler keeps its state as a pickle in a database; here the records are enough.
    """
    space = Space(spec.search_space)
    values = fitness(spec, trials)
    sign = -1.0 if spec.fitness_direction == "max" else 1.0
    dimensions = len(space.dimensions)
    size = spec.population_size
    optimizer: CMA | None = None
    for start in range(0, number - size + 1, size):
        batch = [one for one in trials[start : start + size] if one.number in values]
        if len(batch) < size:
            break
        told = [
            (np.array(space.encode(one.parameters)), sign * values[one.number]) for one in batch
        ]
        if optimizer is None:
            mean = min(told, key=lambda pair: pair[1])[0]
            optimizer = CMA(
                mean=mean,
                sigma=max(spec.mutation_strength, 0.01),
                bounds=np.array([[0.0, 1.0]] * dimensions),
                population_size=size,
                seed=_integer(seed, number),
            )
        optimizer.tell(told)
    if optimizer is None:
        return uniform(spec, seed, number, is_new)
    for _ in range(RETRIES):
        found = space.decode([float(share) for share in optimizer.ask()])
        if is_new(found):
            return found
    return None


def _integer(seed: int, number: int) -> int:
    """A seed for samplers that take one integer of 32 bits."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
