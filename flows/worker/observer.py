"""Watches flow-run events, so that the worker is told of new work rather than asking for it."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

from prefect.events.clients import get_events_subscriber
from prefect.events.filters import (
    EventAnyResourceFilter,
    EventFilter,
    EventNameFilter,
)
from prefect.events.schemas.events import Event
from prefect.logging import get_logger

from wildloop.flows.events import ALERT_ANSWERED, ALERT_RAISED
from wildloop.flows.store.alerts import ALERTS_RESOURCE, alerted_session
from wildloop.flows.store.cluster import CLUSTER_EVENT, CLUSTER_RESOURCE
from wildloop.flows.store.sessions import SESSIONS_RESOURCE, STEER_EVENT

FLOW_RUN = "prefect.flow-run."
STEERED = "steered"
RECONNECT_SECONDS = 1.0
STATE_EVENTS = [
    FLOW_RUN + name
    for name in (
        "Scheduled",
        "Resuming",
        "AwaitingRetry",
        "Completed",
        "Failed",
        "Crashed",
        "Cancelled",
        "Cancelling",
        "Paused",
        "Suspended",
    )
]

Handler = Callable[[UUID, str, str | None], Awaitable[None]]


async def observe_flow_runs(
    pool_id: UUID,
    handle: Handler,
    connected: Callable[[], None] = lambda: None,
    cluster_changed: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Call `handle(flow_run_id, state_name, queue)` for every state event of a pool's flow runs.

    Runs until cancelled. A lost connection is opened again; events of the last minute are then
    replayed by the server, so `handle` must bear repetition. `connected` is called at each
    (re)connection: what happened before it must be read from the API. `cluster_changed` is called
    when a user has set or detected the compute over HTTP.
    """
    logger = get_logger("wildloop.observer")
    wanted = EventFilter(
        event=EventNameFilter(
            name=[*STATE_EVENTS, STEER_EVENT, ALERT_RAISED, ALERT_ANSWERED, CLUSTER_EVENT]
        ),
        any_resource=EventAnyResourceFilter(
            id=[
                f"prefect.work-pool.{pool_id}",
                SESSIONS_RESOURCE,
                ALERTS_RESOURCE,
                CLUSTER_RESOURCE,
            ]
        ),
    )
    lost = False
    while True:
        try:
            async with get_events_subscriber(filter=wanted) as subscriber:
                if lost:
                    logger.warning("event stream opened again")
                lost = False
                connected()
                async for event in subscriber:
                    if event.event == CLUSTER_EVENT and cluster_changed is not None:
                        await cluster_changed()
                    found = flow_run_event(event)
                    if found is not None:
                        await handle(*found, queue_of(event))
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - any fault of the socket: say so, reconnect
            if not lost:
                logger.warning("event stream lost (%r): opening it again", error)
            lost = True
        await asyncio.sleep(RECONNECT_SECONDS)


def flow_run_event(event: Event) -> tuple[UUID, str] | None:
    """The flow run and state name of an event; None if it is of something else."""
    resource = event.resource.id
    if event.event == STEER_EVENT:
        return UUID(event.resource["wildloop.session.id"]), STEERED
    if (alerted := alerted_session(event)) is not None:
        return alerted, STEERED
    if not resource.startswith(FLOW_RUN):
        return None
    try:
        return UUID(resource.removeprefix(FLOW_RUN)), event.event.removeprefix(FLOW_RUN)
    except ValueError:
        return None


def queue_of(event: Event) -> str | None:
    """The name of the work queue that an event's flow run is in; None if it does not say."""
    named = (one.name for one in event.related if one.role == "work-queue")
    return next(named, None)
