"""An outage that was long is an alert once it is over."""

from collections.abc import AsyncIterator

import pytest
from prefect.client.orchestration import PrefectClient

from tests.support.prefect import prefect_client
from tests.support.server import Server
from wildloop.flows.models.alert import AlertKind
from wildloop.flows.worker.trouble import tell_outages

pytestmark = pytest.mark.server


@pytest.fixture
async def client(server: Server) -> AsyncIterator[PrefectClient]:
    async with prefect_client(server) as connected:
        yield connected


async def test_a_long_outage_becomes_an_alert_that_can_be_answered(
    server: Server, client: PrefectClient
) -> None:
    run = server.run("true", gpus=0)
    flow_run = await client.read_flow_run(server.ended(run["id"])["id"])
    await tell_outages(client, [flow_run], [700.0])
    (alert,) = [one for one in server.get("/alerts") if one["run_id"] == run["id"]]
    assert (alert["kind"], alert["session_id"]) == (AlertKind.PREFECT_AWAY.value, None)
    assert "had not answered for 700 s" in alert["message"]
    answered = server.post(f"/alerts/{alert['id']}/respond", {"choice": "noted"})
    assert answered["status"] == "resolved"
