"""Runs in the graph of their session, on a real Prefect server."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterParentFlowRunId
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Completed

from tests.support.server import Server
from wildloop.flows.models.own_runs import OwnRuns, own_id
from wildloop.flows.models.run import RunCreate
from wildloop.flows.settings import Settings
from wildloop.flows.store.base import LOOP_TAG
from wildloop.flows.store.graph import make_anchor
from wildloop.flows.store.runs import RunStore

pytestmark = pytest.mark.server


@flow(name="of-a-test")
def nothing() -> None:
    """Never run: a flow run is made of it."""


@pytest.fixture
async def client(server: Server) -> AsyncIterator[PrefectClient]:
    api = f"http://127.0.0.1:{server.prefect_port}/api"
    async with PrefectClient(api, auth_string=f"wildloop:{server.token}") as client:
        yield client


async def children(client: PrefectClient, flow_run: UUID) -> list[FlowRun]:
    parent = FlowRunFilterParentFlowRunId(any_=[flow_run])
    return await client.read_flow_runs(flow_run_filter=FlowRunFilter(parent_flow_run_id=parent))


async def nodes(client: PrefectClient, flow_run: UUID) -> set[str]:
    path = cast(Any, f"/flow_runs/{flow_run}/graph-v2")
    return {node[0] for node in (await client.request("GET", path)).json()["nodes"]}


async def test_runs_are_drawn_below_their_session_and_outlive_it(
    client: PrefectClient, server: Server, tmp_path: Path
) -> None:
    parameters = {"goal": "a goal", "workdir": str(tmp_path)}
    session = await client.create_flow_run(
        nothing, parameters=parameters, tags=[LOOP_TAG], state=Completed()
    )
    id = str(session.id)
    for _ in range(2):
        await make_anchor(client, id)
    (group,) = await children(client, session.id)
    store = RunStore(
        client, Settings(workdir=tmp_path, home=tmp_path, server_url=server.url, token=None)
    )
    body = RunCreate(name="ready", command="true", workdir=str(tmp_path), gpus=0)
    one = await store.create(body.model_copy(update={"chat_session_id": id}))
    own = own_id(id, OwnRuns.CONFIRM)
    await store.create_many({f"{id}:own": body.model_copy(update={"chat_session_id": own})})
    drawn = await children(client, group.id)
    assert one.id in {str(run.id) for run in drawn} and len(drawn) == 2
    assert await nodes(client, session.id) == {str(group.id)}
    assert await nodes(client, group.id) >= {one.id}
    # Prefect's server cancels the children of what is Cancelled, and pauses no child.
    assert group.state_type is StateType.COMPLETED
    assert (await store.start(one.id)).status.value in ("queued", "launching", "running")
    server.ended(one.id)

    # Whoever deletes what they hang on to takes no run, and lets others come.
    await client.delete_flow_run(group.id)
    after = await store.create(body.model_copy(update={"chat_session_id": id}))
    assert (await client.read_flow_run(UUID(one.id))).parent_task_run_id is None
    assert (await client.read_flow_run(UUID(after.id))).parent_task_run_id is None
