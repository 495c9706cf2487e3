"""Leaderboard and ledger on a session's page."""

import json
from typing import Any, cast
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.client.orchestration import PrefectClient
from prefect.exceptions import PrefectHTTPStatusError

from tests.support.records import made_account, made_record, made_run
from wildloop.flows.models.keep import KeepStatus, Verdict
from wildloop.flows.models.session_options import SessionSpec
from wildloop.flows.models.session_record import SessionRecord
from wildloop.flows.project import MetricConfig
from wildloop.flows.session.position import Position
from wildloop.flows.session.tables import changes_of, leaderboard, publish_ledger
from wildloop.flows.store.artifacts import Tables

SESSION = str(uuid4())
KEY = "leaderboard-g-12345678"


class Prefect:
    """Tables by id; `status` is what every request is answered by."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.status = 200

    async def request(self, method: str, path: str, json: dict[str, Any]) -> httpx.Response:
        self.asked.append(method)
        request, id = httpx.Request(method, f"http://p{path}"), path.rpartition("/")[2]
        status = self.status if method == "POST" or id in self.tables else 404
        if status >= 400:
            fault = httpx.HTTPStatusError("", request=request, response=httpx.Response(status))
            raise PrefectHTTPStatusError.from_httpx_error(fault)
        id = id or str(uuid4())
        self.tables[id] = self.tables.get(id, {}) | json
        return httpx.Response(200, request=request, json={"id": id})

    async def read_latest_artifacts(self, **_: Any) -> list[Any]:
        class Found:
            key = KEY
            latest_id = UUID(next(iter(self.tables), str(uuid4())))

        return [Found()] if self.tables else []


@pytest.fixture
def prefect() -> Prefect:
    return Prefect()


def client_of(prefect: Prefect) -> PrefectClient:
    return cast(PrefectClient, prefect)


async def test_table_is_kept_in_place_and_one_as_it_was_costs_nothing(prefect: Prefect) -> None:
    tables = Tables(client_of(prefect), uuid4())
    await tables.write(KEY, [], "nothing")
    assert prefect.asked == []
    for value in (1, 1, 2):
        await tables.write(KEY, [{"value": value}], f"now {value}")
    # A worker that takes the session up again goes on with the same.
    await Tables(client_of(prefect), uuid4()).write(KEY, [{"value": 3}], "now 3")
    assert prefect.asked == ["POST", "PATCH", "PATCH"]
    (table,) = prefect.tables.values()
    assert (json.loads(table["data"]), table["description"]) == ([{"value": 3}], "now 3")
    # Whoever has deleted it gets another.
    prefect.tables.clear()
    await tables.write(KEY, [{"value": 4}], "now 4")
    assert prefect.asked[3:] == ["PATCH", "POST"]


def test_leaderboard_has_the_best_first_and_links_to_a_run() -> None:
    runs = [made_run(n, 0.5 + n / 100, parameters={"lr": n}, seed=1) for n in range(40)]
    rows = leaderboard(made_account(runs, MetricConfig(name="score", direction="max")))
    assert (rows[0]["#"], rows[0]["configuration"]) == (1, "lr=39")
    assert rows[0]["score"].startswith("0.89") and rows[0]["first run"].startswith("run-39")
    # The baseline stays, however many are better; of the others the best are shown.
    assert rows[-1]["standing"] == "baseline" and len(rows) == 31
    down = leaderboard(made_account(runs, MetricConfig(name="score", direction="min")))
    assert down[0]["configuration"] == "lr=0"


def test_leaderboard_tells_what_each_call_has_changed() -> None:
    runs = [made_run(n, 0.5 + n / 100, parameters={"lr": n}, seed=1) for n in (1, 2)]
    records = [
        made_record(3, "optimiser", run_ids=[runs[1].id]),
        made_record(1, run_ids=[runs[0].id]),
    ]
    account = made_account(runs, MetricConfig(name="score", direction="max"), records)
    rows = leaderboard(account, changes_of(records))
    assert [row["change"] for row in rows] == ["optimiser: change 3", ""]
    assert "change" not in leaderboard(account)[0]


async def test_ledger_has_the_last_decision_first(prefect: Prefect) -> None:
    position = session(prefect)
    await publish_ledger(position)
    (table,) = prefect.tables.values()
    assert table["key"] == f"ledger-raise-the-score-{SESSION[:8]}"
    assert [row["iteration"] for row in json.loads(table["data"])] == [2, 1]
    assert table["description"].startswith("2 changes decided upon, 1 kept")


async def test_table_that_cannot_be_written_ends_nothing(
    prefect: Prefect, caplog: pytest.LogCaptureFixture
) -> None:
    prefect.status = 422
    await publish_ledger(session(prefect))
    assert not prefect.tables


def session(prefect: Prefect) -> Position:
    record = SessionRecord(session_id=SESSION)
    for number, status in ((1, KeepStatus.KEEP), (2, KeepStatus.DISCARD)):
        label = f"iteration-{number:02d}"
        verdict = Verdict(iteration=number, label=label, status=status, why="w", description="d")
        record.keep.verdicts.append(verdict)
    spec = SessionSpec(goal="Raise the score", workdir="/project")
    return Position(client_of(prefect), spec, record)
