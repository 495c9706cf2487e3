"""The process of a team's own flow: begun once, taken up by the next worker, ended when asked."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import StateType

from wildloop.flows.run.control import RunControl, StopReason
from wildloop.flows.worker.own_process import FlowProcessFailed, OwnProcesses
from wildloop.flows.worker.variables import WildloopJobConfiguration


class House:
    """A home, and one flow run whose process runs `command`."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home, self.command = home, "true"
        self.flow_run: Any = SimpleNamespace(
            id=uuid4(), name="night", state_type=StateType.RUNNING, deployment_id=None
        )

        async def resolve(*_: object, **__: object) -> WildloopJobConfiguration:
            return WildloopJobConfiguration(command=self.command, env={"TEAM": "ours"})

        monkeypatch.setattr(WildloopJobConfiguration, "resolve_for_flow_run", resolve)

    async def read_flow_runs(self, **_: object) -> list[Any]:
        return [self.flow_run]

    def begin(self, own: OwnProcesses, control: RunControl) -> "asyncio.Task[None]":
        own.claim(self.flow_run.id)
        client: Any = self
        pool: Any = None
        return asyncio.create_task(own.run(client, pool, "w", self.flow_run, control))

    @property
    def folder(self) -> Path:
        return self.home / "flows" / str(self.flow_run.id)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    return House(tmp_path, monkeypatch)


async def test_it_gets_its_devices_and_variables_and_leaves_nothing(house: House) -> None:
    told = house.home / "told"
    house.command = f'echo "$TEAM $CUDA_VISIBLE_DEVICES" > {told}'
    await house.begin(OwnProcesses(house.home), RunControl(("1", "3")))
    assert told.read_text() == "ours 1,3\n"
    assert not house.folder.exists()


async def test_why_it_ended_is_told(house: House) -> None:
    house.command = "echo ModuleNotFoundError: night; exit 3"
    with pytest.raises(FlowProcessFailed, match="exit code 3: ModuleNotFoundError: night"):
        await house.begin(OwnProcesses(house.home), RunControl())


async def test_next_worker_takes_it_up_with_its_devices(house: House) -> None:
    go, times = house.home / "go", house.home / "times"
    house.command = f"echo x >> {times}; until [ -e {go} ]; do sleep 0.05; done"
    first = RunControl(("1",))
    driving = house.begin(OwnProcesses(house.home), first)
    await first.launched.wait()
    first.request(StopReason.SHUTDOWN)
    await driving
    client: Any = house
    own, second = OwnProcesses(house.home), RunControl(("1",))
    assert await own.take_up(client) == [(house.flow_run, ("1",))]
    second.is_adopted = True
    driving = house.begin(own, second)
    await second.launched.wait()
    go.touch()
    await driving
    assert times.read_text() == "x\n"


async def test_claim_of_which_nothing_came_is_begun_by_the_next_worker(house: House) -> None:
    OwnProcesses(house.home).claim(house.flow_run.id)
    client: Any = house
    own, control = OwnProcesses(house.home), RunControl()
    assert await own.take_up(client) == [(house.flow_run, ())]
    control.is_adopted = True
    house.command = f"touch {house.home / 'began'}"
    await house.begin(own, control)
    assert (house.home / "began").exists()


async def test_what_is_left_of_a_flow_run_that_is_over_is_taken_away(house: House) -> None:
    OwnProcesses(house.home).claim(house.flow_run.id)
    house.flow_run.state_type = StateType.COMPLETED
    client: Any = house
    assert await OwnProcesses(house.home).take_up(client) == []
    assert not house.folder.exists()


def test_claim_without_a_process_is_forgotten(house: House) -> None:
    own = OwnProcesses(house.home)
    own.claim(house.flow_run.id)
    assert own.has(house.flow_run.id)
    own.release(house.flow_run.id)
    assert not own.has(house.flow_run.id)
