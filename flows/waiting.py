"""Sleeping until something happens in a session, at next to no cost."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from prefect.events.clients import PrefectEventSubscriber, get_events_subscriber
from prefect.events.filters import EventAnyResourceFilter, EventFilter

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
    wanted = EventFilter(
        any_resource=EventAnyResourceFilter(
            id=[f"prefect.tag.session:{session.id}", f"wildloop.session.{session.id}"]
        )
    )
    # Subscribed before the first look, so that nothing falls between look and sleep.
    async with get_events_subscriber(filter=wanted) as subscriber:
        while True:
            if (found := await changed()) is not None:
                return found
            left = None if deadline is None else deadline - datetime.now(UTC).timestamp()
            if left is not None and left <= 0:
                return f"{seconds:g} s passed"
            await _next_event(subscriber, min(CHECK_SECONDS, left or CHECK_SECONDS))


async def _next_event(subscriber: PrefectEventSubscriber, seconds: float) -> None:
    """Wait for an event that may matter; a lost stream is bridged by looking now and then."""
    try:
        async with asyncio.timeout(seconds):
            async for event in subscriber:
                name = event.event.rsplit(".", 1)[-1]
                if name in ("Completed", "Failed", "Crashed", "Cancelled", "steered"):
                    return
            await asyncio.sleep(seconds)
    except TimeoutError:
        return
