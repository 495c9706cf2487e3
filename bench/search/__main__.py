"""Which search finds the better configuration with the same number of runs.

`python -m bench.search [--runs 12 24] [--seeds 10] [--jobs 2] [--only NAME...] [--keep FILE]`: real
training on scikit-learn's data; every search gets the same seeds and the same number of runs.
"""

import argparse
import json
import os
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from bench.search.problems import PROBLEMS, Problem, remembered
from bench.search.strategies import STRATEGIES
from bench.search.table import Scores, totals, versus

Key = tuple[int, str, int, int]
RIVALS = ("random", "TPE, 1 at a time", "TPE, 4 at a time")


def main() -> None:
    """Search, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, nargs="+", default=[12, 24], help="multiples of 4")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", nargs="+", choices=STRATEGIES, default=list(STRATEGIES))
    parser.add_argument(
        "--keep", type=Path, help="keep every result here, a line each: what is there is not redone"
    )
    args = parser.parse_args()
    if any(runs < 8 or runs % 4 for runs in args.runs):
        parser.error("--runs must be multiples of 4, from 8 on")
    started = time.monotonic()
    found = _kept(args.keep)
    jobs = [
        (problem, seed, names)
        for seed in range(args.seeds)
        for problem in range(len(PROBLEMS))
        if (names := [name for name in args.only if _lacks(found, problem, name, seed, args.runs)])
    ]
    with ProcessPoolExecutor(args.jobs, initializer=_one_core) as pool:
        tasks = [pool.submit(_search, *job, args.runs) for job in jobs]
        for task in as_completed(tasks):
            found |= task.result()
            if args.keep:
                with args.keep.open("a", encoding="utf-8") as file:
                    rows = [[*key, value] for key, value in task.result().items()]
                    file.writelines(json.dumps(row) + "\n" for row in rows)
    for runs in args.runs:
        tables = {
            number: {
                name: np.array([found[number, name, runs, seed] for seed in range(args.seeds)])
                for name in args.only
            }
            for number in range(len(PROBLEMS))
        }
        _print(runs, args.seeds, tables)
    print(f"\n{len(jobs)} problems and seeds searched in {time.monotonic() - started:.0f} s")


def _kept(path: Path | None) -> dict[Key, float]:
    """The results of earlier calls."""
    if path is None or not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {(number, name, runs, seed): value for number, name, runs, seed, value in rows}


def _lacks(
    found: dict[Key, float], problem: int, name: str, seed: int, budgets: Sequence[int]
) -> bool:
    return any((problem, name, runs, seed) not in found for runs in budgets)


def _one_core() -> None:
    """One core a training: several run side by side."""
    threadpool_limits(1)


def _search(
    number: int, seed: int, names: Sequence[str], budgets: Sequence[int]
) -> dict[Key, float]:
    """These searches of one problem with one seed, for each number of runs."""
    problem = remembered(PROBLEMS[number])
    with warnings.catch_warnings():
        # A support vector machine that does not converge is a bad configuration, not news.
        warnings.simplefilter("ignore")
        return {
            (number, name, runs, seed): STRATEGIES[name](problem, runs, seed)
            for name in names
            for runs in budgets
        }


def _print(runs: int, seeds: int, tables: dict[int, Scores]) -> None:
    print(f"\n### {runs} runs, {seeds} seeds: median of the best [quartiles]\n")
    shown: list[Problem] = [PROBLEMS[number] for number in tables]
    print("| search | " + " | ".join(f"{one.name}: {one.metric}" for one in shown) + " |")
    print("| --- |" + " ---: |" * len(shown))
    for name in next(iter(tables.values())):
        cells = []
        for scores in tables.values():
            low, middle, high = np.nanpercentile(scores[name], [25, 50, 75])
            cells.append(f"{middle:.4g} [{low:.4g}, {high:.4g}]")
        print(f"| {name} | " + " | ".join(cells) + " |")
    for rival in RIVALS:
        if rival not in next(iter(tables.values())):
            continue
        print(f"\nAgainst {rival}: won/lost (even left out), Wilcoxon p, two-sided\n")
        print("| search | " + " | ".join(one.name for one in shown) + " | all |")
        print("| --- |" + " ---: |" * (len(shown) + 1))
        for name in next(iter(tables.values())):
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
