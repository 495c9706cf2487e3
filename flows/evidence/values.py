"""The value of a run: the last of its metric, where it has finished with a finite one."""

import math
from collections.abc import Sequence

from wildloop.flows.models.run import Run, RunStatus


def value_of(run: Run, metric: str) -> float | None:
    """The last value of `metric`; None unless the run has finished with a finite one."""
    value = run.metrics.get(metric)
    if run.status is not RunStatus.FINISHED or value is None or not math.isfinite(value):
        return None
    return value


def scored(runs: Sequence[Run], metric: str) -> list[tuple[float, Run]]:
    """The finished runs that have `metric`, with its last value, in order of creation."""
    found = []
    for run in sorted(runs, key=lambda run: run.created_at):
        value = value_of(run, metric)
        if value is not None:
            found.append((value, run))
    return found


def best_of(runs: Sequence[Run], metric: str, direction: str) -> tuple[float, Run] | None:
    """The finished run with the best last value of `metric`; of equal ones the first created."""
    found = scored(runs, metric)
    if not found:
        return None
    pick = max if direction == "max" else min
    return pick(found, key=lambda pair: pair[0])
