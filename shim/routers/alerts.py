"""Alerts over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Query

from flows.models.alert import Alert, AlertCreate, AlertReply, AlertStatus
from shim.deps import Alerts, Runs
from shim.errors import RESPONSES

router = APIRouter(tags=["alerts"], responses=RESPONSES)


@router.post("/runs/{run_id}/alerts", summary="Raise an alert of a run", status_code=201)
async def create_alert(run_id: str, body: AlertCreate, alerts: Alerts) -> Alert:
    """For a script or agent that needs a decision: ask again by `GET /alerts/{id}`."""
    return await alerts.create(run_id, body)


@router.get("/runs/{run_id}/alerts", summary="List a run's alerts, newest first")
async def list_run_alerts(run_id: str, alerts: Alerts, runs: Runs) -> list[Alert]:
    """Open and resolved ones."""
    return await alerts.of_runs([(await runs.get(run_id)).id])


@router.get("/alerts", summary="List alerts, newest first")
async def list_alerts(
    alerts: Alerts,
    status: AlertStatus | None = None,
    session_id: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[Alert]:
    """Raised by runs, agents, and Wildloop itself."""
    return await alerts.select(status, session_id, limit)


@router.get("/alerts/{alert_id}", summary="Read an alert")
async def get_alert(alert_id: str, alerts: Alerts) -> Alert:
    """With its `choice`, once somebody has chosen."""
    return await alerts.get(alert_id)


@router.post("/alerts/{alert_id}/respond", summary="Answer an alert")
async def respond(alert_id: str, body: AlertReply, alerts: Alerts) -> Alert:
    """`stop` and `rerun` act on the run at once; any other word is recorded."""
    return await alerts.respond(alert_id, body.choice)
