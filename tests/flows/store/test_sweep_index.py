"""The copy of the runs of sweeps: right at every moment, and cheap to keep."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.states import Completed, Running, Scheduled

from wildloop.flows.models.run import RunStatus
from wildloop.flows.store import run_index
from wildloop.flows.store.run_index import OPEN, RunIndex
from wildloop.flows.store.run_mapping import EXPERIMENT_TAG


class Server:
    """The edge: flow runs in memory, filtered as the server does by type, id and time."""

    def __init__(self) -> None:
        self.flow_runs: dict[UUID, FlowRun] = {}
        self.created: dict[UUID, datetime] = {}
        self.told = 0
        self.meanwhile: Callable[[], None] = lambda: None

    def put(
        self,
        sweep: str | None,
        state: State[Any],
        id: UUID | None = None,
        created: datetime | None = None,
    ) -> FlowRun:
        """Add a run, or change it."""
        new = uuid4()
        spec = {"name": "r", "command": "true", "sweep_id": sweep}
        tags = [EXPERIMENT_TAG] + ([f"sweep:{sweep}"] if sweep else [])
        now = datetime.now(UTC)
        flow_run = FlowRun(
            id=id or new,
            flow_id=uuid4(),
            state=state,
            tags=tags,
            parameters={"spec": spec},
            expected_start_time=self.created.setdefault(
                id or new, created or (state.timestamp if state.is_final() else now)
            ),
        )
        self.flow_runs[flow_run.id] = flow_run
        return flow_run

    async def read_flow_runs(
        self, *, flow_run_filter: FlowRunFilter, limit: int, offset: int, sort: object
    ) -> list[FlowRun]:
        """A page, newest first."""
        found = list(reversed(self.flow_runs.values()))
        if flow_run_filter.state is not None:
            types = flow_run_filter.state.type.any_ if flow_run_filter.state.type else []
            found = [one for one in found if one.state and one.state.type in (types or [])]
        if flow_run_filter.id is not None:
            found = [one for one in found if one.id in (flow_run_filter.id.any_ or [])]
        if flow_run_filter.expected_start_time is not None:
            after = flow_run_filter.expected_start_time.after_
            found = [one for one in found if after and self.created[one.id] >= after]
        page = found[offset : offset + limit]
        self.told += len(page)
        self.meanwhile()
        return page


def long_ago() -> State[Any]:
    """The end of a run, yesterday."""
    return Completed(timestamp=datetime.now(UTC) - timedelta(days=1))


async def statuses(index: RunIndex, server: Server) -> dict[str, list[RunStatus]]:
    """What the index tells of each sweep."""
    found = await index.by_sweep(server)  # type: ignore[arg-type]
    return {sweep: [run.status for run in runs] for sweep, runs in found.items()}


async def test_ended_runs_are_read_once_and_open_ones_each_time() -> None:
    index, server = RunIndex(), Server()
    for number in range(700):
        server.put(f"s{number % 7}", long_ago())
    yesterday = datetime.now(UTC) - timedelta(days=1)
    active = server.put("s0", Running(), created=yesterday)
    server.put(None, long_ago())
    first = await statuses(index, server)
    assert {sweep: len(found) for sweep, found in first.items()} == {
        f"s{n}": 101 if n == 0 else 100 for n in range(7)
    }
    assert server.told == 702
    server.told = 0
    server.put("s0", Completed(), id=active.id)
    late = server.put("s1", Scheduled())
    second = await statuses(index, server)
    assert server.told == 3
    assert second["s0"].count(RunStatus.FINISHED) == 101
    assert second["s1"][-1] is RunStatus.QUEUED
    del server.flow_runs[late.id]
    assert (await statuses(index, server))["s1"] == [RunStatus.FINISHED] * 100


async def test_run_that_is_as_it_was_stays_the_same_object() -> None:
    index, server = RunIndex(), Server()
    ended = server.put("s", Completed())
    first = (await index.by_sweep(server))["s"]  # type: ignore[arg-type]
    # What has just ended is read once more, by looks that may overlap.
    assert (await index.by_sweep(server))["s"][0] is first[0]  # type: ignore[arg-type]
    server.put("s", Completed(message="named otherwise"), id=ended.id)
    server.flow_runs[ended.id].name = "another"
    again = (await index.by_sweep(server))["s"][0]  # type: ignore[arg-type]
    assert (again.id, again.name) == (first[0].id, "another")


async def test_run_that_was_created_and_ended_between_two_looks_is_seen() -> None:
    index, server = RunIndex(), Server()
    await statuses(index, server)
    server.put("s", Completed())
    assert await statuses(index, server) == {"s": [RunStatus.FINISHED]}


async def test_looks_soon_after_one_another_miss_no_end_and_no_new_run() -> None:
    index, server = RunIndex(), Server()
    yesterday = datetime.now(UTC) - timedelta(days=1)
    old, young = server.put("s", Running(), created=yesterday), server.put("s", Scheduled())
    for _ in range(3):
        assert (await statuses(index, server))["s"] == [RunStatus.LAUNCHING, RunStatus.QUEUED]
    server.put("s", Completed(), id=old.id)
    server.put("s", Completed(), id=young.id)
    server.put("t", Completed())
    assert await statuses(index, server) == {
        "s": [RunStatus.FINISHED] * 2,
        "t": [RunStatus.FINISHED],
    }


async def test_what_a_wrong_clock_hides_is_seen_some_seconds_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    index, server = RunIndex(), Server()
    for _ in range(2):
        await statuses(index, server)
    server.put("s", Completed(), created=datetime.now(UTC) - timedelta(seconds=30))
    assert await statuses(index, server) == {}
    monkeypatch.setattr(run_index, "OPEN_SECONDS", 0.0)
    assert await statuses(index, server) == {"s": [RunStatus.FINISHED]}


async def test_more_runs_than_a_request_may_name_end_at_once() -> None:
    index, server = RunIndex(), Server()
    yesterday = datetime.now(UTC) - timedelta(days=1)
    runs = [server.put("s", Running(), created=yesterday) for _ in range(450)]
    await statuses(index, server)
    for run in runs:
        server.put("s", long_ago(), id=run.id)
    assert await statuses(index, server) == {"s": [RunStatus.FINISHED] * 450}


async def test_clock_of_a_host_that_is_behind_loses_no_end() -> None:
    index, server = RunIndex(), Server()
    run = server.put("s", Running())
    await statuses(index, server)
    server.put("s", Completed(timestamp=datetime.now(UTC) - timedelta(minutes=4)), id=run.id)
    assert await statuses(index, server) == {"s": [RunStatus.FINISHED]}


async def test_old_copy_answers_while_all_is_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    index, server = RunIndex(), Server()
    moved, gone = server.put("old", long_ago()), server.put("old", long_ago())
    await statuses(index, server)
    server.put("new", long_ago(), id=moved.id)
    del server.flow_runs[gone.id]
    monkeypatch.setattr(run_index, "WHOLE_SECONDS", -1.0)
    assert await statuses(index, server) == {"old": [RunStatus.FINISHED] * 2}
    monkeypatch.setattr(run_index, "WHOLE_SECONDS", 900.0)
    while await statuses(index, server) != {"new": [RunStatus.FINISHED]}:
        await asyncio.sleep(0)


def test_every_state_is_either_open_or_an_end() -> None:
    final = {StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED}
    assert set(OPEN) | final == set(StateType)
