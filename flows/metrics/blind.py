"""A session that measures nothing: it does not search on, and never ends as completed."""

from collections.abc import Sequence

from wildloop.flows.models.run import Run, RunStatus
from wildloop.flows.models.session_record import IterationRecord

MOST_RUNS = 3


def nothing_measured(runs: Sequence[Run]) -> str:
    """Why no run has a value of the metric, where some have finished without; else empty."""
    if any(run.is_measured for run in runs if run.status is RunStatus.FINISHED):
        return ""
    return next((run.unmeasured for run in runs if run.unmeasured), "")


def searches_blindly(runs: Sequence[Run], records: Sequence[IterationRecord]) -> str:
    """Why the session must not go on: some runs have no value, and more came when that was told."""
    reason, blind = nothing_measured(runs), [run for run in runs if run.unmeasured]
    if not reason or len(blind) < MOST_RUNS:
        return ""
    told = min(run.finished_at or 0.0 for run in blind)
    later = {id for one in records if one.started_at > told for id in one.run_ids}
    return reason if any(run.id in later for run in blind) else ""
