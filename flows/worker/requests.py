"""What others ask of a flow run that this worker drives, read from the server and settled there."""

from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Running, Scheduled

from wildloop.flows.store.run_mapping import EXPERIMENT_TAG
from wildloop.flows.store.states import suspended_state


def is_to_end(flow_run: FlowRun) -> bool:
    """Whether someone had asked for the flow run's end when it was read."""
    return flow_run.state is not None and flow_run.state.is_cancelling()


async def is_active(client: PrefectClient, flow_run_id: UUID) -> bool:
    """Whether the server takes the flow run for one that is about to begin, or works."""
    try:
        flow_run = await client.read_flow_run(flow_run_id)
    except ObjectNotFound:
        return False
    return flow_run.state_type in (StateType.PENDING, StateType.RUNNING)


async def is_cancelling(client: PrefectClient, flow_run_id: UUID) -> bool:
    """Whether someone has asked for the flow run's end by now, or deleted it."""
    try:
        return is_to_end(await client.read_flow_run(flow_run_id))
    except ObjectNotFound:
        return True


async def close_cancelled(client: PrefectClient, flow_run_id: UUID) -> None:
    """Note that a flow run was stopped, whatever state it is in; one may have been deleted."""
    try:
        flow_run = await client.read_flow_run(flow_run_id)
    except ObjectNotFound:
        return
    if flow_run.state is None or flow_run.state.type is not StateType.CANCELLED:
        await client.set_flow_run_state(flow_run_id, Cancelled(message="Stopped."), force=True)


async def suspend(client: PrefectClient, flow_run_id: UUID) -> bool:
    """Make a pause last until it is resumed; False if the flow run is not to pause.

    One that was resumed before its pause was heard of is Scheduled: it is left as a paused one is,
    and taken up again at once.
    """
    try:
        flow_run = await client.read_flow_run(flow_run_id)
    except ObjectNotFound:
        return False
    state = flow_run.state
    if state is None or not (state.is_paused() or state.is_scheduled()):
        return False
    if EXPERIMENT_TAG in flow_run.tags:
        message = "An experiment's command cannot be paused: it goes on. Stop it instead."
        await client.set_flow_run_state(flow_run_id, Running(message=message), force=True)
        return False
    if state.is_scheduled():
        return True
    if not state.state_details.pause_reschedule or state.state_details.pause_timeout:
        # A pause with an expiry would fail the session if it is resumed later than that.
        await client.set_flow_run_state(
            flow_run_id, suspended_state("Paused until resumed."), force=True
        )
    return True


async def put_back(client: PrefectClient, flow_run_id: UUID) -> None:
    """Have a flow run that was left for a pause taken up again where it was resumed meanwhile.

    A pause may be heard of when the flow run was resumed and claimed anew: nobody drives it then.
    """
    if await is_active(client, flow_run_id):
        resumed: State[Any] = Scheduled(message="Resumed before its pause was heard of.")
        await client.set_flow_run_state(flow_run_id, resumed, force=True)
