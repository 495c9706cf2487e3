"""Flow runs in our event loop: one whose end was asked for is called all the same."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from prefect import flow, flow_engine
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext
from prefect.flow_engine import run_flow_async
from prefect.states import Cancelled, Cancelling, Completed, Pending, Running

from tests.support.prefect import prefect_client
from tests.support.server import Server
from wildloop.flows.prefect_inside.engine import run_to_end

pytestmark = pytest.mark.server


@flow(name="closing", persist_result=False)
async def closing(calls: str) -> State[Any]:
    """Leaves a mark in the list of that name, and ends as our flows do when they are told to."""
    MARKS.setdefault(calls, []).append("called")
    return Cancelled(message="told to end")


MARKS: dict[str, list[str]] = {}


@pytest.fixture
async def client(server: Server) -> AsyncIterator[PrefectClient]:
    async with prefect_client(server) as connected:
        yield connected


async def a_flow_run(client: PrefectClient, mark: str, *states: State[Any]) -> FlowRun:
    """A flow run of `closing` that no worker takes, forced through these states."""
    made = await client.create_flow_run(closing, parameters={"calls": mark}, state=Pending())
    for state in states:
        await client.set_flow_run_state(made.id, state, force=True)
    return await client.read_flow_run(made.id)


async def test_flow_run_whose_end_was_asked_for_is_called_and_becomes_cancelled(
    client: PrefectClient,
) -> None:
    flow_run = await a_flow_run(client, "ours", Running(), Cancelling())
    assert flow_run.state is not None and flow_run.state.is_cancelling()
    state = await run_to_end(closing, flow_run)
    assert MARKS.pop("ours") == ["called"]
    assert state.is_cancelled()
    left = await client.read_flow_run(flow_run.id)
    assert left.state is not None
    assert left.state.is_cancelled()


async def test_prefects_own_engine_leaves_such_a_flow_run_without_calling_it(
    client: PrefectClient,
) -> None:
    """Once it calls the flow, `run_to_end` needs no engine of its own."""
    flow_run = await a_flow_run(client, "theirs", Running(), Cancelling())
    assert flow_run.state is not None and flow_run.state.is_cancelling()
    await run_flow_async(
        closing, flow_run=flow_run, parameters=flow_run.parameters, return_type="state"
    )
    assert "theirs" not in MARKS


async def test_no_suspension_watcher_is_started(
    client: PrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect starts one, a thread with a websocket, for each flow run with a deployment."""
    watched: list[object] = []
    prefects = flow_engine.observe_flow_run_suspension

    def recorded(flow_run_id: Any, request: Any) -> Any:
        watched.append(flow_run_id)
        return prefects(flow_run_id, request)

    monkeypatch.setattr(flow_engine, "observe_flow_run_suspension", recorded)
    deployed = {"deployment_id": uuid4()}
    ours = (await a_flow_run(client, "ours")).model_copy(update=deployed)
    assert (await run_to_end(closing, ours)).is_cancelled()
    assert watched == []
    theirs = (await a_flow_run(client, "ours")).model_copy(update=deployed)
    await run_flow_async(
        closing, flow_run=theirs, parameters=theirs.parameters, return_type="state"
    )
    assert watched == [theirs.id]
    MARKS.clear()


async def test_flow_run_is_begun_without_a_request_that_says_nothing(
    client: PrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once Prefect leaves it out for flows without retries, `run_to_end` needs no engine for it."""
    written: list[object] = []
    update = PrefectClient.update_flow_run

    async def noted(self: PrefectClient, flow_run_id: Any, *given: Any, **named: Any) -> Any:
        written.append(flow_run_id)
        return await update(self, flow_run_id, *given, **named)

    monkeypatch.setattr(PrefectClient, "update_flow_run", noted)
    ours, theirs = await a_flow_run(client, "ours"), await a_flow_run(client, "ours")
    assert (await run_to_end(closing, ours)).is_cancelled()
    assert written == []
    await run_flow_async(
        closing, flow_run=theirs, parameters=theirs.parameters, return_type="state"
    )
    assert written == [theirs.id]
    MARKS.clear()


@flow(name="counting", persist_result=False)
async def counting(calls: str) -> State[Any]:
    """Notes what it is told of its flow run, and what its client reads."""
    context = FlowRunContext.get()
    assert context is not None
    assert context.flow_run is not None
    read = await context.client.read_flow_run(context.flow_run.id)
    MARKS[calls] = [f"{one.run_count} {one.state_name}" for one in (context.flow_run, read)]
    return Completed()


async def test_flow_run_is_not_read_again_once_it_runs(
    client: PrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    prefects = PrefectClient.read_flow_run

    async def recorded(self: PrefectClient, flow_run_id: Any) -> FlowRun:
        asked.append(flow_run_id)
        return await prefects(self, flow_run_id)

    monkeypatch.setattr(PrefectClient, "read_flow_run", recorded)
    flow_run = await client.create_flow_run(counting, parameters={"calls": "ours"}, state=Pending())
    assert (await run_to_end(counting, flow_run)).is_completed()
    assert MARKS.pop("ours") == ["1 Running", "1 Running"], "as the server has it"
    assert len(asked) == 1, "by the flow itself"
    asked.clear()
    theirs = await client.create_flow_run(counting, parameters={"calls": "ours"}, state=Pending())
    await run_flow_async(
        counting, flow_run=theirs, parameters=theirs.parameters, return_type="state"
    )
    assert len(asked) > 1, "Prefect does not read it any more: the engine of ours is needless"
