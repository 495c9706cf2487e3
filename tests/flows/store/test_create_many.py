"""Many runs by few requests, on servers that can and that cannot."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prefect.exceptions import PrefectHTTPStatusError

from wildloop.flows.models.run import RunCreate
from wildloop.flows.settings import Settings
from wildloop.flows.store.base import BULK_SIZE
from wildloop.flows.store.runs import RunStore


class Server:
    """The edge: takes drafts, and remembers which came together and which alone."""

    def __init__(self, status: int = 200, failing: str | None = None) -> None:
        self.status, self.failing = status, failing
        self.together: list[list[str]] = []
        self.alone: list[str] = []
        self.bodies: list[dict[str, Any]] = []

    async def read_deployment_by_name(self, name: str) -> SimpleNamespace:
        """The one deployment."""
        return SimpleNamespace(id=uuid4())

    async def request(
        self, method: str, path: str, path_params: dict[str, Any], json: list[dict[str, Any]]
    ) -> httpx.Response:
        """The bulk path."""
        request = httpx.Request(method, f"http://prefect{path.format(**path_params)}")
        response = httpx.Response(self.status, request=request, json={"results": self.made(json)})
        if response.is_error:
            raise PrefectHTTPStatusError("refused", request=request, response=response)
        self.bodies += json
        self.together.append([one["idempotency_key"] for one in json])
        return response

    def made(self, bodies: list[dict[str, Any]]) -> list[dict[str, str]]:
        """A result for each."""
        states = {True: "FAILED", False: "CREATED"}
        return [{"status": states[one["idempotency_key"] == self.failing]} for one in bodies]

    async def create_flow_run_from_deployment(self, id: Any, **fields: Any) -> None:
        """The path for one."""
        self.alone.append(fields["idempotency_key"])


def store(server: Server) -> RunStore:
    settings = Settings(home=Path("/"), server_url="http://s", token=None, workdir=Path("/work"))
    return RunStore(server, settings)  # type: ignore[arg-type]


def bodies(count: int) -> dict[str, RunCreate]:
    return {
        f"k{n}": RunCreate(name=f"r{n}", command="true", gpus=n % 2, auto_start=bool(n % 3))
        for n in range(count)
    }


async def test_they_are_made_in_their_order_by_few_requests() -> None:
    server, count = Server(), 2 * BULK_SIZE + 3
    await store(server).create_many(bodies(count))
    assert [len(one) for one in server.together] == [BULK_SIZE, BULK_SIZE, 3]
    keys = [key for batch in server.together for key in batch]
    assert keys == [f"k{n}" for n in range(count)]
    assert server.alone == []
    ready, queued = server.bodies[0], server.bodies[1]
    assert (ready["state"]["type"], ready["work_queue_name"]) == ("PAUSED", "cpu")
    assert (queued["state"]["type"], queued["work_queue_name"]) == ("SCHEDULED", "runs")
    assert ready["state"]["state_details"]["pause_reschedule"] is True
    assert queued["parameters"]["spec"]["workdir"] == "/work"
    due = [
        one["state"]["state_details"]["scheduled_time"]
        for one in server.bodies
        if one["state"]["type"] == "SCHEDULED"
    ]
    assert due == sorted(due)


async def test_one_that_is_refused_is_made_by_itself() -> None:
    server = Server(failing="k2")
    await store(server).create_many(bodies(4))
    assert server.alone == ["k2"]


@pytest.mark.parametrize("status", [404, 405])
async def test_server_that_cannot_is_asked_for_each(status: int) -> None:
    server = Server(status)
    await store(server).create_many(bodies(3))
    assert server.alone == ["k0", "k1", "k2"]


async def test_server_that_fails_is_not_asked_again() -> None:
    server = Server(503)
    with pytest.raises(PrefectHTTPStatusError):
        await store(server).create_many(bodies(3))
    assert server.alone == []
