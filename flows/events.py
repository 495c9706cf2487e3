"""The events `wildloop.*` that people are told of, by Prefect's automations; see docs/events.md.

Each has a `title` and a `text` in its payload, fit to be sent as they are, and `wildloop.clock`
among its labels: the half hour of this machine's clock that it was emitted in, which quiet hours
go by.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from prefect.events import emit_event

from wildloop.flows.text.redaction import redact

SESSION_ENDED = "wildloop.session.ended"
SESSION_FAILED = "wildloop.session.failed"
SESSION_STUCK = "wildloop.session.stuck"
SESSION_BEST = "wildloop.session.best"
ALERT_RAISED = "wildloop.alert.raised"
ALERT_ANSWERED = "wildloop.alert.answered"
HOST_LOST = "wildloop.host.lost"
CLOCK_LABEL = "wildloop.clock"
SESSION_LABEL = "wildloop.session.id"
SLOT_MINUTES = 30
TITLE_LENGTH = 200
TEXT_LENGTH = 4000


def tell(
    event: str,
    resource: str,
    title: str,
    text: str,
    *,
    session_id: str | None = None,
    labels: Mapping[str, str] | None = None,
    payload: Mapping[str, Any] | None = None,
    once: str | None = None,
) -> None:
    """Emit an event that a person may be told of.

    Args:
        event: its name.
        resource: id of what it is about.
        title: of a message.
        text: of a message; secrets of this process are taken out.
        session_id: the session that it belongs to; its flow run is named as related.
        labels: more labels of the resource, for triggers to match.
        payload: more values, for whoever reads the event.
        once: names the occurrence: told again, it has the same id, and Prefect passes it over.
    """
    related = []
    if session_id is not None:
        related = [
            {
                "prefect.resource.id": f"prefect.flow-run.{session_id}",
                "prefect.resource.role": "session",
            }
        ]
    emit_event(
        event,
        resource={
            "prefect.resource.id": resource,
            CLOCK_LABEL: clock(datetime.now().astimezone()),
            SESSION_LABEL: session_id or "",
            **(labels or {}),
        },
        related=related,
        payload={
            **(payload or {}),
            "title": redact(_cut(" ".join(title.split()), TITLE_LENGTH)),
            "text": redact(_cut(text, TEXT_LENGTH)),
        },
        id=uuid5(NAMESPACE_URL, f"wildloop:{event}:{resource}:{once}") if once else None,
    )


def session_resource(session_id: str) -> str:
    """The id of a session as the resource of an event."""
    return f"wildloop.session.{session_id}"


def clock(at: datetime) -> str:
    """The half hour of a time, by its own zone: `22:30` for 22:41."""
    return f"{at.hour:02d}:{at.minute // SLOT_MINUTES * SLOT_MINUTES:02d}"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
