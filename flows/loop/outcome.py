"""What came of a call's runs, on the Prefect page of the call: once all of them have ended."""

import statistics
from collections.abc import Sequence
from uuid import UUID

from prefect.logging import get_run_logger

from wildloop.flows.loop.artifact import COMMAND_LENGTH, DESCRIBED, RUNS
from wildloop.flows.loop.work import Work
from wildloop.flows.models.run import Run, RunStatus
from wildloop.flows.models.session_record import IterationRecord
from wildloop.flows.store import artifacts
from wildloop.flows.store.base import flow_run_url
from wildloop.flows.text.markdown import code, link, page, section, table
from wildloop.flows.text.shortened import shortened

ERROR_LENGTH = 200
# Taken up again, a session looks at the pages of so many calls of each researcher, and later ones.
RESUMED_CALLS = 4


async def attach_outcomes(work: Work, runs: Sequence[Run]) -> None:
    """Write what came of the runs of each call where that has not been told yet.

    A fault of it is logged, and ends nothing.

    Args:
        work: the session.
        runs: all runs of the session, as they are now.
    """
    record, by_id = work.position.record, {run.id: run for run in runs}
    logger = get_run_logger()
    metric = record.contract.metric if record.contract is not None else None
    # What had ended by then, the process before this one has told.
    looked_at = RESUMED_CALLS * max(1, len(record.desks))
    earlier = record.iterations[:-looked_at] if work.resumed else []
    since = earlier[-1].started_at if earlier else 0.0
    for call in record.iterations:
        mine = [by_id[id] for id in call.run_ids if id in by_id]
        if call.flow_run_id is None or call.flow_run_id in work.told or not is_due(mine, since):
            continue
        work.told.add(call.flow_run_id)
        try:
            await artifacts.attach(
                work.client,
                UUID(call.flow_run_id),
                text=outcome_text(call, mine, metric),
                description=outcome_title(call, mine, metric),
                again=work.resumed,
            )
        except Exception:
            logger.exception("%s: what came of it was not written", call.label)


def is_due(runs: Sequence[Run], since: float) -> bool:
    """Whether all of a call's runs have ended, the last one after `since` (Unix seconds)."""
    if not runs or any(not run.status.is_terminal for run in runs):
        return False
    return max(run.finished_at or since for run in runs) >= since


def outcome_title(call: IterationRecord, runs: Sequence[Run], metric: str | None) -> str:
    """What a list of artifacts says: how many have finished, and what they have measured."""
    finished = sum(run.status is RunStatus.FINISHED for run in runs)
    said = f"{call.label}: {finished} of {len(runs)} runs finished"
    values = [run.metrics[metric] for run in runs if metric is not None and metric in run.metrics]
    if not values:
        return said
    told = f"{statistics.fmean(values):.5g}"
    if len(values) > 1:
        told = f"{min(values):.5g} to {max(values):.5g}, mean {told}"
    return f"{said}: {metric} {told}"[:DESCRIBED]


def outcome_text(call: IterationRecord, runs: Sequence[Run], metric: str | None) -> str:
    """The artifact's text."""
    used = sum(_seconds(run) for run in runs)
    rows = [
        [
            link(run.name, flow_run_url(run.id)),
            run.status.value,
            _value(run, metric),
            f"{_seconds(run):.1f} s",
            code((run.git_commit or "")[:12]),
            code(shortened(run.command, COMMAND_LENGTH)),
            shortened(" ".join((run.error or "").split()), ERROR_LENGTH),
        ]
        for run in runs[:RUNS]
    ]
    header = ["run", "outcome", metric or "metric", "time", "commit", "command", "error"]
    if not any(row[-1] for row in rows):
        header, rows = header[:-1], [row[:-1] for row in rows]
    more = f"... and {len(runs) - RUNS} more runs" if len(runs) > RUNS else ""
    return page(
        f"**{outcome_title(call, runs, metric)}**; {used:.1f} s of runs in all",
        section("What came of its runs", table(header, rows), more),
    )


def _value(run: Run, metric: str | None) -> str:
    if metric is not None and metric in run.metrics:
        return f"{run.metrics[metric]:.6g}"
    return "not measured"


def _seconds(run: Run) -> float:
    return max(0.0, (run.finished_at or 0.0) - run.started_at) if run.started_at else 0.0
