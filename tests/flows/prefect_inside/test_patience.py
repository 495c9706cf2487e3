"""Requests outlive a server that does not answer, or not as it should; nothing is done twice."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.concurrency import services
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_CLIENT_CSRF_SUPPORT_ENABLED,
    temporary_settings,
)

from tests.support.pace import patient
from wildloop.flows.errors import PrefectAway
from wildloop.flows.prefect_inside import outage as outage_module
from wildloop.flows.prefect_inside import patience
from wildloop.flows.prefect_inside.outage import Outage
from wildloop.flows.prefect_inside.patience import PatientTransport, make_patient, patient_limits
from wildloop.flows.prefect_inside.repeats import settle
from wildloop.shim.net import free_ports


async def answering(
    port: int, body: object
) -> tuple[asyncio.Server, Callable[[], Awaitable[None]]]:
    """A server that answers every request with `body`."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        text = json.dumps(body).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(text)}"
        writer.write(head.encode() + b"\r\nConnection: close\r\n\r\n" + text)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port)

    async def close() -> None:
        server.close()
        await server.wait_closed()

    return server, close


async def test_request_waits_until_the_server_is_there() -> None:
    (port,) = free_ports(1)
    transport = PatientTransport(httpx.AsyncHTTPTransport())
    async with httpx.AsyncClient(transport=transport) as client:
        asked = asyncio.create_task(client.get(f"http://127.0.0.1:{port}/"))
        await asyncio.sleep(0.3)
        assert not asked.done()
        _, close = await answering(port, {"there": True})
        assert (await asyncio.wait_for(asked, patient(20))).json() == {"there": True}
        await close()


async def test_prefect_client_that_never_connected_waits_too() -> None:
    (port,) = free_ports(1)
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}):
        client = get_client()
    make_patient(client)
    asked = asyncio.create_task(client.hello())
    await asyncio.sleep(0.3)
    assert not asked.done()
    _, close = await answering(port, "hello")
    assert (await asyncio.wait_for(asked, patient(20))).json() == "hello"
    await close()


async def test_limits_of_tags_are_asked_for_with_patience() -> None:
    (port,) = free_ports(1)
    asked, unlimited = services.get_client, {"lease_id": "x", "limits": []}
    settings = {
        PREFECT_API_URL: f"http://127.0.0.1:{port}/api",
        PREFECT_CLIENT_CSRF_SUPPORT_ENABLED: False,
    }
    with temporary_settings(settings), patient_limits():
        service = services.ConcurrencySlotAcquisitionWithLeaseService(frozenset({"tag:gpu"}))
        async with service._lifespan():
            assert isinstance(service._client._client._transport, PatientTransport)
            acquiring = asyncio.create_task(service.acquire(1, "concurrency"))
            await asyncio.sleep(0.3)
            assert not acquiring.done()
            _, close = await answering(port, unlimited)
            assert (await asyncio.wait_for(acquiring, patient(30))).json() == unlimited
            await close()
    assert services.get_client is asked


FAULTS = ("408", "429", "500", "502", "503", "504", "reset", "half", "hang")
TIMEOUT = httpx.Timeout(10.0, read=0.3)


class Faulty:
    """A server that treats its first requests as the script says, and answers the others."""

    def __init__(self, script: Sequence[str], status: int = 200) -> None:
        self.script, self.status = list(script), status
        self.bodies: list[bytes] = []
        self.url = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r")[0] or 0)
        self.bodies.append(await reader.readexactly(length))
        fault = self.script.pop(0) if self.script else str(self.status)
        if fault == "hang":
            await asyncio.sleep(1.0)
        elif fault != "reset":
            body = b'{"there": true}'
            lines = f"HTTP/1.1 {fault if fault != 'half' else 200} Whatever\r\nRetry-After: 0\r\n"
            writer.write(f"{lines}Content-Length: {len(body)}\r\n".encode())
            writer.write(b"Connection: close\r\n\r\n" + (body[:5] if fault == "half" else body))
            with suppress(ConnectionError):
                await writer.drain()
        writer.close()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Faulty"]:
        server = await asyncio.start_server(self.answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            yield self


def patient_client(outage: Outage | None = None, limit: float | None = None) -> httpx.AsyncClient:
    transport = PatientTransport(httpx.AsyncHTTPTransport(), outage, limit)
    return httpx.AsyncClient(transport=transport, timeout=TIMEOUT)


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_may_pass_is_waited_for(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_PAUSE_SECONDS", 0.02)
    async with Faulty([fault] * 7).serving() as server, patient_client() as client:
        answer = await asyncio.wait_for(client.get(f"{server.url}/x"), patient(60))
    assert answer.json() == {"there": True}
    assert len(server.bodies) == 8


@pytest.mark.parametrize("status", [200, 201, 404, 409, 422, 423])
async def test_what_will_not_pass_is_answered_at_once(status: int) -> None:
    async with Faulty([], status).serving() as server, patient_client() as client:
        assert (await client.post(f"{server.url}/x", json={})).status_code == status
    assert len(server.bodies) == 1


async def test_a_flow_run_is_created_with_one_key_however_often_it_is_sent() -> None:
    async with Faulty(["503", "half", "reset"]).serving() as server, patient_client() as client:
        for path in ("flow_runs/", "deployments/1/create_flow_run"):
            await client.post(f"{server.url}/api/{path}", json={"name": "n"})
        await client.post(f"{server.url}/api/flow_runs/", json={"idempotency_key": "mine"})
    sent = [json.loads(body) for body in server.bodies]
    keys = [body["idempotency_key"] for body in sent]
    assert [body.get("name") for body in sent] == ["n"] * 5 + [None]
    assert (len(set(keys[:4])), len(set(keys)), keys[-1]) == (1, 3, "mine")


async def test_within_a_limit_it_is_told_that_the_server_is_away() -> None:
    async with Faulty(["503"] * 99).serving() as server, patient_client(limit=0.5) as client:
        with pytest.raises(PrefectAway, match=r"has not answered for .* 503.*try again") as found:
            await client.get(f"{server.url}/x")
    assert found.value.retry_after_s > 0
    assert len(server.bodies) > 1


async def test_who_asked_for_a_change_is_told_that_it_may_have_been_made() -> None:
    async with Faulty(["half"] * 99).serving() as server, patient_client(limit=0.5) as client:
        with pytest.raises(PrefectAway, match="may have been done"):
            await client.post(f"{server.url}/flow_runs/", json={})


async def test_within_a_limit_an_error_of_the_server_is_answered_at_once() -> None:
    async with Faulty([], 500).serving() as server, patient_client(limit=5) as client:
        assert (await client.get(f"{server.url}/x")).status_code == 500
    assert len(server.bodies) == 1


async def test_a_request_that_fails_alone_is_not_repeated_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A body that the server always answers with 500, while it does all else that is asked."""
    monkeypatch.setattr(patience, "OWN_FAULT_SECONDS", 0.2)
    outage = Outage()
    async with (
        Faulty([], 500).serving() as server,
        Faulty([]).serving() as well,
        patient_client(outage) as client,
    ):
        failing = asyncio.create_task(client.post(f"{server.url}/x", json={}))
        await asyncio.sleep(0.5)
        assert not failing.done()
        for _ in range(patience.OWN_FAULT_CHANGES + 1):
            await client.post(f"{well.url}/x", json={})
        assert (await asyncio.wait_for(failing, patient(20))).status_code == 500


async def test_an_outage_is_told_once_at_its_beginning_and_once_at_its_end(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outage_module, "TOLD_AFTER_SECONDS", 0.2)
    outage = Outage(alert_seconds=0.5)
    script = ["503", "reset", "half"] * 8
    async with Faulty(script).serving() as server, patient_client(outage) as client:
        with caplog.at_level(logging.WARNING, "wildloop.prefect"):
            asked = [client.get(f"{server.url}/{number}") for number in range(3)]
            await asyncio.wait_for(asyncio.gather(*asked), patient(60))
    levels = [(record.levelname, record.message.split(":")[0][:40]) for record in caplog.records]
    assert [level for level, _ in levels] == ["WARNING", "ERROR", "WARNING"]
    assert caplog.records[0].message.endswith("waiting, nothing is given up")
    assert "answers again, after" in caplog.records[2].message
    assert (outage.seconds, len(outage.take_reports()), outage.take_reports()) == (None, 1, [])


async def test_what_passes_at_once_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    async with Faulty(["503"]).serving() as server, patient_client() as client:
        with caplog.at_level(logging.WARNING, "wildloop.prefect"):
            await client.get(f"{server.url}/x")
    assert caplog.records == []


class Sent:
    """What `settle` asks of the server, and the answers."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str]] = []
        self.bodies: list[Any] = []

    async def __call__(self, method: str, path: str, body: Any) -> httpx.Response:
        self.asked.append((method, path))
        self.bodies.append(body)
        return httpx.Response(200, json=self.answers.get(path))


def posted(path: str, body: Any) -> httpx.Request:
    return httpx.Request("POST", f"http://server{path}", json=body)


@pytest.mark.parametrize("name", ["key", "flow_run_id"])
async def test_copies_of_an_artifact_that_a_repetition_has_made_are_removed(name: str) -> None:
    made = {"id": "3", "key": None, "data": "d", "flow_run_id": None} | {name: "k"}
    made["created"] = "2026-01-01T10:00:30Z"
    copy = made | {"id": "2", "created": "2026-01-01T10:00:05Z"}
    other = copy | {"id": "1", "data": "before"}
    old = copy | {"id": "0", "created": "2026-01-01T09:00:00Z"}
    sent = Sent({"/api/artifacts/filter": [made, copy, other, old]})
    answer = httpx.Response(201, json=made)
    found = await settle(posted("/api/artifacts/", {}), answer, 30.0, sent)
    assert found.json() == made
    assert sent.asked == [("POST", "/api/artifacts/filter"), ("DELETE", "/api/artifacts/2")]
    assert sent.bodies[0]["artifacts"] == {name: {"any_": ["k"]}}


@pytest.mark.parametrize("fault", ["reset", "half", "503"])
@pytest.mark.parametrize("path", ["/api/artifacts/", "/api/flow_runs/1/input"])
async def test_a_repetition_that_is_settled_is_answered_as_any_other(path: str, fault: str) -> None:
    async with Faulty([fault]).serving() as server, patient_client() as client:
        answer = await client.post(server.url + path, json={"key": "k", "value": "v"})
        assert (answer.status_code, answer.json()) == (200, {"there": True})
    assert len(server.bodies) == 2


@pytest.mark.parametrize(("there", "status"), [("ours", 201), ("another's", 409)])
async def test_an_input_that_the_first_sending_has_made_is_ours(there: str, status: int) -> None:
    sent = Sent({"/api/flow_runs/1/input/k": there})
    request = posted("/api/flow_runs/1/input", {"key": "k", "value": "ours"})
    assert (await settle(request, httpx.Response(409), 1.0, sent)).status_code == status


async def test_what_the_first_sending_has_deleted_is_deleted() -> None:
    request = httpx.Request("DELETE", "http://server/api/artifacts/1")
    assert (await settle(request, httpx.Response(404), 1.0, Sent({}))).status_code == 204
