"""What a session has spent, and the limits that end it. Functions of values, without effects."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

from wildloop.flows.models.run import Run
from wildloop.flows.models.session_options import Budget, SessionSpec
from wildloop.flows.models.session_record import IterationRecord, SessionRecord, SessionSummary
from wildloop.flows.models.spending import Closing, Spending

# How far the runs that run at the end of a budget of time may go beyond it.
OVERDRAFT = 0.1


# Running runs may end for so long; after a budget of hours, at most a tenth of it.
RUN_GRACE_SECONDS = 600.0


class Limit(BaseModel):
    """A bound that has been reached."""

    model_config = ConfigDict(frozen=True)

    name: str
    used: float
    bound: float

    @property
    def text(self) -> str:
        """The reason as a person reads it."""
        if self.name == "max_iterations":
            return f"max_iterations: {self.bound:g} iterations are used up"
        return f"budget: {self.name} {self.used:.3g} of {self.bound:g} is used up"


def spending(
    record: SessionRecord | SessionSummary,
    runs: Sequence[Run],
    now: float | None = None,
    under_way: IterationRecord | None = None,
) -> Spending:
    """What a session has used so far.

    Args:
        record: the session's position.
        runs: all its runs; those that are under way count up to `now`.
        now: Unix seconds (default: the present).
        under_way: a call that has ended and is not in the record yet.
    """
    now = datetime.now(UTC).timestamp() if now is None else now
    totals = record.totals if under_way is None else record.totals.plus(under_way)
    so_far = record.call
    cost = (totals.cost_usd or 0.0) + record.asked_usd
    return Spending(
        hours=elapsed_seconds(record, now) / 3600,
        # Of a call that is under way, what its earlier attempts have cost.
        cost_usd=cost + ((so_far.cost_usd or 0.0) if so_far and under_way is None else 0.0),
        cost_is_estimate=totals.cost_is_estimate,
        gpu_hours=sum(
            run.gpus_requested
            * (run.earlier_seconds + max(0.0, (run.finished_at or now) - (run.started_at or now)))
            for run in runs
            if run.started_at is not None or run.earlier_seconds
        )
        / 3600,
        core_hours=core_hours(runs, now),
        runs=len(runs),
    )


def core_hours(runs: Sequence[Run], now: float) -> float:
    """CPU time of the runs that held no GPU; of what was not measured, its run time on one core."""
    return (
        sum(
            run.cpu_seconds
            if run.cpu_seconds is not None
            else max(0.0, (run.finished_at or now) - run.started_at)
            for run in runs
            if run.started_at is not None and not run.gpus
        )
        / 3600
    )


def elapsed_seconds(record: SessionRecord | SessionSummary, now: float) -> float:
    """Wall-clock time of a session without its pauses."""
    started = _started_at(record)
    if started is None:
        return 0.0
    paused = now - record.paused_at if record.paused_at is not None else 0.0
    return max(0.0, now - started - record.paused_seconds - paused)


def hours_end_at(budget: Budget, record: SessionRecord) -> float | None:
    """When the budget of hours ends, in Unix seconds; None without one."""
    started = _started_at(record)
    if budget.hours is None or started is None:
        return None
    return started + record.paused_seconds + budget.hours * 3600


def _started_at(record: SessionRecord | SessionSummary) -> float | None:
    return record.started_at if record.started_at is not None else record.totals.began_at


def spent_bound(budget: Budget, used: Spending) -> Limit | None:
    """The first of hours, cost and GPU-hours that is used up: from then on no run may start."""
    bounds = {
        "hours": (budget.hours, used.hours),
        "cost_usd": (budget.cost_usd, used.cost_usd),
        "gpu_hours": (budget.gpu_hours, used.gpu_hours),
    }
    for name, (bound, value) in bounds.items():
        if bound is not None and value >= bound:
            return Limit(name=name, used=value, bound=bound)
    return None


def refusal(budget: Budget, used: Spending, new_runs: int) -> Limit | None:
    """What forbids to start a run, or to create `new_runs`; None if nothing does."""
    if (limit := spent_bound(budget, used)) is not None:
        return limit
    if budget.runs is not None and used.runs + new_runs > budget.runs:
        return Limit(name="runs", used=used.runs, bound=budget.runs)
    return None


def reached_limit(
    spec: SessionSpec, record: SessionRecord, runs: Sequence[Run], used: Spending
) -> Limit | None:
    """Why no further iteration may begin; None if one may.

    A budget of runs ends the session once all of them have ended and the agent has been called
    with their results.
    """
    if (limit := spent_bound(spec.budget, used)) is not None:
        return limit
    if record.goes_on(spec.max_calls_per_iteration):
        return None
    if record.last_index >= spec.max_iterations:
        return Limit(
            name="max_iterations", used=record.last_index, bound=float(spec.max_iterations)
        )
    if spec.budget.runs is None or used.runs < spec.budget.runs:
        return None
    told = max((it.started_at for it in record.iterations if it.kind == "iteration"), default=0.0)
    if all(run.status.is_terminal and (run.finished_at or 0.0) <= told for run in runs):
        return Limit(name="runs", used=used.runs, bound=spec.budget.runs)
    return None


def grace_seconds(budget: Budget, closing: Closing) -> float:
    """How long running runs may go on after the session has reached its limit."""
    if closing.name == "hours" and budget.hours is not None:
        return min(RUN_GRACE_SECONDS, OVERDRAFT * budget.hours * 3600)
    return RUN_GRACE_SECONDS


def gpu_seconds_left(bound: float, used: Spending, runs: Sequence[Run]) -> float:
    """Seconds until `bound` GPU-hours are used up by the runs that run now; 0: they are."""
    left = (bound - used.gpu_hours) * 3600
    rate = sum(run.gpus_requested for run in runs if run.started_at and not run.finished_at)
    if left <= 0:
        return 0.0
    return left / rate if rate else math.inf


def is_overdrawn(budget: Budget, used: Spending) -> bool:
    """Whether the runs that still run have used up their overdraft of GPU-hours, too."""
    return budget.gpu_hours is not None and used.gpu_hours >= budget.gpu_hours * (1 + OVERDRAFT)
