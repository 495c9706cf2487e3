"""The steps of a flow run: recorded as Prefect's own subflows are, with half the requests."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from prefect import flow
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterParentFlowRunId
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.sorting import FlowRunSort
from prefect.runtime import flow_run as runtime
from prefect.states import Completed, Failed

from tests.support.prefect import prefect_client
from tests.support.server import Server
from wildloop.flows.prefect_inside.steps import Steps

pytestmark = pytest.mark.server


@flow(name="a-step", flow_run_name="{label}", persist_result=False)
async def a_step(label: str, ends_well: bool = True) -> State[Any]:
    """Ends as it is told to."""
    return Completed(message=label) if ends_well else Failed(message=label)


@pytest.fixture
async def client(server: Server) -> AsyncIterator[PrefectClient]:
    async with prefect_client(server) as connected:
        yield connected


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The requests for flow runs and what stands for them, as they are sent."""
    sent: list[str] = []
    send = httpx.AsyncClient.send

    async def noted(self: httpx.AsyncClient, request: httpx.Request, **options: Any) -> Any:
        path = request.url.path.removeprefix("/api")
        if path.split("/")[1] in ("flows", "flow_runs", "task_runs"):
            sent.append(f"{request.method} {path}")
        return await send(self, request, **options)

    monkeypatch.setattr(httpx.AsyncClient, "send", noted)
    return sent


async def children(client: PrefectClient, parent: str) -> list[FlowRun]:
    """The subflows of a flow run, oldest first."""
    wanted = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[parent]))
    return await client.read_flow_runs(flow_run_filter=wanted, sort=FlowRunSort.START_TIME_ASC)


async def test_steps_are_recorded_as_prefects_own_subflows_are(client: PrefectClient) -> None:
    @flow(persist_result=False)
    async def parent() -> tuple[str, list[State[Any]]]:
        steps = Steps()
        found = [
            await steps.run(a_step, {"label": f"ours-{n}", "ends_well": n != 1}) for n in range(3)
        ]
        found.append(await a_step("theirs", return_state=True))
        return str(runtime.id), found

    id, states = await parent()
    assert [(state.name, state.message) for state in states] == [
        ("Completed", "ours-0"),
        ("Failed", "ours-1"),
        ("Completed", "ours-2"),
        ("Completed", "theirs"),
    ]
    made = await children(client, id)
    assert [one.name for one in made] == ["ours-0", "ours-1", "ours-2", "theirs"]
    assert len({one.flow_id for one in made}) == 1
    assert made[1].parameters == {"label": "ours-1", "ends_well": False}
    assert [one.state_name for one in made] == ["Completed", "Failed", "Completed", "Completed"]
    drawn = [await client.read_task_run(one.parent_task_run_id) for one in made]
    assert [one.name for one in drawn] == [f"a-step-{n}" for n in range(4)]
    assert {str(one.flow_run_id) for one in drawn} == {id}
    assert [one.state_name for one in drawn] == [one.state_name for one in made]


async def test_step_after_the_first_costs_half_the_requests(
    client: PrefectClient, asked: list[str]
) -> None:
    """Once Prefect's engine asks as little, `Steps` is needless."""

    @flow(persist_result=False)
    async def parent() -> tuple[list[str], list[str]]:
        steps = Steps()
        for label in ("one", "two"):
            asked.clear()
            await steps.run(a_step, {"label": label})
        ours = list(asked)
        asked.clear()
        await a_step("three", return_state=True)
        return ours, list(asked)

    ours, theirs = await parent()
    made = ["POST /task_runs/", "POST /flow_runs/"]
    assert [one for one in ours if one in made] == made
    assert len(ours) == 4
    extra = ["POST /flow_runs/filter", "POST /flows/"]
    assert [one for one in theirs if one in extra] == extra
    assert len(theirs) == 8


async def test_flow_that_was_deleted_meanwhile_is_registered_again(client: PrefectClient) -> None:
    @flow(persist_result=False)
    async def parent() -> list[str | None]:
        steps, said = Steps(), []
        for label in ("one", "two"):
            said.append((await steps.run(a_step, {"label": label})).message)
            flows = await client.read_flows()
            await client.delete_flow(next(one.id for one in flows if one.name == "a-step"))
        return said

    assert await parent() == ["one", "two"]
