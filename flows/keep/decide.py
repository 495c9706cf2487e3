"""The decision: pure, from what is known before and what the iteration's runs have shown."""

from collections.abc import Sequence
from dataclasses import dataclass

from flows.keep.compare import compare, merged_spread, pooled_spread
from flows.keep.evidence import merged
from flows.models.keep import Comparison, Direction, Evidence, KeepStatus, Spread

NOT_MEASURED = "not measured: the iteration made no run, so its change stays as it is"
NAMES_SHOWN = 5
MANY_SEEDS = 3


@dataclass(frozen=True)
class Decision:
    """What is to become of a change, and what is the best from now on."""

    status: KeepStatus
    why: str
    best: Evidence | None
    spread: Spread | None
    candidate: Evidence | None = None
    against: Evidence | None = None
    comparison: Comparison | None = None
    warnings: tuple[str, ...] = ()


def decide(
    groups: Sequence[Evidence],
    best: Evidence | None,
    direction: Direction,
    *,
    code_changed: bool,
    alpha: float = 0.05,
    spread: Spread | None = None,
) -> Decision:
    """Keep a change if one of its configurations is shown to be better than the best before.

    - No runs: it is not measured, and stays.
    - No configuration with a value for each seed that was tried: crash.
    - No best before: the first configuration (by name a baseline, else the first made) is it;
      others of the same iteration are compared with it.
    - The best's configuration again, on unchanged code: more seeds of the best.
    - Else `compare`, with p adjusted for the number of configurations; of several that are better
      the one with the highest mean is the best from now on. What is not established is not kept.

    Args:
        groups: the iteration's configurations.
        best: the best before; None if nothing was measured yet.
        direction: whether larger or smaller values are better.
        code_changed: whether the code differs from that of `best`.
        alpha: probability of taking noise for a gain, for each iteration.
        spread: the standard deviation between seeds, as known before.
    """
    spread = merged_spread(spread, pooled_spread([group.values for group in groups]))
    if not groups:
        return Decision(KeepStatus.KEEP, NOT_MEASURED, best, spread)
    whole = [group for group in groups if group.n and not group.failed_seeds]
    warnings = tuple(_incomplete(group) for group in groups if group.n and group.failed_seeds)
    if not whole:
        why = "no configuration has a value for each seed that was tried"
        return Decision(KeepStatus.CRASH, why, best, spread, groups[0], best, None, warnings)
    again = _again(whole, best) if not code_changed else None
    others = [group for group in whole if group is not again]
    if best is None:
        first = next((one for one in whole if _is_baseline(one)), whole[0])
        others = [group for group in whole if group is not first]
        return _first(first, others, direction, alpha, spread, warnings)
    if again is not None:
        best = merged(best, again)
        if not others:
            why = f"more seeds of the best: {describe(best)}"
            return Decision(KeepStatus.KEEP, why, best, spread, again, best, None, warnings)
    return _against(others, best, direction, alpha, spread, warnings)


def _first(
    first: Evidence,
    others: Sequence[Evidence],
    direction: Direction,
    alpha: float,
    spread: Spread | None,
    warnings: tuple[str, ...],
) -> Decision:
    """The first measurement sets the best; what came with it is compared with it."""
    why = f"the first measurement, which others are compared with: {describe(first)}"
    if others:
        found = _against(others, first, direction, alpha, spread, warnings)
        if found.status is KeepStatus.KEEP:
            return found
        why += f"; of the others: {found.why}"
    few = (few_seeds(first),) if first.n < MANY_SEEDS else ()
    return Decision(KeepStatus.KEEP, why, first, spread, first, None, None, (*warnings, *few))


def _against(
    groups: Sequence[Evidence],
    best: Evidence,
    direction: Direction,
    alpha: float,
    spread: Spread | None,
    warnings: tuple[str, ...],
) -> Decision:
    found = [
        (
            compare(
                group.values, best.values, direction, alpha=alpha, tried=len(groups), spread=spread
            ),
            group,
        )
        for group in groups
    ]
    better = [pair for pair in found if pair[0].established]
    if better:
        comparison, winner = max(better, key=lambda pair: pair[0].gain)
    else:
        comparison, winner = min(
            found, key=lambda pair: (1.0 if pair[0].p is None else pair[0].p, -pair[0].gain)
        )
    status = KeepStatus.KEEP if better else KeepStatus.DISCARD
    more = list(warnings)
    if not better and comparison.gain > 0 and min(winner.n, best.n) < MANY_SEEDS:
        more.append(few_seeds(winner if winner.n <= best.n else best))
    if bool(winner.busy) != bool(best.busy):
        busy = "; ".join((winner.busy or best.busy)[:NAMES_SHOWN])
        more.append(f"runs that shared their machine are compared with runs that did not ({busy})")
    return Decision(
        status,
        comparison.why,
        winner if better else best,
        spread,
        winner,
        best,
        comparison,
        tuple(more),
    )


def _again(groups: Sequence[Evidence], best: Evidence | None) -> Evidence | None:
    if best is None:
        return None
    return next((one for one in groups if one.configuration == best.configuration), None)


def _is_baseline(group: Evidence) -> bool:
    return any("baseline" in name.lower() for name in group.names)


def _incomplete(group: Evidence) -> str:
    return (
        f"left out: {group.configuration} has no value for seed {', '.join(group.failed_seeds)}: "
        "a configuration counts when each of its seeds has one"
    )


def few_seeds(group: Evidence) -> str:
    """What to do about a configuration that was run on one or two seeds."""
    return (
        f"only {group.n} seed{'s' if group.n > 1 else ''} of {group.configuration}: run it with "
        f"{MANY_SEEDS} or more different seeds, and record each as `seed`"
    )


def describe(one: Evidence) -> str:
    """`0.912 ± 0.004 over 3 seeds`"""
    if not one.n:
        return "no value"
    sd = sample_sd(one.values)
    pm = "" if sd is None else f" ± {sd:.2g}"
    return f"{one.mean:.5g}{pm} over {one.n} seed{'s' if one.n > 1 else ''}"


def sample_sd(values: Sequence[float]) -> float | None:
    """Standard deviation of a sample (n - 1); None below two values."""
    found = pooled_spread([values])
    return None if found is None else found.sd
