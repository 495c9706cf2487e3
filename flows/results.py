"""Which run is best, and which is the baseline it is measured against."""

from collections.abc import Sequence

from flows.models.run import Run, RunStatus
from flows.models.session import BestResult
from flows.project import ProjectConfig


def scored(runs: Sequence[Run], metric: str) -> list[tuple[float, Run]]:
    """The finished runs that have `metric`, with its last value, in order of creation."""
    return [
        (run.metrics[metric], run)
        for run in sorted(runs, key=lambda run: run.created_at)
        if run.status is RunStatus.FINISHED and metric in run.metrics
    ]


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
    """(best, baseline) by the project's primary metric; None where it is unknown.

    The baseline is the first finished run with `baseline` in its name, else the first finished.
    """
    if project is None or project.metric is None:
        return None, None
    metric, direction = project.metric.name, project.metric.direction
    found, best = scored(runs, metric), best_of(runs, metric, direction)
    if best is None:
        return None, None
    named = [pair for pair in found if "baseline" in pair[1].name.lower()]

    def result(pair: tuple[float, Run]) -> BestResult:
        value, run = pair
        return BestResult(
            run_id=run.id, run_name=run.name, metric=metric, value=value, direction=direction
        )

    return result(best), result((named or found)[0])
