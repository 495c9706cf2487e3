"""Of equal configurations the simplest is the best: what is simpler, and how it is said."""

import statistics
from collections.abc import Sequence

from wildloop.flows.evidence.configuration import Configuration
from wildloop.flows.evidence.estimate import are_equal


def in_order(
    equal: Sequence[Configuration], base: Configuration | None
) -> tuple[list[Configuration], str]:
    """Configurations that are as good as each other, the simplest first.

    That is the one with the fewest changes from the baseline, then with the fewest lines of code,
    then with the shortest runs, then the first.

    Returns:
        Them, and why the second is not the first.
    """
    are_counted = all(one.code_lines is not None for one in equal)

    def key(one: Configuration) -> tuple[int, int, float]:
        changes = one.changes_from(base) if base is not None else 0
        return changes, (one.code_lines or 0) if are_counted else 0, seconds_of(one) or 0.0

    found = sorted(equal, key=key)
    if len(found) < 2:
        return found, ""
    first, second = key(found[0]), key(found[1])
    if first[0] != second[0]:
        return found, "with more changes from the baseline"
    if first[1] != second[1]:
        return found, f"with {second[1] - first[1]} more lines of code"
    if not are_equal([first[2], second[2]]):
        return found, f"by slower runs ({second[2]:.3g} s against {first[2]:.3g} s)"
    return found, "tried later"


def tie_text(order: Sequence[Configuration], why: str) -> str:
    """What is as good as the first of these, and why it is not the best; empty for none."""
    if len(order) < 2:
        return ""
    more = f" and {len(order) - 2} more" if len(order) > 2 else ""
    return f"; as good, {why}: {order[1].name}{more}"


def seconds_of(one: Configuration) -> float | None:
    """Mean time of its measured runs."""
    times = [
        run.finished_at - run.started_at
        for run in one.measured
        if run.finished_at is not None and run.started_at is not None
    ]
    return statistics.fmean(times) if times else None
