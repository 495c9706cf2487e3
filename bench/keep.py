"""How often noise is kept, and a true gain found: `python -m bench.keep`.

Values of seeds are drawn from normal distributions of equal spread; effects are in standard
deviations. A percentile bootstrap of the difference of means stands beside the test that is used.
"""

import argparse

import numpy as np

from flows.keep.compare import compare
from flows.models.keep import Spread

ALPHA = 0.05
RESAMPLES = 999
SIZES = ((1, 1), (1, 3), (1, 5), (3, 3), (5, 5), (3, 10), (10, 10))
EFFECTS = (0.0, 1.0, 2.0, 3.0)


def rates(
    new: int, old: int, effect: float, draws: int, chance: np.random.Generator
) -> tuple[float, float]:
    """(share kept by the test, share kept by the bootstrap)."""
    kept = resampled = 0
    spread = Spread(sd=1.0, df=10) if new == old == 1 else None
    for _ in range(draws):
        ours, theirs = chance.normal(effect, size=new), chance.normal(size=old)
        kept += compare(list(ours), list(theirs), "max", alpha=ALPHA, spread=spread).established
        means = [
            side[chance.integers(len(side), size=(RESAMPLES, len(side)))].mean(axis=1)
            for side in (ours, theirs)
        ]
        resampled += bool(np.quantile(means[0] - means[1], ALPHA) > 0)
    return kept / draws, resampled / draws


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


if __name__ == "__main__":
    main()
