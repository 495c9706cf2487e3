"""Which search finds the better configuration with the same number of runs.

`python -m bench.search [--runs 12 24] [--seeds 10] [--jobs 2] [--json FILE]`: real training on
scikit-learn's data; every strategy gets the same seeds and the same number of runs.
"""

import argparse
import json
import os
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from bench.search.problems import PROBLEMS, Problem, remembered
from bench.search.strategies import STRATEGIES
from bench.search.table import Scores, totals, versus

Key = tuple[int, str, int, int]


def main() -> None:
    """Search, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, nargs="+", default=[12, 24], help="multiples of 4")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, help="also write every best value here")
    args = parser.parse_args()
    if any(runs < 8 or runs % 4 for runs in args.runs):
        parser.error("--runs must be multiples of 4, from 8 on")
    started = time.monotonic()
    jobs = [(problem, seed) for seed in range(args.seeds) for problem in range(len(PROBLEMS))]
    found: dict[Key, float] = {}
    with ProcessPoolExecutor(args.jobs, initializer=_one_core) as pool:
        for values in pool.map(_search, jobs, repeat(args.runs)):
            found |= values
    for runs in args.runs:
        tables = {
            number: {
                name: np.array([found[number, name, runs, seed] for seed in range(args.seeds)])
                for name in STRATEGIES
            }
            for number in range(len(PROBLEMS))
        }
        _print(runs, args.seeds, tables)
    if args.json:
        rows = [[*key, value] for key, value in found.items()]
        args.json.write_text(json.dumps(rows), encoding="utf-8")
    print(f"\n{len(found)} searches in {time.monotonic() - started:.0f} s")


def _one_core() -> None:
    """One core a training: several run side by side."""
    threadpool_limits(1)


def _search(job: tuple[int, int], budgets: list[int]) -> dict[Key, float]:
    """Every search of one problem with one seed, for each number of runs."""
    number, seed = job
    problem = remembered(PROBLEMS[number])
    with warnings.catch_warnings():
        # A support vector machine that does not converge is a bad configuration, not news.
        warnings.simplefilter("ignore")
        return {
            (number, name, runs, seed): search(problem, runs, seed)
            for name, search in STRATEGIES.items()
            for runs in budgets
        }


def _print(runs: int, seeds: int, tables: dict[int, Scores]) -> None:
    print(f"\n### {runs} runs, {seeds} seeds: median of the best [quartiles]\n")
    shown: list[Problem] = [PROBLEMS[number] for number in tables]
    print("| search | " + " | ".join(f"{one.name}: {one.metric}" for one in shown) + " |")
    print("| --- |" + " ---: |" * len(shown))
    for name in STRATEGIES:
        cells = []
        for scores in tables.values():
            low, middle, high = np.nanpercentile(scores[name], [25, 50, 75])
            cells.append(f"{middle:.4g} [{low:.4g}, {high:.4g}]")
        print(f"| {name} | " + " | ".join(cells) + " |")
    for rival in ("random", "TPE, 1 at a time", "TPE, 4 at a time"):
        print(f"\nAgainst {rival}: won/lost (even left out), Wilcoxon p, two-sided\n")
        print("| search | " + " | ".join(one.name for one in shown) + " | all |")
        print("| --- |" + " ---: |" * (len(shown) + 1))
        for name in STRATEGIES:
            if name == rival:
                continue
            pairs = [
                versus(scores[name], scores[rival], PROBLEMS[number].direction)
                for number, scores in tables.items()
            ]
            cells = [str(pair) for pair in [*pairs, totals(tables, PROBLEMS, name, rival)]]
            print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
