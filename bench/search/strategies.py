"""The searches under comparison: the best value that each finds with a number of runs."""

import math
from collections import deque
from collections.abc import Callable, Iterator

import optuna

from bench.search.problems import Problem
from blocks.agents.baseline.config import Metric, ProjectFile, Train
from blocks.agents.baseline.search import random_configurations, tpe_configurations
from flows.models.evo import EvoSweepSpec, Failure, SamplerKind
from flows.search.space import Space
from flows.search.study import Study

POPULATION = 4
Strategy = Callable[[Problem, int, int], float]


def random_search(problem: Problem, runs: int, seed: int) -> float:
    """Independent uniform draws."""
    return _sweep(problem, runs, seed, SamplerKind.RANDOM, 1)


def tpe(problem: Problem, runs: int, seed: int) -> float:
    """Optuna's TPE as it comes, one run at a time."""
    return _tpe(problem, runs, optuna.samplers.TPESampler(seed=seed), parallel=1)


def tpe_parallel(problem: Problem, runs: int, seed: int) -> float:
    """Optuna's TPE, four runs at a time, told apart by the constant liar."""
    return _tpe(problem, runs, optuna.samplers.TPESampler(seed=seed, constant_liar=True), 4)


def evo(problem: Problem, runs: int, seed: int) -> float:
    """`evo_sweep` with its defaults, one run at a time."""
    return _sweep(problem, runs, seed, SamplerKind.EVO, 1)


def evo_parallel(problem: Problem, runs: int, seed: int) -> float:
    """`evo_sweep` with its defaults, four runs at a time."""
    return _sweep(problem, runs, seed, SamplerKind.EVO, 4)


def evo_tpe_parallel(problem: Problem, runs: int, seed: int) -> float:
    """`evo_sweep` with `sampler: tpe`, four runs at a time."""
    return _sweep(problem, runs, seed, SamplerKind.TPE, 4)


def evo_cmaes_parallel(problem: Problem, runs: int, seed: int) -> float:
    """`evo_sweep` with `sampler: cmaes`, four runs at a time."""
    return _sweep(problem, runs, seed, SamplerKind.CMAES, 4)


def baseline_agent(problem: Problem, runs: int, seed: int) -> float:
    """The Baseline agent's search: 40 % by Latin hypercube, then TPE in two batches."""
    project = ProjectFile(
        train=Train(command="python train.py"),
        metric=Metric(name=problem.metric, direction=problem.direction),
        search={
            name: {"values": one} if isinstance(one, list) else one
            for name, one in problem.space.items()
        },
        baseline=dict.fromkeys(problem.space, 0),
    )
    broad = max(2, runs * 4 // 10)
    first = (runs - broad + 1) // 2
    tried = [(one, problem.evaluate(one)) for one in random_configurations(project, broad, seed)]
    for stage, count in enumerate((first, runs - broad - first), start=1):
        asked = tpe_configurations(project, tried, count, seed * 2 + stage)
        tried += [(one, problem.evaluate(one)) for one in asked]
    return _best(problem, [value for _, value in tried])


STRATEGIES: dict[str, Strategy] = {
    "random": random_search,
    "TPE, 1 at a time": tpe,
    "TPE, 4 at a time": tpe_parallel,
    "evo_sweep, 1 at a time": evo,
    "evo_sweep, 4 at a time": evo_parallel,
    "evo_sweep tpe, 4 at a time": evo_tpe_parallel,
    "evo_sweep cmaes, 4 at a time": evo_cmaes_parallel,
    "Baseline agent": baseline_agent,
}


def _sweep(problem: Problem, runs: int, seed: int, sampler: SamplerKind, parallel: int) -> float:
    spec = EvoSweepSpec.model_validate(
        {
            "target_script": "train.py",
            "fitness_metric": problem.metric,
            "fitness_direction": problem.direction,
            "search_space": problem.space,
            "population_size": POPULATION,
            "generations": runs // POPULATION,
            "sampler": sampler,
        }
    )
    study = Study(spec, seed)
    running: deque[tuple[int, float | None]] = deque()
    while not study.done:
        asked = study.ask(parallel - len(running))
        running.extend((one.number, problem.evaluate(one.parameters)) for one in asked)
        # All take equally long, so the oldest ends first.
        number, value = running.popleft()
        study.tell(number, Failure(reason="diverged") if value is None else value)
    return _best(problem, [one.value for one in study.trials])


def _tpe(problem: Problem, runs: int, sampler: optuna.samplers.BaseSampler, parallel: int) -> float:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    spec = EvoSweepSpec.model_validate(
        {"target_script": "t.py", "fitness_metric": "m", "search_space": problem.space}
    )
    space = Space(spec.search_space)
    study = optuna.create_study(
        direction="maximize" if problem.direction == "max" else "minimize", sampler=sampler
    )
    values: list[float | None] = []
    running: deque[tuple[optuna.Trial, float | None]] = deque()
    for asked in _counted(study, space, runs):
        running.append((asked, problem.evaluate(space.of_optuna(asked.params))))
        if len(running) == parallel:
            values.append(_tell(study, *running.popleft()))
    values += [_tell(study, *one) for one in running]
    return _best(problem, values)


def _counted(study: optuna.Study, space: Space, runs: int) -> Iterator[optuna.Trial]:
    for _ in range(runs):
        yield study.ask(space.distributions)


def _tell(study: optuna.Study, trial: optuna.Trial, value: float | None) -> float | None:
    if value is None:
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
    else:
        study.tell(trial, value)
    return value


def _best(problem: Problem, values: list[float | None]) -> float:
    found = [value for value in values if value is not None]
    if not found:
        return math.nan
    return max(found) if problem.direction == "max" else min(found)
