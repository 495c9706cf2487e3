"""What is asked of a flow run that a worker drives, heard of late."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import State
from prefect.states import Paused, Pending, Running, Scheduled

from tests.support.prefect import prefect_client
from tests.support.server import Server
from wildloop.flows.store.base import LOOP_TAG
from wildloop.flows.store.run_mapping import EXPERIMENT_TAG
from wildloop.flows.store.states import suspended_state
from wildloop.flows.worker import requests

pytestmark = pytest.mark.server


@flow(name="nothing", persist_result=False)
async def nothing() -> None:
    """Is never called."""


@pytest.fixture
async def client(server: Server) -> AsyncIterator[PrefectClient]:
    async with prefect_client(server) as connected:
        yield connected


async def state_after(
    client: PrefectClient, tag: str, *states: State[Any]
) -> tuple[bool, State[Any]]:
    """What `suspend` says of a flow run in the last of these states, and what it leaves."""
    made = await client.create_flow_run(nothing, tags=[tag], state=Pending())
    for state in (Running(), *states):
        await client.set_flow_run_state(made.id, state, force=True)
    answer = await requests.suspend(client, made.id)
    left = (await client.read_flow_run(made.id)).state
    assert left is not None
    return answer, left


async def test_session_resumed_before_its_pause_was_heard_of_is_left_and_taken_up_again(
    client: PrefectClient,
) -> None:
    answer, left = await state_after(client, LOOP_TAG, suspended_state("Paused."), Scheduled())
    assert answer
    assert left.is_scheduled()


async def test_paused_session_stays_so_until_it_is_resumed(client: PrefectClient) -> None:
    answer, left = await state_after(client, LOOP_TAG, Paused(timeout_seconds=60))
    assert answer
    assert left.state_details.pause_timeout is None


async def test_command_goes_on_whatever_was_asked_of_it(client: PrefectClient) -> None:
    for states in ([suspended_state("Paused.")], [suspended_state("Paused."), Scheduled()]):
        answer, left = await state_after(client, EXPERIMENT_TAG, *states)
        assert not answer
        assert left.is_running()


async def test_session_at_work_is_not_to_pause(client: PrefectClient) -> None:
    answer, left = await state_after(client, LOOP_TAG)
    assert not answer
    assert left.is_running()


async def test_session_that_was_left_for_a_pause_that_is_over_is_put_back(
    client: PrefectClient,
) -> None:
    for state, expected in ((Running(), "Scheduled"), (suspended_state("Paused."), "Suspended")):
        made = await client.create_flow_run(nothing, tags=[LOOP_TAG], state=Pending())
        await client.set_flow_run_state(made.id, state, force=True)
        await requests.put_back(client, made.id)
        left = (await client.read_flow_run(made.id)).state
        assert left is not None
        assert left.name == expected
