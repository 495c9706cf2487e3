"""What a session is told of: the ends of its runs, and alerts."""

from typing import Literal

from wildloop.flows.models.alert import Alert, AlertStatus
from wildloop.flows.models.run import Run, RunStatus
from wildloop.flows.models.session import SessionEvent


def run_event(run: Run) -> SessionEvent:
    """The event of a run's end."""
    word: Literal["run_finished", "run_failed", "run_stopped"]
    if run.status is RunStatus.FINISHED:
        word = "run_finished"
    elif run.status is RunStatus.FAILED:
        word = "run_failed"
    else:
        word = "run_stopped"
    return SessionEvent(
        id=f"run:{run.id}:{run.status.value}",
        type=word,
        title=f"{run.name} {run.status.value}",
        detail=run.error or "",
        run_id=run.id,
        created_at=run.finished_at or run.created_at,
    )


def alert_event(alert: Alert, run_name: str) -> SessionEvent:
    """The event of an alert: resolved once somebody has chosen."""
    words = ", ".join(alert.choices)
    answer = f"POST /alerts/{alert.id}/respond"
    return SessionEvent(
        id=f"alert:{alert.id}",
        type="alert",
        title=f"{alert.severity.value}: {alert.kind.value} in {run_name}",
        detail=f"{alert.message}\n"
        + (f"Choices: {words} ({answer})" if alert.choice is None else f"Chosen: {alert.choice}"),
        run_id=alert.run_id,
        created_at=alert.created_at,
        resolved=alert.status is AlertStatus.RESOLVED,
    )
