"""What one worker does about hosts that are not heard of."""

from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import WorkerStatus
from prefect.states import Cancelling, Running

from wildloop.flows import events
from wildloop.flows.models.alert import Finding
from wildloop.flows.store.alerts import AlertStore
from wildloop.flows.store.base import LOOP_TAG
from wildloop.flows.store.run_mapping import EXPERIMENT_TAG
from wildloop.flows.worker.absent import LEFT_TAG, AbsentHosts, owner_of, reclaim


class Prefect:
    """Knows workers by host and whether they are online; notes what is changed."""

    def __init__(self, left: list[Any] | None = None, **online: bool) -> None:
        self.online = online
        self.left = left or []
        self.asked = 0
        self.states: list[tuple[Any, str]] = []
        self.tags: list[list[str]] = []

    async def read_workers_for_work_pool(self, _: str) -> list[Any]:
        self.asked += 1
        status = {True: WorkerStatus.ONLINE, False: WorkerStatus.OFFLINE}
        return [
            SimpleNamespace(name=f"wildloop-{host}", status=status[here], last_heartbeat_time=None)
            for host, here in self.online.items()
        ]

    async def read_flow_runs(self, **_: object) -> list[Any]:
        return self.left

    async def set_flow_run_state(self, id: Any, state: Any, force: bool) -> None:
        assert force
        self.states.append((id, state.name))

    async def update_flow_run(self, _: Any, tags: list[str]) -> None:
        self.tags.append(tags)


def flow_run(owner: str | None, state: Any = None, gpus: int = 1, tag: str = EXPERIMENT_TAG) -> Any:
    spec = {"name": "r", "command": "true", "gpus": gpus}
    return SimpleNamespace(
        id=uuid4(),
        name="r",
        infrastructure_pid=f"{owner}:1:x" if owner else None,
        state=state or Running(),
        tags=[tag],
        parameters={"spec": spec} if tag == EXPERIMENT_TAG else {},
    )


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Run and key of each alert that was raised."""
    found: list[tuple[str, str]] = []

    async def report(_: AlertStore, run_id: str, session_id: str | None, finding: Finding) -> None:
        found.append((run_id, finding.key))

    monkeypatch.setattr(AlertStore, "report", report)
    monkeypatch.setattr(events, "emit_event", lambda *_, **__: None)
    return found


def hosts(now: list[float]) -> AbsentHosts:
    return AbsentHosts("here", 60.0, lambda: now[0])


async def test_without_runs_elsewhere_nobody_is_asked(told: list[tuple[str, str]]) -> None:
    client: Any = Prefect()
    assert await hosts([0.0]).look(client, [flow_run("here"), flow_run(None)]) == 0
    assert (client.asked, told) == (0, [])


async def test_slots_are_lent_at_once_and_runs_are_told_of_after_the_patience(
    told: list[tuple[str, str]],
) -> None:
    client: Any = Prefect(here=True, there=False, busy=True)
    now = [0.0]
    absent = hosts(now)
    lost = [flow_run("there", gpus=2), flow_run("never-seen")]
    active = [flow_run("here"), flow_run("busy", gpus=4), flow_run("there", tag=LOOP_TAG), *lost]
    assert await absent.look(client, active) == 3
    assert told == []
    now[0] = 60.0
    assert await absent.look(client, active) == 3
    assert told == [(str(lost[0].id), "host:there"), (str(lost[1].id), "host:never-seen")]
    assert client.states == []


async def test_a_lost_host_is_an_event_once_each_time(
    told: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    emitted: list[str] = []
    monkeypatch.setattr(
        events, "emit_event", lambda _, **said: emitted.append(said["resource"]["wildloop.host"])
    )
    client: Any = Prefect(there=False)
    now = [0.0]
    absent, active = hosts(now), [flow_run("there"), flow_run("there")]
    for now[0], online, count in (
        (0.0, False, 0), (60.0, False, 1), (90.0, False, 1), (91.0, True, 1), (92.0, False, 1),
        (152.0, False, 2),
    ):  # fmt: skip
        client.online["there"] = online
        await absent.look(client, active)
        assert emitted == ["there"] * count


async def test_a_host_that_was_back_meanwhile_has_its_patience_again(
    told: list[tuple[str, str]],
) -> None:
    client: Any = Prefect(there=False)
    now = [0.0]
    absent, active = hosts(now), [flow_run("there")]
    await absent.look(client, active)
    client.online["there"], now[0] = True, 50.0
    assert await absent.look(client, active) == 0
    client.online["there"], now[0] = False, 70.0
    assert await absent.look(client, active) == 1
    assert told == []


@pytest.mark.parametrize("tag", [EXPERIMENT_TAG, LOOP_TAG])
async def test_what_is_to_stop_there_is_stopped_and_found_again_by_its_tag(
    told: list[tuple[str, str]], tag: str
) -> None:
    client: Any = Prefect(there=False)
    now = [0.0]
    absent, stopping = hosts(now), flow_run("there", Cancelling(), tag=tag)
    await absent.look(client, [stopping])
    assert client.states == []
    now[0] = 60.0
    await absent.look(client, [stopping])
    assert client.states == [(stopping.id, "Cancelled")]
    assert client.tags == [sorted([tag, f"{LEFT_TAG}there"])]
    assert told == []


async def test_a_host_that_is_back_ends_what_was_stopped() -> None:
    left = flow_run("there")
    left.tags.append(f"{LEFT_TAG}there")
    client: Any = Prefect([left])
    await reclaim(client, "there")
    assert client.states == [(left.id, "Cancelling")]
    assert client.tags == [[EXPERIMENT_TAG]]


def test_owner_is_the_host_that_signed() -> None:
    assert (owner_of(flow_run("a")), owner_of(flow_run(None))) == ("a", None)
