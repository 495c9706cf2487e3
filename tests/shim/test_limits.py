"""Size of bodies, rate of new runs, length of the queue."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import Depends
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from wildloop.flows.errors import InvalidRequest, TooManyRequests
from wildloop.flows.text.redaction import Redactor
from wildloop.shim import errors
from wildloop.shim.limits import (
    BodyLimit,
    CreationGate,
    CreationRate,
    Limits,
    QueueLimit,
    limit_creations,
)
from wildloop.shim.openapi import Api

LIMIT = 2000


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def http_to(app: object) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")  # type: ignore[arg-type]


async def in_chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 100):
        yield b"x" * 100


@pytest.fixture
def counting_app() -> BodyLimit:
    async def answer(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(len(await request.body())))

    return BodyLimit(Starlette(routes=[Route("/", answer, methods=["POST", "PUT"])]), LIMIT)


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_body_above_the_limit_is_refused_with_the_limit(
    counting_app: BodyLimit, method: str
) -> None:
    async with http_to(counting_app) as http:
        exact = await http.request(method, "/", content=b"x" * LIMIT)
        above = await http.request(method, "/", content=b"x" * (LIMIT + 1))
    assert exact.text == str(LIMIT)
    assert above.status_code == 413
    assert "2000" in above.text


async def test_streamed_body_is_counted(counting_app: BodyLimit) -> None:
    async with http_to(counting_app) as http:
        exact = await http.post("/", content=in_chunks(LIMIT))
        above = await http.post("/", content=in_chunks(LIMIT + 100))
    assert exact.text == str(LIMIT)
    assert above.status_code == 413
    assert "2000" in above.text


@pytest.mark.parametrize("length", ["-1", "abc", "1e3", "99999999999999999999"])
async def test_length_that_makes_no_sense_is_refused(counting_app: BodyLimit, length: str) -> None:
    async with http_to(counting_app) as http:
        answer = await http.post("/", content=b"x", headers={"Content-Length": length})
    assert answer.status_code == 413


def test_rate_refuses_after_the_burst_and_fills_up_again() -> None:
    clock = Clock()
    rate = CreationRate(6, clock)
    for _ in range(6):
        rate.take("a")
    with pytest.raises(TooManyRequests, match="session 'a'") as refused:
        rate.take("a")
    assert refused.value.retry_after_s == 10
    clock.now += 10
    rate.take("a")
    with pytest.raises(TooManyRequests):
        rate.take("a")


def test_sessions_do_not_share_their_rate() -> None:
    rate = CreationRate(1, Clock())
    rate.take("a")
    rate.take("b")
    rate.take(None)
    with pytest.raises(TooManyRequests, match="without a chat_session_id"):
        rate.take(None)


def test_asking_while_refused_does_not_put_off_the_next_creation() -> None:
    clock = Clock()
    rate = CreationRate(60, clock)
    for _ in range(60):
        rate.take("a")
    for _ in range(10):
        clock.now += 0.1
        if clock.now < 100.95:
            with pytest.raises(TooManyRequests):
                rate.take("a")
    clock.now += 0.1
    rate.take("a")


def test_rate_remembers_a_bounded_number_of_sessions() -> None:
    rate = CreationRate(1, Clock())
    rate.take("first")
    for number in range(1000):
        rate.take(str(number))
    rate.take("first")
    with pytest.raises(TooManyRequests):
        rate.take("999")


async def test_queue_limit_asks_only_when_it_has_to() -> None:
    clock, asked, waiting = Clock(), 0, 7

    async def count() -> int:
        nonlocal asked
        asked += 1
        return waiting

    limit = QueueLimit(10, clock)
    for _ in range(3):
        await limit.take(count)
    assert asked == 1
    waiting = 10
    with pytest.raises(TooManyRequests, match="10 runs are queued, the limit is 10"):
        await limit.take(count)
    waiting = 4
    await limit.take(count)
    assert asked == 3
    clock.now += 31
    await limit.take(count)
    assert asked == 4


async def test_zero_turns_a_limit_off() -> None:
    async def count() -> int:
        raise AssertionError("must not be asked")

    rate = CreationRate(0, Clock())
    for _ in range(1000):
        rate.take("a")
    await QueueLimit(0).take(count)


class PrefectWithQueue:
    """Stands in for the Prefect client: tells how many runs wait."""

    def __init__(self, waiting: int) -> None:
        self.waiting = waiting

    async def count_flow_runs(self, **_: object) -> int:
        return self.waiting


def app_with(limits: Limits, waiting: int = 0) -> Api:
    app = Api(dependencies=[Depends(limit_creations)])
    app.state.creations = CreationGate(limits)
    app.state.client = PrefectWithQueue(waiting)
    app.state.redactor = Redactor([])
    errors.install(app)

    async def done() -> str:
        return "done"

    for path in ("/runs", "/runs/{id}/rerun", "/runs/{id}/stop", "/sweeps", "/sweeps/{id}/runs"):
        app.add_api_route(path, done, methods=["POST", "GET"])
    return app


@pytest.mark.parametrize("path", ["/runs", "/runs/1/rerun", "/sweeps", "/sweeps/1/runs"])
async def test_creations_beyond_the_rate_are_told_when_to_come_again(path: str) -> None:
    async with http_to(app_with(Limits(runs_per_minute=2))) as http:
        body = {"chat_session_id": "s"}
        assert [(await http.post(path, json=body)).status_code for _ in range(2)] == [200, 200]
        refused = await http.post(path, json=body)
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["Retry-After"]) <= 30
        assert "session 's'" in refused.json()["detail"]
        assert (await http.post(path, json={"chat_session_id": "t"})).status_code == 200
        assert (await http.get(path)).status_code == 200
        assert (await http.post("/runs/1/stop")).status_code == 200


@pytest.mark.parametrize("body", [b"", b"[1]", b"nonsense", b"\xff", b'{"chat_session_id": [1]}'])
async def test_bodies_that_name_no_session_count_together(body: bytes) -> None:
    async with http_to(app_with(Limits(runs_per_minute=1))) as http:
        assert (await http.post("/runs", content=body)).status_code == 200
        assert (await http.post("/runs", content=body)).status_code == 429


async def test_full_queue_refuses_new_runs() -> None:
    async with http_to(app_with(Limits(max_queued_runs=5), waiting=5)) as http:
        refused = await http.post("/runs", json={})
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "30"
    assert "WILDLOOP_MAX_QUEUED_RUNS" in refused.json()["detail"]


async def test_runs_of_a_grid_count_one_by_one() -> None:
    async with http_to(app_with(Limits(max_queued_runs=50), waiting=20)) as http:
        assert (await http.post("/sweeps", json={"max_runs": 31})).status_code == 429
        assert (await http.post("/sweeps", json={"max_runs": 30})).status_code == 200
        assert (await http.post("/sweeps", json={})).status_code == 200


def test_limits_come_from_the_environment() -> None:
    given = {"WILDLOOP_RUNS_PER_MINUTE": "7", "WILDLOOP_MAX_BODY_BYTES": "", "OTHER": "x"}
    assert Limits.from_environment(given) == Limits(runs_per_minute=7)
    assert Limits.from_environment({}) == Limits(
        max_body_bytes=2 * 1024 * 1024, runs_per_minute=120, max_queued_runs=10_000
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WILDLOOP_RUNS_PER_MINUTE", "many"),
        ("WILDLOOP_MAX_QUEUED_RUNS", "-1"),
        ("WILDLOOP_MAX_BODY_BYTES", "5"),
    ],
)
def test_limit_that_is_no_number_is_named(name: str, value: str) -> None:
    with pytest.raises(InvalidRequest, match=f"{name}='{value}'"):
        Limits.from_environment({name: value})


def test_server_refuses_to_start_with_a_wrong_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wildloop.shim.main import main

    monkeypatch.setenv("WILDLOOP_HOME", str(tmp_path))
    monkeypatch.setenv("WILDLOOP_RUNS_PER_MINUTE", "many")
    with pytest.raises(SystemExit, match="WILDLOOP_RUNS_PER_MINUTE='many'"):
        main(["--port", "1"])
