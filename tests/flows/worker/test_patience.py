"""Requests outlive a restart of their server."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import httpx
from prefect.client.orchestration import get_client
from prefect.concurrency import services
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_CLIENT_CSRF_SUPPORT_ENABLED,
    temporary_settings,
)

from flows.worker.patience import PatientTransport, make_patient, patient_limits
from shim.net import free_ports


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
        assert (await asyncio.wait_for(asked, 20)).json() == {"there": True}
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
    assert (await asyncio.wait_for(asked, 20)).json() == "hello"
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
            assert (await asyncio.wait_for(acquiring, 30)).json() == unlimited
            await close()
    assert services.get_client is asked
