"""Runs of a session with code isolation: they get a snapshot of the code when they are created."""

from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.exceptions import ObjectNotFound

from flows.errors import InvalidRequest
from flows.git_process import GitError
from flows.git_snapshot import take_snapshot
from flows.models.run import Checkout, RunSpec


async def session_snapshot(client: PrefectClient, spec: RunSpec) -> Checkout | None:
    """A snapshot of the code as it is now, if the run's session wants one; else None.

    Raises:
        InvalidRequest: the code cannot be put into a snapshot.
    """
    if spec.workdir is None or not await _is_isolated(client, spec.chat_session_id):
        return None
    try:
        return await take_snapshot(Path(spec.workdir))
    except GitError as error:
        raise InvalidRequest(
            f"workdir: the code in '{spec.workdir}' cannot be put into a snapshot, as the session "
            f"asks for (isolation: snapshot): {error}"
        ) from error


async def _is_isolated(client: PrefectClient, session_id: str | None) -> bool:
    if session_id is None:
        return False
    try:
        flow_run = await client.read_flow_run(UUID(session_id))
    except (ValueError, ObjectNotFound):
        # Another front end's id, of which no session of ours is known.
        return False
    return flow_run.parameters.get("isolation") == "snapshot"
