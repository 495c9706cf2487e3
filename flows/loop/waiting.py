"""Sleeping until something happens in a session, at next to no cost."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from wildloop.flows.loop.work import Work
from wildloop.flows.models.alert import AlertKind, AlertStatus
from wildloop.flows.models.run import Run, RunStatus
from wildloop.flows.models.wake import Wake
from wildloop.flows.prompt.state import duration
from wildloop.flows.prompt.untold import untold
from wildloop.flows.spending import hours_end_at
from wildloop.flows.store.gpu_budget import keep_gpu_budget
from wildloop.flows.store.run_filter import RunFilter
from wildloop.flows.struggle.failures import causes, failure_logs

CHECK_SECONDS = 15.0
STEERED = "the user has steered"
ALERTED = "an alert was raised"
SWEPT = "the evolutionary sweep has ended"
ALL_ENDED = "all runs of this batch have ended"
SPENT = "the budget of %s is used up"
NO_NEWS = "nothing has ended for %s"


async def wait_for_news(work: Work, wake: Wake | None) -> str:
    """Sleep until there is news for a waiting agent; say what it is.

    News is: its batch has ended (see `Batch`); one of its runs has ended, where `wake` says so;
    one has failed; a steer; an alert; the end of the sweep, whose trials wake nobody; or a long
    time without any, each one after the other twice as long. Returns at once where there is
    nothing to wait for.
    """
    record, spec = work.position.record, work.position.spec
    batch = await _batch(work, wake or spec.wake)
    longest = spec.wait_at_most_seconds * 2.0**record.long_waits

    async def changed() -> str | None:
        steers, active = await _steers_and_active(work)
        if steers:
            return STEERED
        sweeping = work.sweeping
        if sweeping is not None and sweeping.is_over:
            return SWEPT
        if not batch.ids & active and (batch.ids or sweeping is None):
            return ALL_ENDED
        if batch.ids - active > batch.seen:
            batch.seen = batch.ids - active
            runs = await work.stores.runs.all(chat_session_id=work.position.id)
            ended = [run for run in runs if run.id in batch.seen and run.status.is_terminal]
            if (told := batch.news(ended)) is not None:
                return told
        return ALERTED if await _alerted(work, active) else None

    found = await work.control.guard(_wait(work, changed, longest))
    record.long_waits = record.long_waits + 1 if found.startswith(NO_NEWS % "") else 0
    return found


@dataclass
class Batch:
    """The runs that a waiting agent is called for: those of its iteration that it has not heard of.

    Args:
        ids: of them; where there are none, of all runs under way in the session.
        wake: what it is called for before all have ended.
        told: the failed runs of this iteration that it has heard of.
        seen: the ended ones that were looked at.
    """

    ids: set[str]
    wake: Wake
    told: Sequence[Run] = ()
    seen: set[str] = field(default_factory=set)

    def news(self, ended: Sequence[Run]) -> str | None:
        """What these ended runs of the batch are reason to call the agent for."""
        if ended and self.wake == "first":
            return f"{len(ended)} of the {len(self.ids)} runs of this batch have ended"
        failed = [run for run in ended if run.status is RunStatus.FAILED]
        if self.wake == "all":
            failed = self._of_new_causes(failed)
        if not failed:
            return None
        return f"{failed[0].name} has failed ({len(ended)} of {len(self.ids)} have ended)"

    def _of_new_causes(self, failed: Sequence[Run]) -> list[Run]:
        known, every = {run.id for run in self.told}, [*self.told, *failed]
        found = causes(every, failure_logs(every) if failed else {})
        fresh = [cause for cause in found if not any(run.id in known for run in cause.runs)]
        return [run for cause in fresh for run in cause.runs]


async def _batch(work: Work, wake: Wake) -> Batch:
    record, sweeping = work.position.record, work.sweeping
    trials = sweeping.sweep_id if sweeping else None
    runs = await work.stores.runs.all(chat_session_id=work.position.id)
    calls = [it for it in record.iterations if it.kind == "iteration"]
    mine = {id for it in calls if it.index == record.last_index for id in it.run_ids}
    fresh = {run.id for run in untold(record.iterations, runs)}
    own = [run for run in runs if run.id in mine and (trials is None or run.sweep_id != trials)]
    ids = {run.id for run in own if run.id in fresh or not run.status.is_terminal}
    told = [run for run in own if run.status is RunStatus.FAILED and run.id not in ids]
    if not ids:
        active = await _active(work)
        ids = {run.id for run in active if trials is None or run.sweep_id != trials}
    return Batch(ids, wake, told)


async def wait_for_runs(work: Work, run_ids: list[str]) -> str:
    """Sleep until all of `run_ids`, and the sweep, have ended, or an alert or a steer arrives."""
    sweeping = work.sweeping

    async def changed() -> str | None:
        steers, active = await _steers_and_active(work)
        if steers:
            return STEERED
        if not active & set(run_ids) and (sweeping is None or sweeping.is_over):
            return SWEPT if sweeping else ALL_ENDED
        return ALERTED if await _alerted(work, active) else None

    return await work.control.guard(_wait(work, changed, None))


async def _active(work: Work) -> list[Run]:
    """The agent's runs that wait or run; `ready` ones wait for the agent, not we."""
    active = await work.stores.runs.active(RunFilter(chat_session_id=work.position.id))
    return [run for run in active if work.position.owns(run)]


async def _steers_and_active(work: Work) -> tuple[bool, set[str]]:
    """Whether the user has steered, and the ids of the runs that wait or run."""
    steers, active = await asyncio.gather(
        work.stores.sessions.said.steers(work.position.id), _active(work)
    )
    return bool(steers), {run.id for run in active}


async def _alerted(work: Work, run_ids: set[str]) -> bool:
    """Whether one of these runs has an open alert that the last prompt could not tell of."""
    iterations = work.position.record.iterations
    told = iterations[-1].started_at if iterations else 0.0
    alerts = await work.stores.alerts.of_runs(sorted(run_ids))
    # That a run has failed is told by its end, which may come a moment after its alert.
    return any(
        one.status is AlertStatus.OPEN and one.created_at > told and one.kind is not AlertKind.EXIT
        for one in alerts
    )


async def _wait(
    work: Work, changed: Callable[[], Awaitable[str | None]], seconds: float | None
) -> str:
    deadline = None if seconds is None else datetime.now(UTC).timestamp() + seconds
    budget, record = work.position.spec.budget, work.position.record
    hours_end = hours_end_at(budget, record)
    while True:
        # Cleared before the look: what happens from now on ends the sleep after it.
        work.control.activity.clear()
        if (found := await changed()) is not None:
            return found
        look = min(CHECK_SECONDS, work.position.spec.wait_seconds)
        left = min(look, await keep_gpu_budget(budget, record, work.stores.runs))
        if left <= 0:
            return SPENT % "GPU-hours"
        if hours_end is not None:
            left = min(left, hours_end - datetime.now(UTC).timestamp())
        if left <= 0:
            return SPENT % "hours"
        if deadline is not None:
            left = min(left, deadline - datetime.now(UTC).timestamp())
        if left <= 0:
            return NO_NEWS % duration(seconds or 0.0)
        # The worker sees every event of the work pool; the look now and then is for lost ones.
        await work.control.something_happens(left)
