"""What the samplers of `<evo_sweep>` find: `python -m bench.search.samplers [--seeds 4]`.

Each trial is a run on one seed, the first one the baseline; the best value seen is judged by its
true value. Ranks are among the samplers alone.
"""

import argparse
from collections.abc import Sequence
from typing import Any

from threadpoolctl import threadpool_limits

from bench.search.__main__ import FAMILIES
from bench.search.problems import Problem
from bench.search.table import Cell, overall
from wildloop.flows.models.evo import EvoSweepSpec, SamplerKind, Trial, TrialStatus
from wildloop.flows.search.samplers import propose, ranked
from wildloop.flows.search.space import key_of_parameters

POPULATIONS = {12: 4, 24: 6, 48: 8}
"""Trials of a generation, by the trials in all."""


def main() -> None:
    """Search, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--family", choices=FAMILIES, default="designed")
    args = parser.parse_args()
    threadpool_limits(1)
    cells = [
        cell
        for name, made in FAMILIES[args.family].items()
        for seed in range(args.seeds)
        for cell in _cells(name, seed, made(seed))
    ]
    for runs in POPULATIONS:
        print(f"\n## {runs} trials, {args.seeds} seeds\n\n{overall(cells, runs, SamplerKind.EVO)}")


def _cells(name: str, seed: int, problem: Problem) -> list[Cell]:
    base, typical = problem.truth(problem.baseline), problem.typical()
    return [
        Cell(name, seed, kind.value, runs, problem.truth(found), base, typical, runs)
        for runs in POPULATIONS
        for kind in SamplerKind
        for found in [searched(problem, kind, runs, seed)]
    ]


def searched(problem: Problem, kind: SamplerKind, runs: int, seed: int) -> dict[str, Any]:
    """The parameters of the best value that a sweep of so many trials has seen."""
    spec, trials = _spec(problem, kind, runs), list[Trial]()
    for number in range(runs):
        found = propose(spec, seed, number, trials, lambda one: _is_new(one, trials))
        if found is None:
            break
        value = problem.measure(found, 0)
        status = TrialStatus.FAILED if value is None else TrialStatus.FINISHED
        trials.append(
            Trial(
                number=number,
                generation=number // spec.population_size,
                parameters=found,
                status=status,
                value=value,
            )
        )
    best = ranked(spec, trials)
    return dict(best[0].parameters) if best else problem.baseline


def _is_new(parameters: dict[str, Any], trials: Sequence[Trial]) -> bool:
    key = key_of_parameters(parameters)
    return key not in {key_of_parameters(one.parameters) for one in trials}


def _spec(problem: Problem, kind: SamplerKind, runs: int) -> EvoSweepSpec:
    space = {
        name: one["values"] if "values" in one else {k: v for k, v in one.items() if k != "when"}
        for name, one in problem.space.items()
    }
    return EvoSweepSpec.model_validate(
        {
            "target_script": "python train.py",
            "fitness_metric": "score",
            "fitness_direction": "max",
            "search_space": space,
            "population_size": POPULATIONS[runs],
            "generations": runs // POPULATIONS[runs],
            "sampler": kind,
            "defaults": problem.baseline,
        }
    )


if __name__ == "__main__":
    main()
