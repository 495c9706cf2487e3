"""Tells of a session's end, however it came."""

from prefect.client.orchestration import PrefectClient

from wildloop.flows import events
from wildloop.flows.errors import NotFound
from wildloop.flows.models.session import SessionStatus
from wildloop.flows.news.texts import session_digest, session_lines
from wildloop.flows.settings import Settings
from wildloop.flows.store.alerts import AlertStore
from wildloop.flows.store.sessions import SessionStore


async def tell_end(client: PrefectClient, session_id: str) -> None:
    """Tell people of a session that is over, once; nothing where it is not, or was deleted."""
    settings = Settings.from_environment()
    try:
        session = await SessionStore(client, settings).get(session_id)
    except NotFound:
        return
    if not session.is_active:
        alerts = await AlertStore(client, settings).select(session_id=session_id)
        found = session_digest(session, alerts)
        failed = found.status is SessionStatus.FAILED
        events.tell(
            events.SESSION_FAILED if failed else events.SESSION_ENDED,
            events.session_resource(session_id),
            f"Wildloop: session {found.status.value}: {found.goal}",
            "\n".join([f"goal: {found.goal}", "", *session_lines(found)]),
            session_id=session_id,
            labels={
                "wildloop.session.status": found.status.value,
                "wildloop.level": found.level.value if found.level else "",
            },
            payload=found.model_dump(mode="json"),
            once=str(found.started_at),
        )
