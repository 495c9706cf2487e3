"""What Prefect's event stream tells the live picture: which flow runs have changed, never how."""

import asyncio
import logging
from uuid import UUID

from prefect.events import emit_event
from prefect.events.clients import get_events_subscriber
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.events.schemas.events import Event

from wildloop.flows.store.base import LOOP_TAG
from wildloop.flows.store.picture import Picture
from wildloop.flows.store.run_mapping import EXPERIMENT_TAG

FLOW_RUN = "prefect.flow-run."
RUN_CHANGED = "wildloop.run.changed"
RUN_LABEL = "wildloop.run.id"
RUNS_RESOURCE = "wildloop.runs"
TAGS = frozenset({f"prefect.tag.{EXPERIMENT_TAG}", f"prefect.tag.{LOOP_TAG}"})
RECONNECT_SECONDS = 1.0

logger = logging.getLogger("wildloop.picture")


async def listen(picture: Picture) -> None:
    """Tell the picture of every event of a run or session; until cancelled.

    A lost connection is opened again, and the server repeats the events of the last minute.
    """
    wanted = EventFilter(event=EventNameFilter(prefix=[FLOW_RUN, RUN_CHANGED]))
    was_open = lost = False
    while True:
        try:
            async with get_events_subscriber(filter=wanted) as subscriber:
                if lost:
                    logger.warning("event stream opened again")
                was_open, lost = True, False
                picture.connected()
                async for event in subscriber:
                    hear(picture, event)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - any fault of the socket: say so, reconnect
            # Before the server has begun, there is none to lose.
            if was_open and not lost:
                logger.warning("event stream lost (%r): opening it again", error)
            lost = was_open
        finally:
            picture.disconnected()
        await asyncio.sleep(RECONNECT_SECONDS)


def hear(picture: Picture, event: Event) -> None:
    """Tell the picture of one event, where it is of a run or session."""
    if event.event == RUN_CHANGED:
        picture.touch(event.resource[RUN_LABEL])
        return
    if not event.resource.id.startswith(FLOW_RUN):
        return
    id = event.resource.id.removeprefix(FLOW_RUN)
    row = picture.table.rows.get(id)
    if row is None and not any(one.id in TAGS for one in event.related):
        return
    # Prefect gives such an event the id of the state that it is of.
    if row is None or row.stamp[1] != event.id:
        picture.touch(id)


def tell_changed(id: UUID) -> None:
    """Tell other processes of a change that Prefect emits no event for: a label, a tag, a name."""
    emit_event(RUN_CHANGED, resource={"prefect.resource.id": RUNS_RESOURCE, RUN_LABEL: str(id)})
