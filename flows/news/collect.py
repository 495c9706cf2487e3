"""What the sessions of a night have come to, read from the stores."""

import time
from collections import defaultdict

from prefect.client.orchestration import PrefectClient

from wildloop.flows.models.alert import Alert
from wildloop.flows.models.digest import Digest
from wildloop.flows.models.session import Session
from wildloop.flows.news.texts import alert_line, digest_text, digest_title, session_digest
from wildloop.flows.settings import Settings
from wildloop.flows.store.alerts import READ_LIMIT, AlertStore
from wildloop.flows.store.sessions import SessionStore
from wildloop.flows.text.redaction import redact

RECENT = 100


async def collect(client: PrefectClient, hours: float) -> Digest:
    """The digest of the sessions that were at work in the last `hours`, newest first.

    Every number is of the session's one account, as its status shows it.
    """
    settings, until = Settings.from_environment(), time.time()
    since = until - hours * 3600
    recent = await SessionStore(client, settings).recent(RECENT)
    sessions = [one for one in recent if _was_at_work(one, since)]
    found = await AlertStore(client, settings).select(limit=READ_LIMIT)
    mine: dict[str, list[Alert]] = defaultdict(list)
    for alert in found:
        if alert.created_at >= since:
            mine[_session_of(alert, sessions)].append(alert)
    digest = Digest(
        since=since,
        until=until,
        title="",
        text="",
        sessions=[session_digest(one, mine[one.session_id]) for one in sessions],
        other_alerts=[alert_line(one) for one in mine[""]],
    )
    return digest.model_copy(
        update={"title": redact(digest_title(digest)), "text": redact(digest_text(digest))}
    )


def _was_at_work(session: Session, since: float) -> bool:
    if session.is_active:
        return session.started_at is not None
    return (session.finished_at or 0.0) >= since


def _session_of(alert: Alert, sessions: list[Session]) -> str:
    """The session that an alert belongs to; it may be raised at the session itself."""
    for one in sessions:
        if one.session_id in (alert.session_id, alert.run_id):
            return one.session_id
    return ""
