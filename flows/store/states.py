"""Prefect states and Wildloop's status words, translated in one place."""

from collections.abc import Iterable, Sequence
from typing import Any, cast
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import State, StateDetails, StateType
from prefect.states import Cancelling, to_state_create

from wildloop.flows.models.run import RunStatus
from wildloop.flows.models.session import SessionStatus

READY_NAME = "Ready"
# Of a flow run that waits or holds a slot.
ACTIVE = (StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)
WAITING = (StateType.PAUSED, StateType.SCHEDULED)
CANCELLABLE = (*ACTIVE, StateType.PAUSED)
# Each of a bulk request is a transaction of its own; others get their turn between two requests.
BULK_SIZE = 25


def ready_state() -> State[Any]:
    """The state of a run that waits for `start`.

    Paused with `pause_reschedule`, so that Prefect's own resume (API or UI) makes it Scheduled
    and a worker takes it; without the flag, resume would set Running with nobody executing.
    """
    return State(
        type=StateType.PAUSED,
        name=READY_NAME,
        message="Created; waits to be started.",
        state_details=StateDetails(pause_reschedule=True),
    )


def suspended_state(message: str) -> State[Any]:
    """The state of a paused session: suspended until resumed, with no expiry."""
    return State(
        type=StateType.PAUSED,
        name="Suspended",
        message=message,
        state_details=StateDetails(pause_reschedule=True),
    )


async def cancel(client: PrefectClient, flow_run_id: UUID, message: str) -> None:
    """Ask for a flow run's end, whoever holds it.

    The server decides in one step: Cancelled at once where no worker has claimed it, else
    Cancelling, and its worker ends it. Forcing Cancelled after a look would lose against a worker
    that claims it in between: Prefect lets a cancelled flow run become Running.
    """
    await client.set_flow_run_state(flow_run_id, Cancelling(message=message))


async def cancel_many(client: PrefectClient, ids: Sequence[UUID], message: str) -> None:
    """As `cancel`, many by each request; those that have ended since are left as they are."""
    state = to_state_create(Cancelling(message=message)).model_dump(mode="json")
    for first in range(0, len(ids), BULK_SIZE):
        batch = [str(id) for id in ids[first : first + BULK_SIZE]]
        wanted = {"id": {"any_": batch}, "state": {"type": {"any_": [*CANCELLABLE]}}}
        await client.request(
            "POST",
            # Of a server that can do many by one request; the client has no method for it.
            cast(Any, "/flow_runs/bulk_set_state"),
            json={"flow_runs": wanted, "state": state, "limit": BULK_SIZE},
        )


def run_status(state: State[Any] | None, launched: bool) -> RunStatus:
    """The status of a run by its Prefect state; `launched`: its command has been started."""
    if state is None:
        return RunStatus.QUEUED
    match state.type:
        case StateType.PAUSED:
            return RunStatus.READY
        case StateType.SCHEDULED:
            return RunStatus.QUEUED
        case StateType.PENDING | StateType.RUNNING | StateType.CANCELLING:
            return RunStatus.RUNNING if launched else RunStatus.LAUNCHING
        case StateType.COMPLETED:
            return RunStatus.FINISHED
        case StateType.CANCELLED:
            return RunStatus.STOPPED
        case _:
            return RunStatus.FAILED


def prefect_types(status: RunStatus) -> list[StateType]:
    """The Prefect state types that a run of this status can be in."""
    return {
        RunStatus.READY: [StateType.PAUSED],
        RunStatus.QUEUED: [StateType.SCHEDULED],
        RunStatus.LAUNCHING: [StateType.PENDING, StateType.RUNNING],
        RunStatus.RUNNING: [
            StateType.RUNNING,
            StateType.CANCELLING,
            StateType.PENDING,
        ],
        RunStatus.FINISHED: [StateType.COMPLETED],
        RunStatus.FAILED: [StateType.FAILED, StateType.CRASHED],
        RunStatus.STOPPED: [StateType.CANCELLED],
    }[status]


def in_states(types: Iterable[StateType]) -> FlowRunFilterState:
    """Prefect's filter of flow runs by the types of their states."""
    return FlowRunFilterState(type=FlowRunFilterStateType(any_=list(types)))


def session_status(state: State[Any] | None) -> SessionStatus:
    """The status of a session by its Prefect state."""
    if state is None:
        return SessionStatus.QUEUED
    match state.type:
        case StateType.SCHEDULED | StateType.PENDING:
            return SessionStatus.QUEUED
        case StateType.RUNNING | StateType.CANCELLING:
            return SessionStatus.RUNNING
        case StateType.PAUSED:
            return SessionStatus.PAUSED
        case StateType.COMPLETED:
            return SessionStatus.COMPLETED
        case StateType.CANCELLED:
            return SessionStatus.STOPPED
        case _:
            return SessionStatus.FAILED


def is_ending(state: State[Any] | None) -> bool:
    """Whether a session has ended, or was told to."""
    is_told = state is not None and state.type is StateType.CANCELLING
    return is_told or session_status(state).is_terminal
