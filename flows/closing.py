"""The end of a session at a limit: its runs are settled, the agent reflects a last time."""

from datetime import UTC, datetime

from prefect.logging import get_run_logger

from flows.keep.settle import settle
from flows.models.run import Run
from flows.models.session_record import Phase
from flows.models.spending import Closing
from flows.reflection import reflect
from flows.session import ResearchSession
from flows.spending import OVERDRAFT, Limit, is_overdrawn, spending
from flows.store.sessions import stop_runs
from flows.sweeping import end_sweep

# Running runs may end for so long; after a budget of time, at most a tenth of it.
RUN_GRACE_SECONDS = 600.0
STOP_SECONDS = 30.0
CHECK_SECONDS = 2.0
# The last reflection after a budget of hours; else it has the time of any other call.
REFLECTION_SECONDS = 600.0
TIMED = ("hours", "gpu_hours")


async def close_session(session: ResearchSession, limit: Limit | None) -> str:
    """Bring the session to its end; return why it ends.

    Queued runs are stopped. Running ones may end, for ten minutes; after a budget of hours or
    GPU-hours for at most a tenth of it, and then they are stopped, too. The agent's last call is
    a reflection, unless it has just made one.

    Args:
        session: the session.
        limit: what has been reached; None where the session was at its end before a restart.
    """
    closing = session.record.closing
    if closing is None:
        assert limit is not None
        closing = Closing(name=limit.name, reason=limit.text, at=_now())
        session.record.closing = closing
        get_run_logger().warning("the session comes to its end: %s", closing.reason)
        await session.save()
    await end_sweep(session, closing.reason)
    await stop_runs(session.runs, session.id, running=False)
    await _settle_runs(session, closing)
    await settle(session)
    if session.record.iterations[-1].kind != "reflection":
        if closing.reflect_by is None:
            longest = session.spec.iteration_timeout_seconds
            if closing.name == "hours":
                longest = min(longest, REFLECTION_SECONDS)
            closing.reflect_by = _now() + longest
            await session.save()
        await reflect(session, closing.reason)
    return closing.reason


async def _settle_runs(session: ResearchSession, closing: Closing) -> None:
    """Let running runs end, as long as they may; stop them then if it is time that has run out."""
    left = await _wait_for_ends(session, closing, closing.at + grace_seconds(session, closing))
    if left and closing.name in TIMED:
        await stop_runs(session.runs, session.id, running=True)
        get_run_logger().warning("stopped %d runs that still ran", len(left))
        left = await _wait_for_ends(session, None, _now() + STOP_SECONDS)
    if left:
        names = ", ".join(run.name for run in left[:10])
        get_run_logger().warning("%d runs go on after the session: %s", len(left), names)
    session.record.note = ""


def grace_seconds(session: ResearchSession, closing: Closing) -> float:
    """How long running runs may go on after the session has reached its limit."""
    if closing.name == "hours" and session.spec.budget.hours is not None:
        return min(RUN_GRACE_SECONDS, OVERDRAFT * session.spec.budget.hours * 3600)
    return RUN_GRACE_SECONDS


async def _wait_for_ends(
    session: ResearchSession, closing: Closing | None, until: float
) -> list[Run]:
    """Wait until no run is active, at most `until`; return those that still are."""
    while True:
        # Cleared before the look: what happens from now on ends the sleep after it.
        session.control.activity.clear()
        active, left = await session.active_runs(), until - _now()
        active = [run for run in active if run.status.is_active]
        if not active or left <= 0:
            return active
        if closing is not None and closing.name == "gpu_hours":
            used = spending(session.record, await session.all_runs())
            if is_overdrawn(session.spec.budget, used):
                return active
        if closing is not None:
            await _tell(session, f"coming to its end ({closing.reason}): {len(active)} runs go on")
        await session.control.guard(session.control.something_happens(min(left, CHECK_SECONDS)))


async def _tell(session: ResearchSession, note: str) -> None:
    if session.record.note != note:
        session.record.note, session.record.phase = note, Phase.WAITING
        await session.save()


def _now() -> float:
    return datetime.now(UTC).timestamp()
