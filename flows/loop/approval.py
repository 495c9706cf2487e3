"""What a session of cautious autonomy asks its user before it goes on; the question is an alert."""

from datetime import UTC, datetime

from wildloop.flows.errors import Conflict
from wildloop.flows.keep.decide import Decision
from wildloop.flows.keep.held import has_won, refused
from wildloop.flows.loop.work import Work
from wildloop.flows.models.alert import APPROVE, REJECT, Alert, AlertStatus
from wildloop.flows.models.session_options import SessionSpec
from wildloop.flows.models.session_record import Phase
from wildloop.flows.prompt.state import duration

CHECK_SECONDS = 15.0
NOTE = "waits for your approval of %s: `wildloop approve`, or `wildloop approve --reject WHY`"
NO_REASON = "no reason was given"


def asks_for_plan(spec: SessionSpec) -> bool:
    """Whether the plan waits for the user's approval."""
    return spec.autonomy_level == "cautious"


def asks_for_changes(spec: SessionSpec) -> bool:
    """Whether each change that is to be kept does."""
    return asks_for_plan(spec) and spec.approve == "changes"


async def approval(work: Work, what: str, key: str, message: str) -> str | None:
    """Wait until the user has answered; None for a yes, else why not.

    The time does not count for the budget of hours, and what is asked outlives a restart. After
    the session's time-out the answer is yes.

    Args:
        work: the session.
        what: is asked for, in the note that people see meanwhile.
        key: names the question in this session.
        message: what the user reads.
    """
    alert = await work.stores.alerts.ask(work.position.id, key, message)
    record, note = work.position.record, NOTE % what
    if alert.status is AlertStatus.OPEN:
        record.note, record.phase = note, Phase.WAITING
        record.pause_clock(_now())
        await work.position.save()
        alert = await work.control.guard(_answered(work, alert))
    if record.note == note or record.paused_at is not None:
        record.note = ""
        record.go_on_clock(_now())
        await work.position.save()
    return (alert.reason or NO_REASON) if alert.choice == REJECT else None


async def _answered(work: Work, alert: Alert) -> Alert:
    spec, alerts = work.position.spec, work.stores.alerts
    longest = spec.approval_timeout_seconds
    while True:
        # Cleared before the look: an answer from now on ends the sleep after it.
        work.control.activity.clear()
        alert = await alerts.get(alert.id)
        if alert.status is AlertStatus.RESOLVED:
            return alert
        look = min(CHECK_SECONDS, spec.wait_seconds)
        if longest is not None:
            left = alert.created_at + longest - _now()
            if left <= 0:
                return await _by_time_out(work, alert, longest)
            look = min(look, left)
        await work.control.something_happens(look)


async def _by_time_out(work: Work, alert: Alert, seconds: float) -> Alert:
    told = f"nobody answered within {duration(seconds)}"
    try:
        return await work.stores.alerts.respond(alert.id, APPROVE, told)
    except Conflict:
        # Somebody answers at this moment.
        return await work.stores.alerts.wait(alert.id, CHECK_SECONDS)


async def consented(work: Work, decision: Decision, label: str, commit: str | None) -> Decision:
    """The decision; a discard where the user does not want what won."""
    if not asks_for_changes(work.position.spec) or not has_won(decision):
        return decision
    message = f"Keep the change of {label}{f' ({commit[:12]})' if commit else ''}? {decision.why}"
    why = await approval(work, f"the change of {label}", f"change:{label}", message)
    return decision if why is None else refused(decision, f"the user rejected it: {why}")


def _now() -> float:
    return datetime.now(UTC).timestamp()
