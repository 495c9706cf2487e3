"""A session that a flow of a team's own asks for by calling `research_loop`."""

from typing import Any

from prefect.client.schemas.objects import State
from prefect.deployments import arun_deployment
from prefect.runtime import flow_run as runtime
from prefect.states import Cancelled, Completed, Failed

from wildloop.flows.models.session_options import SessionSpec
from wildloop.flows.run.control import is_in_worker
from wildloop.flows.store.base import DEPLOYMENT, RESEARCH_LOOP

LOOK_SECONDS = 5.0


def is_asked_for() -> bool:
    """Whether the running flow was called by another one, in a process that is no worker."""
    return not is_in_worker() and runtime.parent_flow_run_id is not None


async def hand_over(spec: SessionSpec) -> State[Any]:
    """Have a worker carry out the session, as a child of this flow run; return what it came to.

    There it can be paused, steered and taken up after a crash, which a process that ends with its
    flow run cannot offer. A flow that is run again goes on with the session that it asked for.
    """
    session = await arun_deployment(
        f"{RESEARCH_LOOP}/{DEPLOYMENT}",
        parameters=spec.model_dump(mode="json", exclude_unset=True),
        idempotency_key=f"handed-over-{runtime.id}",
        poll_interval=LOOK_SECONDS,
    )
    state = session.state
    message = f"session {session.id}: {(state.message if state else None) or 'no word of its end'}"
    if state is not None and state.is_completed():
        return Completed(message=message)
    if state is not None and state.is_cancelled():
        return Cancelled(message=message)
    return Failed(message=message)
