"""Wildloop's own runs beside a session's: confirmations are evidence, evaluations give values."""

from collections.abc import Sequence

from wildloop.flows.evidence.known import Known
from wildloop.flows.evidence.values import value_of
from wildloop.flows.models.own_runs import is_confirmation, is_evaluation, is_further
from wildloop.flows.models.run import Run


def with_own(
    runs: Sequence[Run], own: Sequence[Run], metric: str | None, known: Known | None = None
) -> tuple[list[Run], list[Run], dict[str, float]]:
    """The runs with the confirmations, their values those of [evaluate] where it has given one.

    Args:
        runs: of the session.
        own: those that Wildloop has made for it.
        metric: name of the primary metric.
        known: what was found of these runs before.

    Returns:
        The runs, Wildloop's own that decide nothing, and the values of [evaluate] by run id.
    """
    known, values = known or Known(), evaluations(own, metric)

    def valued(run: Run) -> Run:
        if metric is None or run.id not in values:
            return run
        value = values[run.id]
        return known.get(
            ("valued", run.id, metric, value),
            (run,),
            lambda: run.model_copy(update={"metrics": run.metrics | {metric: value}}),
        )

    every = [*runs, *(run for run in own if is_confirmation(run))]
    further = [valued(run) for run in own if is_further(run)]
    return [valued(run) for run in every], further, values


def evaluations(own: Sequence[Run], metric: str | None) -> dict[str, float]:
    """What [evaluate] has given for each run: the first value counts."""
    found: dict[str, float] = {}
    for run in own:
        value = value_of(run, metric) if metric and is_evaluation(run) else None
        if value is not None and run.parent_run_id is not None:
            found.setdefault(run.parent_run_id, value)
    return found
