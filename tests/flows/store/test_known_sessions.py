"""What a session's steps ask the server about their own session."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound

from wildloop.flows.models.run import RunCreate
from wildloop.flows.models.sweep import WildSweepCreate
from wildloop.flows.settings import Settings
from wildloop.flows.store.base import LOOP_TAG
from wildloop.flows.store.owners import KnownSessions
from wildloop.flows.store.stores import Stores


class Prefect:
    """The edge: one session, which the front end calls `chat`, and how often it was read."""

    def __init__(self) -> None:
        self.session = FlowRun(
            flow_id=uuid4(),
            tags=[LOOP_TAG, "chat:chat"],
            parameters={"goal": "g", "workdir": "/work", "chat_session_id": "chat"},
        )
        self.reads = 0
        self.created: list[dict[str, Any]] = []

    async def read_flow_run(self, id: UUID) -> FlowRun:
        """The session, by its own id."""
        self.reads += 1
        if id != self.session.id:
            raise ObjectNotFound(http_exc=Exception("404"))
        return self.session

    async def read_flow_runs(self, **_: Any) -> list[FlowRun]:
        """The session, by the front end's name."""
        self.reads += 1
        return [self.session]

    async def read_deployment_by_name(self, _: str) -> SimpleNamespace:
        """The one deployment."""
        return SimpleNamespace(id=uuid4())

    async def read_task_run(self, _: UUID) -> None:
        """Its graph has nothing that runs hang on to."""
        raise ObjectNotFound(http_exc=Exception("404"))

    async def create_flow_run_from_deployment(self, _: UUID, **fields: Any) -> FlowRun:
        """A run."""
        self.created.append(fields)
        return FlowRun(flow_id=uuid4(), **{key: fields[key] for key in ("parameters", "tags")})

    async def request(self, *_: Any, **__: Any) -> SimpleNamespace:
        """An artifact is written."""
        return SimpleNamespace(json=lambda: {"id": str(uuid4())})


async def test_the_runs_of_a_session_read_it_once() -> None:
    prefect = Prefect()
    id = str(prefect.session.id)
    settings = Settings(home=Path("/"), server_url="http://s", token=None, workdir=Path("/else"))
    stores = Stores.of(prefect, settings, id)  # type: ignore[arg-type]
    for number in range(3):
        sweep = await stores.sweeps.create_wild(
            WildSweepCreate(name=f"s{number}", goal="g", chat_session_id=id)
        )
        assert sweep.workdir == "/work"
        body = RunCreate(name="r", command="true", chat_session_id=id, sweep_id=sweep.id)
        await stores.runs.create(body)
    # The budget is looked at by its own book.
    assert prefect.reads == 2
    assert [one["parameters"]["spec"]["workdir"] for one in prefect.created] == ["/work"] * 3


async def test_what_another_name_stands_for_is_asked_for_each_time() -> None:
    prefect, known = Prefect(), KnownSessions()
    for _ in range(2):
        assert await known.find(prefect, "chat") is prefect.session  # type: ignore[arg-type]
    assert prefect.reads == 2
