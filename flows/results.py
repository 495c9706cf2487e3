"""Which run is best, and which is the baseline it is measured against."""

import math
from collections.abc import Sequence

from flows.models.run import Run, RunStatus
from flows.models.session import BestResult
from flows.project import MetricConfig, ProjectConfig


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


def best_result(
    runs: Sequence[Run], project: ProjectConfig | None
) -> tuple[BestResult | None, BestResult | None]:
    """(best, baseline) by the project's primary metric; None where it is unknown."""
    return best_by(runs, project.metric if project is not None else None)


def best_by(
    runs: Sequence[Run], metric: MetricConfig | None
) -> tuple[BestResult | None, BestResult | None]:
    """(best, baseline) by a metric; None where there is none, or no finished run has it.

    The baseline is the first finished run with `baseline` in its name, else the first finished.
    """
    if metric is None:
        return None, None
    found, best = scored(runs, metric.name), best_of(runs, metric.name, metric.direction)
    if best is None:
        return None, None
    named = [pair for pair in found if "baseline" in pair[1].name.lower()]

    def result(pair: tuple[float, Run]) -> BestResult:
        value, run = pair
        return BestResult(
            run_id=run.id,
            run_name=run.name,
            metric=metric.name,
            value=value,
            direction=metric.direction,
        )

    return result(best), result((named or found)[0])
