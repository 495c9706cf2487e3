"""Sleeping until something happens in a session, at next to no cost."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from flows.session import ResearchSession

CHECK_SECONDS = 15.0
STEERED = "a steer arrived"


async def wait_for_change(session: ResearchSession, seconds: float) -> str:
    """Sleep until a run of the session ends, a steer arrives, or `seconds` pass; say which.

    Returns at once if no run is waiting or running.
    """
    before = {run.id for run in await session.active_runs()}

    async def changed() -> str | None:
        if await session.sessions.steers(session.id):
            return STEERED
        now = {run.id for run in await session.active_runs()}
        if not before or before - now:
            return f"{len(before - now)} of {len(before)} active runs ended"
        return None

    return await session.control.guard(_wait(session, changed, seconds))


async def wait_for_runs(session: ResearchSession, run_ids: list[str]) -> str:
    """Sleep until all of `run_ids` have ended or a steer arrives; say which."""

    async def changed() -> str | None:
        if await session.sessions.steers(session.id):
            return STEERED
        active = {run.id for run in await session.active_runs()}
        return None if active & set(run_ids) else f"all {len(run_ids)} experiments ended"

    return await session.control.guard(_wait(session, changed, None))


async def _wait(
    session: ResearchSession, changed: Callable[[], Awaitable[str | None]], seconds: float | None
) -> str:
    deadline = None if seconds is None else datetime.now(UTC).timestamp() + seconds
    while True:
        # Cleared before the look: what happens from now on ends the sleep after it.
        session.control.activity.clear()
        if (found := await changed()) is not None:
            return found
        left = CHECK_SECONDS
        if deadline is not None:
            left = min(left, deadline - datetime.now(UTC).timestamp())
        if left <= 0:
            return f"{seconds:g} s passed"
        # The worker sees every event of the work pool; the look now and then is for lost ones.
        await session.control.something_happens(left)
