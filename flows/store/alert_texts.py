"""An alert in words: as a message, and as a person reads it in Prefect."""

import html

from wildloop.flows.models.alert import Alert, AlertStatus
from wildloop.flows.store.base import flow_run_url


def alert_text(alert: Alert) -> str:
    """An alert as a message tells of it."""
    lines = [alert.message, ""]
    if not alert.is_of_session:
        lines.append(f"run: {alert.run_id}")
    if alert.session_id:
        lines.append(f"session: {alert.session_id}")
    lines.append(f"choices: {', '.join(alert.choices)}")
    if url := flow_run_url(alert.run_id):
        lines.append(url)
    return "\n".join(lines)


def alert_markdown(alert: Alert) -> str:
    """An alert as a person reads it. The message is quoted: it may hold anything."""
    quoted = "\n".join(f"> {line}" for line in html.escape(alert.message, False).splitlines())
    url = flow_run_url(alert.run_id)
    run = f"[{alert.run_id}]({url})" if url else f"`{alert.run_id}`"
    what = "session" if alert.is_of_session else "run"
    lines = [f"**{alert.severity.value}**: {alert.kind.value}, {what} {run}", "", quoted, ""]
    choices = ", ".join(html.escape(word, False) for word in alert.choices)
    effect = f" ({alert.effect})" if alert.effect else ""
    if alert.status is AlertStatus.OPEN:
        lines.append(f"Open. Choices: {choices}")
    elif alert.choice is None:
        lines.append(f"Not answered{effect}, of {choices}")
    else:
        lines.append(f"Answered: {html.escape(alert.choice, False)}{effect}, of {choices}")
    if alert.reason:
        lines += ["", *(f"> {line}" for line in html.escape(alert.reason, False).splitlines())]
    return "\n".join(lines)
