"""The flow that a deployment names is the flow that runs."""

from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.exceptions import ObjectNotFound
from pydantic import ValidationError

from wildloop.flows.experiment import experiment
from wildloop.flows.research_loop import research_loop
from wildloop.flows.store.base import LOOP_TAG
from wildloop.flows.store.run_mapping import EXPERIMENT_TAG
from wildloop.flows.worker.entrypoints import Entrypoints
from wildloop.flows.worker.variables import WildloopJobConfiguration, completed


class Server:
    """Knows one deployment, or none."""

    def __init__(self, **deployment: Any) -> None:
        self.deployment = SimpleNamespace(tags=[], job_variables={}, **deployment)
        self.tagged: list[str] = []
        self.reads = 0

    async def read_deployment(self, id: UUID) -> Any:
        self.reads += 1
        if self.deployment.entrypoint == "deleted":
            raise ObjectNotFound(http_exc=Exception())
        return self.deployment

    async def update_flow_run(self, id: UUID, tags: list[str]) -> None:
        self.tagged = tags


def a_run(*tags: str, **job_variables: Any) -> Any:
    return SimpleNamespace(
        id=uuid4(),
        name="r",
        deployment_id=uuid4(),
        tags=list(tags),
        job_variables=job_variables,
        parameters={"spec": {"name": "r", "command": "true", "gpus": 2}},
    )


@pytest.mark.parametrize(
    ("entrypoint", "tags", "flow"),
    [
        ("wildloop.flows.research_loop.research_loop", [LOOP_TAG], research_loop),
        ("wildloop.flows.experiment:experiment", [EXPERIMENT_TAG], experiment),
        ("wildloop.flows.research_loop:research_loop", ["team"], research_loop),
        ("night.py:night", ["team"], None),
        ("night.py:night", [LOOP_TAG], None),
        ("deleted", [LOOP_TAG], research_loop),
        ("deleted", [], None),
    ],
)
async def test_flow_by_entrypoint(entrypoint: str, tags: list[str], flow: Any) -> None:
    server, run = Server(entrypoint=entrypoint), a_run(*tags)
    entrypoints = Entrypoints()
    for _ in range(3):
        await entrypoints.look(server, [run])  # type: ignore[arg-type]
    assert entrypoints.of(run).flow is flow
    assert server.reads == (3 if entrypoint == "deleted" else 1)
    if flow is research_loop and LOOP_TAG not in tags:
        assert server.tagged == [*tags, LOOP_TAG]


async def test_slots_by_job_variables_of_the_deployment_or_of_the_flow_run() -> None:
    server, entrypoints = Server(entrypoint="night.py:night"), Entrypoints()
    server.deployment.job_variables = {"slots": 3}
    one, other = a_run(), a_run(slots=1)
    other.deployment_id = one.deployment_id
    await entrypoints.look(server, [one, other])  # type: ignore[arg-type]
    assert [entrypoints.demand(run).gpus for run in (one, other, a_run(slots="many"))] == [3, 1, 0]


def test_working_dir_is_absolute() -> None:
    with pytest.raises(ValidationError, match="no absolute path"):
        WildloopJobConfiguration(working_dir="here")  # type: ignore[arg-type]


def test_older_pool_gets_the_variables_and_keeps_what_people_have_set() -> None:
    env = {"type": "object", "default": {"A": "b"}}
    older = {
        "job_configuration": {"env": "{{ env }}"},
        "variables": {"type": "object", "properties": {"env": env}},
    }
    newer = completed(older)
    assert newer is not None
    assert newer["variables"]["properties"]["env"] == env
    assert newer["job_configuration"]["slots"] == "{{ slots }}"
    assert completed(newer) is None
