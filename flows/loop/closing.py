"""The end of a session at a limit: its runs are settled, the agent reflects a last time."""

from datetime import UTC, datetime

from prefect.logging import get_run_logger

from wildloop.flows.loop.reflection import reflect
from wildloop.flows.loop.settle import settle
from wildloop.flows.loop.sweeping import end_sweep
from wildloop.flows.loop.work import Work
from wildloop.flows.models.run import Run
from wildloop.flows.models.session_record import Phase
from wildloop.flows.models.spending import Closing
from wildloop.flows.session.position import Position
from wildloop.flows.spending import Limit, grace_seconds, is_overdrawn, spending
from wildloop.flows.store.run_filter import RunFilter
from wildloop.flows.store.sessions import stop_runs

STOP_SECONDS = 30.0
CHECK_SECONDS = 2.0
# The last reflection after a budget of hours; else it has the time of any other call.
REFLECTION_SECONDS = 600.0
TIMED = ("hours", "gpu_hours")


async def close_session(work: Work, limit: Limit | None) -> str:
    """Bring the session to its end; return why it ends.

    Queued runs are stopped. Running ones may end, for ten minutes; after a budget of hours or
    GPU-hours for at most a tenth of it, and then they are stopped, too. The agent's last call is
    a reflection, unless it has just made one.

    Args:
        work: the session.
        limit: what has been reached; None where the session was at its end before a restart.
    """
    position = work.position
    closing = position.record.closing
    if closing is None:
        assert limit is not None
        closing = Closing(name=limit.name, reason=limit.text, at=_now())
        position.record.closing = closing
        get_run_logger().warning("the session comes to its end: %s", closing.reason)
        await position.save()
    await end_sweep(work, closing.reason)
    await stop_runs(work.stores.runs, position.id, running=False)
    await _settle_runs(work, closing)
    await settle(work)
    if position.record.iterations[-1].kind != "reflection":
        if closing.reflect_by is None:
            longest = position.spec.iteration_timeout_seconds
            if closing.name == "hours":
                longest = min(longest, REFLECTION_SECONDS)
            closing.reflect_by = _now() + longest
            await position.save()
        await reflect(work, closing.reason)
    return closing.reason


async def _settle_runs(work: Work, closing: Closing) -> None:
    """Let running runs end, as long as they may; stop them then if it is time that has run out."""
    until = closing.at + grace_seconds(work.position.spec.budget, closing)
    left = await _wait_for_ends(work, closing, until)
    if left and closing.name in TIMED:
        await stop_runs(work.stores.runs, work.position.id, running=True)
        get_run_logger().warning("stopped %d runs that still ran", len(left))
        left = await _wait_for_ends(work, None, _now() + STOP_SECONDS)
    if left:
        names = ", ".join(run.name for run in left[:10])
        get_run_logger().warning("%d runs go on after the session: %s", len(left), names)
    work.position.record.note = ""


async def _wait_for_ends(work: Work, closing: Closing | None, until: float) -> list[Run]:
    """Wait until no run is active, at most `until`; return those that still are."""
    position, runs, control = work.position, work.stores.runs, work.control
    while True:
        # Cleared before the look: what happens from now on ends the sleep after it.
        control.activity.clear()
        active = await runs.active(RunFilter(chat_session_id=position.id))
        left = until - _now()
        active = [run for run in active if run.status.is_active]
        if not active or left <= 0:
            return active
        if closing is not None and closing.name == "gpu_hours":
            used = spending(position.record, await runs.all(chat_session_id=position.id))
            if is_overdrawn(position.spec.budget, used):
                return active
        if closing is not None:
            await _tell(position, f"coming to its end ({closing.reason}): {len(active)} runs go on")
        await control.guard(control.something_happens(min(left, CHECK_SECONDS)))


async def _tell(position: Position, note: str) -> None:
    if position.record.note != note:
        position.record.note, position.record.phase = note, Phase.WAITING
        await position.save()


def _now() -> float:
    return datetime.now(UTC).timestamp()
