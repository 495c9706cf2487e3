"""The searches under comparison: the best value that each finds with a number of runs."""

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace

import optuna

from bench.search.problems import Problem
from wildloop.blocks.agents.baseline.config import Metric, ProjectFile, Train
from wildloop.blocks.agents.baseline.search import (
    Configuration,
    narrowed,
    near_configurations,
    random_configurations,
)
from wildloop.blocks.agents.baseline.stages import search_shares
from wildloop.flows.models.evo import EvoSweepSpec, Failure, SamplerKind
from wildloop.flows.search.space import Space
from wildloop.flows.search.study import Study

POPULATION = 4
Strategy = Callable[[Problem, int, int], float]
Tried = list[tuple[Configuration, float | None]]


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
    """The Baseline agent's search, four runs at a time: a Latin hypercube, then narrower ones."""
    broad, _, _ = search_shares(runs)
    return _best(problem, [value for _, value in _narrowing(problem, broad, runs, seed)])


def baseline_agent_evo(problem: Problem, runs: int, seed: int) -> float:
    """The same where the session takes an `evo_sweep`, which then does the last part."""
    broad, near, evolved = search_shares(runs)
    tried = _narrowing(problem, broad, broad + near, seed)
    ranked = _ranked(problem, tried)
    space = {
        name: one.values or {"low": one.low, "high": one.high, "log": one.log, "int": one.int}
        for name, one in narrowed(_project(problem), ranked).search.items()
    }
    last = _sweep(replace(problem, space=space), evolved, seed, SamplerKind.EVO, 4)
    values = [value for _, value in tried]
    return _best(problem, [*values, None if math.isnan(last) else last])


def _narrowing(problem: Problem, broad: int, runs: int, seed: int) -> Tried:
    """`broad` configurations by a Latin hypercube, and batches near the best up to `runs`."""
    project = _project(problem)
    tried = [
        (one, problem.evaluate(one)) for one in random_configurations(project, [], broad, seed)
    ]
    while len(tried) < runs:
        count, seen = min(POPULATION, runs - len(tried)), [one for one, _ in tried]
        # Another seed for each batch, and none that another search's broad part has.
        draw = seed * 1000 + len(tried)
        found = near_configurations(project, _ranked(problem, tried), seen, count, draw)
        tried += [(one, problem.evaluate(one)) for one in found]
    return tried


def _ranked(problem: Problem, tried: Tried) -> list[Configuration]:
    sign = -1 if problem.direction == "max" else 1
    known = [(sign * value, number) for number, (_, value) in enumerate(tried) if value is not None]
    return [tried[number][0] for _, number in sorted(known)]


def _project(problem: Problem) -> ProjectFile:
    return ProjectFile(
        train=Train(command="python train.py"),
        metric=Metric(name=problem.metric, direction=problem.direction),
        search={
            name: {"values": one} if isinstance(one, list) else one
            for name, one in problem.space.items()
        },
        baseline=dict.fromkeys(problem.space, 0),
    )


STRATEGIES: dict[str, Strategy] = {
    "random": random_search,
    "TPE, 1 at a time": tpe,
    "TPE, 4 at a time": tpe_parallel,
    "evo_sweep, 1 at a time": evo,
    "evo_sweep, 4 at a time": evo_parallel,
    "evo_sweep tpe, 4 at a time": evo_tpe_parallel,
    "evo_sweep cmaes, 4 at a time": evo_cmaes_parallel,
    "Baseline agent, 4 at a time": baseline_agent,
    "Baseline agent with evo_sweep": baseline_agent_evo,
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
