"""Sleeping until something happens in a session, at next to no cost."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from flows.models.alert import AlertKind, AlertStatus
from flows.session import ResearchSession
from flows.spending import hours_end_at
from flows.store.alerts import AlertStore
from flows.upkeep import keep_gpu_budget

CHECK_SECONDS = 15.0
STEERED = "a steer arrived"
ALERTED = "an alert was raised"
SWEPT = "the evolutionary sweep ended"
SPENT = "the budget of %s is used up"


async def wait_for_change(session: ResearchSession, seconds: float) -> str:
    """Sleep until a run ends, an alert or a steer arrives, or `seconds` pass; say which.

    Returns at once if no run is waiting or running. The trials of a sweep wake nobody: its end
    does.
    """
    sweeping = session.sweeping
    sweep_id = sweeping.sweep_id if sweeping else None
    before = {
        run.id
        for run in await session.active_runs()
        if sweep_id is None or run.sweep_id != sweep_id
    }

    async def changed() -> str | None:
        if await session.sessions.steers(session.id):
            return STEERED
        now = {run.id for run in await session.active_runs()}
        if sweeping is not None and sweeping.is_over:
            return SWEPT
        if (not before and sweeping is None) or before - now:
            return f"{len(before - now)} of {len(before)} active runs ended"
        return ALERTED if await _alerted(session, now) else None

    return await session.control.guard(_wait(session, changed, seconds))


async def wait_for_runs(session: ResearchSession, run_ids: list[str]) -> str:
    """Sleep until all of `run_ids`, and the sweep, have ended, or an alert or a steer arrives."""
    sweeping = session.sweeping

    async def changed() -> str | None:
        if await session.sessions.steers(session.id):
            return STEERED
        active = {run.id for run in await session.active_runs()}
        if not active & set(run_ids) and (sweeping is None or sweeping.is_over):
            return SWEPT if sweeping else f"all {len(run_ids)} experiments ended"
        return ALERTED if await _alerted(session, active) else None

    return await session.control.guard(_wait(session, changed, None))


async def _alerted(session: ResearchSession, run_ids: set[str]) -> bool:
    """Whether one of these runs has an open alert that the last prompt could not tell of."""
    told = session.record.iterations[-1].started_at if session.record.iterations else 0.0
    alerts = await AlertStore(session.client, session.settings).of_runs(sorted(run_ids))
    # That a run has failed is told by its end, which may come a moment after its alert.
    return any(
        one.status is AlertStatus.OPEN and one.created_at > told and one.kind is not AlertKind.EXIT
        for one in alerts
    )


async def _wait(
    session: ResearchSession, changed: Callable[[], Awaitable[str | None]], seconds: float | None
) -> str:
    deadline = None if seconds is None else datetime.now(UTC).timestamp() + seconds
    hours_end = hours_end_at(session.spec.budget, session.record)
    while True:
        # Cleared before the look: what happens from now on ends the sleep after it.
        session.control.activity.clear()
        if (found := await changed()) is not None:
            return found
        left = min(CHECK_SECONDS, await keep_gpu_budget(session))
        if left <= 0:
            return SPENT % "GPU-hours"
        if hours_end is not None:
            left = min(left, hours_end - datetime.now(UTC).timestamp())
        if left <= 0:
            return SPENT % "hours"
        if deadline is not None:
            left = min(left, deadline - datetime.now(UTC).timestamp())
        if left <= 0:
            return f"{seconds:g} s passed"
        # The worker sees every event of the work pool; the look now and then is for lost ones.
        await session.control.something_happens(left)
