"""Runs that are asked for at the same moment are made together, and answered each for itself."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import PrefectHTTPStatusError
from prefect.states import Scheduled

from tests.support.flow_runs import FlowRuns
from wildloop.flows.errors import InvalidRequest, Unavailable
from wildloop.flows.models.run import RunCreate
from wildloop.flows.settings import Settings
from wildloop.flows.store.burst import Burst
from wildloop.flows.store.picture import Picture
from wildloop.flows.store.run_filter import RunFilter
from wildloop.flows.store.runs import RunStore


class Server(FlowRuns):
    """Creates flow runs, one or many by a request, each idempotency key once."""

    def __init__(self, status: int = 200, failing: str | None = None) -> None:
        super().__init__()
        self.status, self.failing = status, failing
        self.together: list[list[str]] = []
        self.alone: list[str] = []
        self.keys: dict[str, FlowRun] = {}

    async def read_deployment_by_name(self, name: str) -> Any:
        """The one deployment."""
        return FlowRun(id=uuid4(), flow_id=uuid4())

    def made(self, name: str, key: str) -> FlowRun:
        """The flow run of a key."""
        if key not in self.keys:
            self.keys[key] = self.create(Scheduled(), name=name)
        return self.keys[key]

    async def request(
        self, method: str, path: str, path_params: dict[str, Any], json: list[dict[str, Any]]
    ) -> httpx.Response:
        """The bulk path."""
        await asyncio.sleep(0)
        self.together.append([one["name"] for one in json])
        results = [
            {"status": "FAILED"}
            if one["name"] == self.failing
            else {
                "status": "CREATED",
                "flow_run_id": str(self.made(one["name"], one["idempotency_key"]).id),
            }
            for one in json
        ]
        request = httpx.Request(method, "http://prefect")
        response = httpx.Response(self.status, request=request, json={"results": results})
        if response.is_error:
            raise PrefectHTTPStatusError("refused", request=request, response=response)
        return response

    async def create_flow_run_from_deployment(self, id: UUID, **fields: Any) -> FlowRun:
        """The path for one."""
        await asyncio.sleep(0)
        self.alone.append(fields["name"])
        if fields["name"] == self.failing:
            raise Unavailable("this one alone")
        return self.made(fields["name"], fields["idempotency_key"])


def store(server: Server) -> tuple[RunStore, Picture]:
    """A store whose creations are bundled."""
    given = Settings(home=Path("/"), server_url="http://s", token=None, workdir=Path("/work"))
    picture = Picture(server, clock=server.clock, wall=server.wall)  # type: ignore[arg-type]
    return RunStore(server, given, burst=Burst(picture)), picture  # type: ignore[arg-type]


async def create(runs: RunStore, count: int, key: str | None = None) -> list[Any]:
    """What each of the requests is answered, by the name of its run."""
    answers = await asyncio.gather(
        *(runs.create(RunCreate(name=f"r{n}", command="true"), key) for n in range(count)),
        return_exceptions=True,
    )
    return [one if isinstance(one, BaseException) else one.name for one in answers]


async def test_they_are_made_together_in_their_order() -> None:
    server = Server()
    runs, picture = store(server)
    assert await create(runs, 30) == [f"r{n}" for n in range(30)]
    together = [name for batch in server.together for name in batch]
    assert [*server.alone, *together] == [f"r{n}" for n in range(30)]
    assert [len(batch) for batch in server.together] == [25, 5]
    await picture.fresh()
    assert len(picture.table.select(RunFilter())) == 30


async def test_each_is_told_its_own_error() -> None:
    server = Server(failing="r2")
    runs, _ = store(server)
    answers = await create(runs, 4)
    assert [*answers[:2], answers[3]] == ["r0", "r1", "r3"]
    assert isinstance(answers[2], Unavailable)


@pytest.mark.parametrize("status", [405, 500])
async def test_what_is_refused_together_is_made_one_by_one(status: int) -> None:
    server = Server(status=status)
    runs, _ = store(server)
    assert await create(runs, 4) == ["r0", "r1", "r2", "r3"]
    assert server.alone == ["r0", "r1", "r2", "r3"]
    assert len(server.rows) == 4


async def test_a_request_that_is_sent_twice_makes_one_run() -> None:
    server = Server()
    runs, _ = store(server)
    answers = await asyncio.gather(
        *(runs.create(RunCreate(name="r", command="true"), "key") for _ in range(5))
    )
    assert len({one.id for one in answers}) == len(server.rows) == 1


async def test_a_body_that_is_wrong_holds_up_nobody() -> None:
    server = Server()
    runs, _ = store(server)
    bad = RunCreate(name="bad", command="true", parameters={"p": "\x00"})
    answers = await asyncio.gather(
        create(runs, 2), runs.create(bad), create(runs, 2), return_exceptions=True
    )
    assert answers[0] == answers[2] == ["r0", "r1"]
    assert isinstance(answers[1], InvalidRequest)
