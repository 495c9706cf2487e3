"""Troubles of Wildloop's own parts, told as alerts once that can be written down."""

from collections.abc import Sequence

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun

from wildloop.flows.models.alert import CONTINUE, NOTED, AlertKind, Finding, Severity
from wildloop.flows.settings import Settings
from wildloop.flows.store.alerts import AlertStore
from wildloop.flows.store.base import LOOP_TAG, WAITS_LABEL
from wildloop.flows.store.run_mapping import EXPERIMENT_TAG, spec_of


async def tell(client: PrefectClient, flow_run: FlowRun, finding: Finding) -> None:
    """Raise an alert at a flow run, a session or a run; its session's agent is told as well."""
    session_id = str(flow_run.id) if LOOP_TAG in flow_run.tags else None
    if EXPERIMENT_TAG in flow_run.tags:
        session_id = spec_of(flow_run).chat_session_id
    await _alerts(client).report(str(flow_run.id), session_id, finding)


async def tell_waits(client: PrefectClient, session: FlowRun, finding: Finding) -> None:
    """Raise an alert at a session that nobody takes, and have its status say so until one does."""
    await client.update_flow_run_labels(session.id, {WAITS_LABEL: finding.message})
    await tell(client, session, finding)


async def tell_outages(
    client: PrefectClient, active: Sequence[FlowRun], seconds: Sequence[float]
) -> None:
    """Tell of outages of the Prefect server that are over, at each session that they have held up.

    Where there is none, at the first run. No agent is told: it has nothing to decide on.
    """
    sessions = [run for run in active if LOOP_TAG in run.tags]
    for lasted in seconds:
        for flow_run in sessions or active[:1]:
            await _alerts(client).report(str(flow_run.id), None, _outage(lasted))


def _alerts(client: PrefectClient) -> AlertStore:
    return AlertStore(client, Settings.from_environment())


def _outage(lasted: float) -> Finding:
    return Finding(
        kind=AlertKind.PREFECT_AWAY,
        severity=Severity.WARNING,
        message=f"the Prefect server had not answered for {lasted:.0f} s: all has waited, and goes "
        "on now; see the server's log for the cause",
        choices=(CONTINUE, NOTED),
        key=f"prefect-away:{lasted:.3f}",
    )
