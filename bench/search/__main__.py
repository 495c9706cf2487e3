"""What the recommendation of each search is truly worth, all runs counted.

`python -m bench.search [--runs 12 24 48 96] [--seeds 16] [--jobs 2] [--only NAME...]
[--family designed|others] [--problems NAME...] [--keep FILE]`
"""

import argparse
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from threadpoolctl import threadpool_limits

from bench.search import rivals
from bench.search.drawn import drawn
from bench.search.others import OTHERS
from bench.search.problems import PROBLEMS
from bench.search.session import recommended
from bench.search.table import Cell, by_problem, overall

OURS = "Baseline agent"
CONFIRMED = ", confirmed"
NAMES = [
    OURS,
    *(name + ending for name in rivals.SAMPLERS for ending in ("", CONFIRMED)),
]
BUDGETS = [12, 24, 48, 96]
FAMILIES = {"designed": {**PROBLEMS, "drawn": drawn}, "others": OTHERS}
"""Problems that the agent was designed on, and others that it was not."""
ALL = FAMILIES["designed"] | FAMILIES["others"]
Job = tuple[str, int]


def main() -> None:
    """Search, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, nargs="+", default=BUDGETS, help="8 or more each")
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--family", choices=FAMILIES, default="designed")
    parser.add_argument("--problems", nargs="+", choices=ALL, help="instead of a whole family")
    parser.add_argument(
        "--keep", type=Path, help="keep every result here, a line each: what is there is not redone"
    )
    args = parser.parse_args()
    args.problems = args.problems or list(FAMILIES[args.family])
    if min(args.runs) < 8:
        parser.error("--runs must be 8 or more")
    names = args.only
    if "GP" in names and not rivals.HAS_TORCH:
        print("GP is a plain one, by the agent's process: Optuna's needs torch.\n")
    started = time.monotonic()
    cells = _kept(args.keep)
    there = {(cell.problem, cell.seed, cell.strategy, cell.runs) for cell in cells}
    wanted = {
        (problem, seed): [
            (name, runs)
            for name in names
            for runs in args.runs
            if (problem, seed, name, runs) not in there
        ]
        for seed in range(args.seeds)
        for problem in args.problems
    }
    with ProcessPoolExecutor(args.jobs, initializer=_one_core) as pool:
        tasks = [pool.submit(_search, *job, todo) for job, todo in wanted.items() if todo]
        for task in as_completed(tasks):
            cells += task.result()
            if args.keep:
                with args.keep.open("a", encoding="utf-8") as file:
                    file.writelines(json.dumps(cell) + "\n" for cell in task.result())
    shown = [
        cell
        for cell in cells
        if cell.strategy in names and cell.seed < args.seeds and cell.problem in args.problems
    ]
    for runs in args.runs:
        print(f"\n## {runs} runs, {args.seeds} seeds\n\n{overall(shown, runs, OURS)}")
        print(f"\nBy problem: mean rank (mean regret)\n\n{by_problem(shown, runs, OURS)}")
    print(f"\n{len(tasks)} problems and seeds searched in {time.monotonic() - started:.0f} s")


def _kept(path: Path | None) -> list[Cell]:
    """The results of earlier calls."""
    if path is None or not path.exists():
        return []
    return [Cell(*json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def _one_core() -> None:
    """One core a search: several run side by side."""
    threadpool_limits(1)


def _search(name: str, seed: int, todo: Sequence[tuple[str, int]]) -> list[Cell]:
    """These strategies with these budgets on one problem."""
    problem = ALL[name](seed)
    base, typical = problem.truth(problem.baseline), problem.typical()
    known: dict[str, float] = {}
    most: dict[str, int] = {}
    for strategy, runs in todo:
        sampler = strategy.removesuffix(CONFIRMED)
        most[sampler] = max(most.get(sampler, 0), runs)
    tried = {one: rivals.search(problem, one, n, seed) for one, n in most.items() if one != OURS}
    found = []
    for strategy, runs in todo:
        used = runs
        if strategy == OURS:
            values, used = recommended(problem, runs, seed)
        elif strategy.endswith(CONFIRMED):
            sampler = strategy.removesuffix(CONFIRMED)
            values = rivals.best_confirmed(problem, tried[sampler], runs)
        else:
            values = rivals.best_seen(tried[strategy][:runs])
        key = repr(sorted(values.items()))
        if key not in known:
            known[key] = problem.truth(values)
        found.append(Cell(name, seed, strategy, runs, known[key], base, typical, used))
    return found


if __name__ == "__main__":
    main()
