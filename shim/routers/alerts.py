"""Alerts over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Query

from wildloop.flows.models.alert import Alert, AlertCreate, AlertReply, AlertStatus
from wildloop.shim.apart import OWN, READ
from wildloop.shim.deps import Alerts, Runs, WithSeen
from wildloop.shim.errors import RESPONSES

router = APIRouter(tags=["alerts"], responses=RESPONSES)


@router.post("/runs/{run_id}/alerts", summary="Raise an alert of a run", openapi_extra=OWN)
async def create_alert(run_id: str, body: AlertCreate, alerts: Alerts) -> Alert:
    """For a script or agent that needs a decision: wait for it by `GET /alerts/{id}/wait`.

    The answer says what each choice will do (`actions`).
    """
    return await alerts.create(run_id, body)


@router.get(
    "/runs/{run_id}/alerts", summary="List a run's alerts, newest first", openapi_extra=READ
)
async def list_run_alerts(run_id: str, alerts: Alerts, runs: Runs) -> list[Alert]:
    """Open and resolved ones."""
    return await alerts.of_runs([(await runs.get(run_id)).id])


@router.get("/alerts", summary="List alerts, newest first", openapi_extra=READ)
async def list_alerts(
    alerts: Alerts,
    seen: WithSeen,
    status: AlertStatus | None = None,
    session_id: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[Alert]:
    """Raised by runs, agents, and Wildloop itself."""
    session = await seen.session(alerts.client, session_id) if session_id is not None else None
    own = str(session.id) if session is not None else session_id
    return await seen.recent(
        f"alerts {status} {own!r} {limit}", lambda: alerts.select(status, own, limit)
    )


@router.get("/alerts/{alert_id}", summary="Read an alert", openapi_extra=READ)
async def get_alert(alert_id: str, alerts: Alerts) -> Alert:
    """With its `choice`, once somebody has chosen."""
    return await alerts.get(alert_id)


@router.get("/alerts/{alert_id}/wait", summary="Wait for an alert's answer", openapi_extra=READ)
async def wait_for_answer(
    alert_id: str,
    alerts: Alerts,
    seconds: Annotated[
        float, Query(alias="timeout", ge=0, le=300, description="In seconds.")
    ] = 30.0,
) -> Alert:
    """Answers once somebody has chosen, else after `timeout` with the alert still open.

    The answer also lies in the file `alerts/<id>.response` of the run's folder.
    """
    return await alerts.wait(alert_id, seconds)


@router.post("/alerts/{alert_id}/respond", summary="Answer an alert", openapi_extra=OWN)
async def respond(alert_id: str, body: AlertReply, alerts: Alerts) -> Alert:
    """What the choice does (`actions`) is done at once; `effect` tells what came of it.

    An `approval` is for the user alone: no agent's token answers it.
    """
    return await alerts.respond(alert_id, body.choice, body.reason)
