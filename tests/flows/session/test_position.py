"""What a session writes at its steps, and what is read back, with a Prefect server in memory."""

from contextlib import suppress
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prefect.client.schemas.filters import ArtifactCollectionFilter, ArtifactFilter
from prefect.exceptions import PrefectHTTPStatusError

from wildloop.flows.models.contract import ContractChange, SessionContract
from wildloop.flows.models.keep import KeepStatus, Verdict
from wildloop.flows.models.session_options import SessionSpec
from wildloop.flows.models.session_record import IterationRecord, Phase, SessionRecord
from wildloop.flows.session.position import Position
from wildloop.flows.store import artifacts
from wildloop.flows.store.position import (
    LOG_KEY,
    POSITION_KEY,
    change_record,
    read_last_calls,
    read_record,
    read_summaries,
    read_summary,
)
from wildloop.flows.store.session_memory import LOGS, SessionMemory

ID = str(uuid4())
SPEC = SessionSpec(goal="raise the score", workdir="/project")


class Crash(Exception):
    """The worker dies."""


class Server:
    """Artifacts by key, every version of them; dies at the `dies_at`-th request from now."""

    def __init__(self) -> None:
        self.versions: dict[str, list[SimpleNamespace]] = {}
        self.written = 0
        self.read = 0
        self.dies_at = -1

    def _count(self, data: str) -> None:
        self.dies_at -= 1
        if self.dies_at == 0:
            raise Crash
        self.written += len(data)

    async def request(self, method: str, path: str, json: dict[str, str]) -> httpx.Response:
        self._count(json["data"])
        request = httpx.Request(method, f"http://prefect{path}")
        if method == "POST":
            made = SimpleNamespace(id=uuid4(), key=json["key"], data=json["data"])
            self.versions.setdefault(made.key, []).append(made)
            return httpx.Response(201, request=request, json={"id": str(made.id)})
        every = [version for found in self.versions.values() for version in found]
        for version in every:
            if path == f"/artifacts/{version.id}":
                version.data = json["data"]
                return httpx.Response(204, request=request)
        gone = httpx.HTTPStatusError("", request=request, response=httpx.Response(404))
        raise PrefectHTTPStatusError.from_httpx_error(gone)

    async def read_latest_artifacts(
        self, artifact_filter: ArtifactCollectionFilter, limit: int, offset: int, sort: object
    ) -> list[SimpleNamespace]:
        assert artifact_filter.key is not None and artifact_filter.key.any_ is not None
        found = [self.versions[key][-1] for key in artifact_filter.key.any_ if key in self.versions]
        return [self._told(one) for one in found[offset : offset + limit]]

    async def read_artifacts(
        self, artifact_filter: ArtifactFilter, limit: int, offset: int, sort: object
    ) -> list[SimpleNamespace]:
        assert artifact_filter.key is not None and artifact_filter.key.any_ is not None
        found = self.versions.get(artifact_filter.key.any_[0], [])[::-1]
        return [self._told(one) for one in found[offset : offset + limit]]

    def _told(self, one: SimpleNamespace) -> SimpleNamespace:
        self.read += len(one.data)
        return SimpleNamespace(
            id=one.id, key=one.key, data=one.data, latest_id=one.id, description=""
        )


@pytest.fixture
def server() -> Any:
    return Server()


async def taken_up(server: Any) -> Position:
    return await Position.read(server, SPEC, ID)


def call(index: int, **fields: Any) -> IterationRecord:
    values = {"index": index, "started_at": float(index), "summary": f"step {index} " * 20}
    return IterationRecord.model_validate(values | fields)


def verdict(iteration: int) -> Verdict:
    return Verdict(iteration=iteration, label="l", status=KeepStatus.DISCARD, why="worse")


async def iterate(position: Position, first: int, last: int) -> None:
    """Iterations with the saves of each: its phases, its call, its end."""
    for index in range(first, last + 1):
        await position.enter(Phase.ITERATION)
        position.record.in_progress = f"iteration-{index:02d}"
        await position.save()
        position.record.in_progress = None
        position.record.iterations.append(call(index, cost_usd=0.5))
        await position.save()
        await position.enter(Phase.WAITING)


async def test_record_is_read_back_as_it_was_written(server: Any) -> None:
    position = await taken_up(server)
    assert position.record == SessionRecord(session_id=ID)
    position.record.branch = "wild/x"
    position.record.iterations += [call(0, kind="planning"), call(1, faults=["a --> b"])]
    position.record.keep.verdicts.append(verdict(1))
    await position.save()
    assert await read_record(server, ID) == position.record
    assert (await taken_up(server)).totals == position.record.totals


async def test_an_iteration_leaves_its_own_entry_and_no_copy_of_the_others(server: Any) -> None:
    position = await taken_up(server)
    await iterate(position, 1, 50)
    before = server.written
    await iterate(position, 51, 60)
    early, server.written = server.written - before, 0
    await iterate(position, 61, 390)
    before = server.written
    await iterate(position, 391, 400)
    late = server.written - before
    assert late < 1.05 * early
    assert len(server.versions[LOG_KEY + ID]) == 400
    assert len(server.versions[POSITION_KEY + ID]) == 1
    assert len(server.versions[POSITION_KEY + ID][0].data) < 2000


async def test_lists_and_status_read_no_more_after_400_iterations(server: Any) -> None:
    position = await taken_up(server)
    await iterate(position, 1, 400)
    server.read = 0
    found = await read_summaries(server, [ID, str(uuid4())])
    assert list(found) == [ID]
    last = await read_last_calls(server, ID, 6)
    assert [one.index for one in last] == list(range(395, 401))
    totals = found[ID].totals
    assert (totals.calls, totals.last_index, totals.cost_usd) == (400, 400, 200.0)
    assert totals == position.record.totals
    assert server.read < 20_000


async def test_whole_record_is_read_once_and_then_what_is_new_of_it(server: Any) -> None:
    position, memory = await taken_up(server), SessionMemory()
    await iterate(position, 0, 300)
    assert await memory.record(server, ID) == position.record
    whole, server.read = server.read, 0
    await iterate(position, 301, 301)
    position.record.iterations[2].summary = "seen anew"
    await position.save()
    assert await memory.record(server, ID) == position.record
    assert server.read < whole / 15
    await iterate(position, 302, 330)
    assert await memory.record(server, ID) == position.record == await read_record(server, ID)
    for number in range(LOGS):
        await memory.record(server, f"other-{number}")
    server.read = 0
    assert await memory.record(server, ID) == position.record
    assert server.read > whole


async def test_what_is_noted_of_a_call_later_replaces_it(server: Any) -> None:
    position = await taken_up(server)
    await iterate(position, 1, 3)
    position.record.keep.verdicts.append(verdict(3))
    await position.save()
    early, decided = position.record.iterations[1], position.record.keep.verdicts[0]
    early.run_ids.append("r")
    decided.applied = True
    await position.save()
    assert len(server.versions[LOG_KEY + ID]) == 3 + 1 + 2
    again = await taken_up(server)
    assert again.record == position.record
    assert [one.run_ids for one in await read_last_calls(server, ID, 3)] == [[], ["r"], []]


async def test_step_that_a_crash_cut_off_is_not_counted_and_written_anew(server: Any) -> None:
    position = await taken_up(server)
    await iterate(position, 1, 2)
    position.record.iterations.append(call(3))
    server.dies_at = 2
    with pytest.raises(Crash):
        await position.save()
    again = await taken_up(server)
    assert [it.index for it in again.record.iterations] == [1, 2]
    # It may be another call that follows: the hours of the budget may be over.
    again.record.iterations.append(call(2, kind="reflection"))
    await again.save()
    assert (await read_record(server, ID)) == again.record
    assert again.record.iterations[-1].kind == "reflection"


async def test_sessions_stored_as_before_are_read_and_written_on(server: Any) -> None:
    old = SessionRecord(session_id=ID, iterations=[call(0), call(1)], base_commit="abc")
    await artifacts.write(server, LOG_KEY + ID, text="log", record=old.model_dump_json())
    assert await read_record(server, ID) == old
    assert await read_summary(server, ID) == old
    assert await read_last_calls(server, ID, 6) == []
    position = await taken_up(server)
    assert position.record == old
    await iterate(position, 2, 2)
    assert len(server.versions[LOG_KEY + ID]) == 1 + 3
    assert await read_record(server, ID) == position.record
    assert (await read_summary(server, ID)).totals.calls == 3


@pytest.mark.parametrize("request_number", range(1, 6))
async def test_crash_while_an_old_session_is_written_anew_loses_nothing(
    server: Any, request_number: int
) -> None:
    old = SessionRecord(session_id=ID, iterations=[call(0), call(1)], branch="wild/x")
    old.keep.verdicts.append(verdict(1))
    await artifacts.write(server, LOG_KEY + ID, text="log", record=old.model_dump_json())
    position = await taken_up(server)
    server.dies_at = request_number
    with suppress(Crash):
        await position.enter(Phase.WAITING)
    server.dies_at = -1
    again = await taken_up(server)
    assert (again.record.iterations, again.record.branch) == (old.iterations, "wild/x")
    assert again.record.keep == old.keep
    assert len((await read_summary(server, ID)).branch or "") == 6
    await iterate(again, 2, 3)
    assert await read_record(server, ID) == again.record
    assert [it.index for it in again.record.iterations] == [0, 1, 2, 3]


async def test_contract_of_an_ended_session_changes_and_its_calls_stay(server: Any) -> None:
    position = await taken_up(server)
    await iterate(position, 1, 2)
    position.record.keep.verdicts.append(verdict(2))
    await position.save()
    change = ContractChange(metric="loss", direction="min")
    await change_record(server, ID, SessionContract(metric="acc"), change, 5.0)
    found = await read_record(server, ID)
    assert found.contract is not None and found.contract.metric == "loss"
    assert (len(found.iterations), len(found.keep.verdicts), found.keep.begun) == (2, 1, 1)
    assert len(server.versions[POSITION_KEY + ID]) == 2


async def test_position_that_somebody_has_deleted_is_written_anew(server: Any) -> None:
    position = await taken_up(server)
    await iterate(position, 1, 2)
    del server.versions[POSITION_KEY + ID]
    await position.enter(Phase.REPORT)
    assert await read_record(server, ID) == position.record


async def test_session_that_has_not_begun_has_an_empty_summary(server: Any) -> None:
    summary = await read_summary(server, ID)
    assert (summary.session_id, summary.totals.calls) == (ID, 0)
