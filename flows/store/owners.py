"""The session that a run belongs to, and what the run takes from it: folder and code."""

from contextlib import suppress
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound

from flows.errors import InvalidRequest
from flows.git_process import GitError
from flows.git_snapshot import take_snapshot
from flows.models.run import Checkout
from flows.store.base import LOOP_TAG


async def find_session(client: PrefectClient, id: str) -> FlowRun | None:
    """The session with this id, its own or that of another front end; None if there is none."""
    with suppress(ValueError, ObjectNotFound):
        flow_run = await client.read_flow_run(UUID(id))
        return flow_run if LOOP_TAG in flow_run.tags else None
    tags = FlowRunFilterTags(all_=[LOOP_TAG, f"chat:{id}"])
    found = await client.read_flow_runs(
        flow_run_filter=FlowRunFilter(tags=tags), sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=1
    )
    return found[0] if found else None


def folder_of(session: FlowRun | None, default: Path) -> str:
    """Where a run is executed that names no folder: in its session's project."""
    return str((session.parameters.get("workdir") if session else None) or default)


async def snapshot_for(session: FlowRun | None, workdir: str) -> Checkout | None:
    """A snapshot of the code in `workdir` as it is now, if the session wants one; else None.

    Raises:
        InvalidRequest: the code cannot be put into a snapshot.
    """
    if session is None or session.parameters.get("isolation") != "snapshot":
        return None
    try:
        return await take_snapshot(Path(workdir))
    except GitError as error:
        raise InvalidRequest(
            f"workdir: the code in '{workdir}' cannot be put into a snapshot, as the session asks "
            f"for (isolation: snapshot): {error}"
        ) from error
