"""How often noise is kept, and a true gain found: `python -m bench.keep`.

Values of seeds are drawn from normal distributions of equal spread; effects are in standard
deviations. A percentile bootstrap of the difference of means stands beside the test that is used.
Then the same with confirmation: what the agent's seeds bear out gets fresh seeds by Wildloop, and
so does the best, once; these alone decide.
"""

import argparse
from dataclasses import dataclass

import numpy as np

from wildloop.flows.evidence.compare import compare
from wildloop.flows.evidence.confirm import SEEDS, is_promising
from wildloop.flows.evidence.estimate import estimate_of
from wildloop.flows.keep.decide import limit_of
from wildloop.flows.models.evidence import Estimate

ALPHA = 0.05
RESAMPLES = 999
SIZES = ((2, 3), (3, 3), (3, 5), (5, 5), (3, 10), (10, 10))
ITERATIONS, BASELINE_SEEDS = 20, 5
EFFECTS = (0.0, 1.0, 2.0, 3.0)
IDEA_SEEDS = 3


def over(values: np.ndarray) -> Estimate:
    """The estimate of values of fresh seeds."""
    return estimate_of({str(number): float(value) for number, value in enumerate(values)})


def rates(
    new: int, old: int, effect: float, draws: int, chance: np.random.Generator
) -> tuple[float, float]:
    """(share kept by the test, share kept by the bootstrap)."""
    kept = resampled = 0
    for _ in range(draws):
        ours, theirs = chance.normal(effect, size=new), chance.normal(size=old)
        kept += compare(over(ours), over(theirs), "max", alpha=ALPHA).established
        means = [
            side[chance.integers(len(side), size=(RESAMPLES, len(side)))].mean(axis=1)
            for side in (ours, theirs)
        ]
        resampled += bool(np.quantile(means[0] - means[1], ALPHA) > 0)
    return kept / draws, resampled / draws


def session_rate(seeds: int, sessions: int, chance: np.random.Generator) -> float:
    """Share of sessions of 20 changes without effect that keep any of them."""
    kept = 0
    for _ in range(sessions):
        best = over(chance.normal(size=BASELINE_SEEDS))
        near: list[Estimate] = []
        for tests in range(ITERATIONS):
            tried, limit = over(chance.normal(size=seeds)), limit_of(tests, ALPHA)
            if compare(tried, best, "max", neighbours=near[-12:], limit=limit).established:
                kept += 1
                break
            near.append(tried)
    return kept / sessions


@dataclass
class Session:
    """What a session of 20 changes, one of which may help, came to."""

    false: int = 0
    real: bool = False
    more_runs: int = 0


def session(effect: float, confirms: bool, chance: np.random.Generator) -> Session:
    """Twenty changes on three seeds each, the best on five; one of them has the effect."""
    real, found, near = int(chance.integers(ITERATIONS)), Session(), list[Estimate]()
    level, tests, reference = 0.0, 0, None
    best = over(chance.normal(size=BASELINE_SEEDS))
    for idea in range(ITERATIONS):
        mean = level + (effect if idea == real else 0.0)
        tried, limit = over(chance.normal(mean, size=IDEA_SEEDS)), limit_of(tests, ALPHA)
        seen = compare(tried, best, "max", neighbours=near[-12:], limit=limit)
        near.append(tried)
        if confirms:
            if not is_promising(seen):
                continue
            if reference is None:
                reference = over(chance.normal(level, size=SEEDS))
                found.more_runs += SEEDS
            tried = over(chance.normal(mean, size=SEEDS))
            found.more_runs += SEEDS
            seen = compare(tried, reference, "max", neighbours=near[-12:], limit=limit)
        tests += 1
        if not seen.established:
            continue
        found.real |= mean > level
        found.false += mean == level
        best, reference, tests, level = tried, tried if confirms else None, 0, mean
    return found


def confirmation_rows(sessions: int, chance: np.random.Generator) -> list[str]:
    """What confirmation changes, by the effect of the one change that helps."""
    rows = []
    for effect in EFFECTS:
        for confirms in (False, True):
            played = [session(effect, confirms, chance) for _ in range(sessions)]
            noise = sum(one.false for one in played) / (sessions * (ITERATIONS - (effect > 0)))
            false = np.mean([one.false > 0 for one in played])
            real = f"{np.mean([one.real for one in played]):.0%}" if effect else "-"
            more = np.mean([one.more_runs for one in played])
            rows.append(
                f"| {effect:g} sd | {'yes' if confirms else 'no'} | {noise:.2%} | {false:.1%} | "
                f"{real} | {more:.0f} |"
            )
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=2000)
    draws = parser.parse_args().draws
    chance = np.random.default_rng(1)
    print(
        "| seeds of the change, of the best | " + " | ".join(f"{e:g} sd" for e in EFFECTS), end=""
    )
    print(" | noise kept by a bootstrap |\n" + "| --- " * (len(EFFECTS) + 2) + "|")
    for new, old in SIZES:
        found = [rates(new, old, effect, draws, chance) for effect in EFFECTS]
        cells = [f"{100 * test:.1f} %" for test, _ in found] + [f"{100 * found[0][1]:.0f} %"]
        print(f"| {new}, {old} | " + " | ".join(cells) + " |")
    for seeds in (2, 3, 5):
        share = session_rate(seeds, draws // 10, chance)
        print(
            f"sessions of {ITERATIONS} changes without effect, {seeds} seeds: {share:.1%} keep any"
        )
    made = BASELINE_SEEDS + ITERATIONS * IDEA_SEEDS
    print(
        f"\nSessions of {ITERATIONS} changes, one of which helps; {made} runs by the agent\n\n"
        "| the one gain | confirmed | changes without effect kept | sessions that keep any | gains "
        "found | more runs |\n" + "| --- " * 6 + "|"
    )
    print("\n".join(confirmation_rows(draws // 4, chance)))


if __name__ == "__main__":
    main()
