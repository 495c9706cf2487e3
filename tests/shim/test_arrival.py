"""Connections whose request never arrives are closed; slow answers are not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from tests.support.pace import patient
from wildloop.shim.arrival import PromptRequests
from wildloop.shim.net import listening_sockets

SECONDS = 0.3


class Impatient(PromptRequests):
    seconds = SECONDS


async def answer(request: Request) -> PlainTextResponse:
    body = await request.body()
    await asyncio.sleep(3 * SECONDS)
    return PlainTextResponse(body.decode() or "nothing")


@asynccontextmanager
async def connection() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """One connection to a server of its own."""
    (socket,) = listening_sockets("127.0.0.1", 0)[:1]
    socket.listen()
    app = Starlette(routes=[Route("/", answer, methods=["GET", "POST"])])
    config = uvicorn.Config(app, http=Impatient, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve([socket]))
    reader, writer = await asyncio.open_connection(*socket.getsockname()[:2])
    try:
        yield reader, writer
    finally:
        writer.close()
        server.should_exit = True
        await serving


async def dripped(writer: asyncio.StreamWriter, text: bytes) -> None:
    """Send byte after byte, for as long as the other side takes them."""
    for byte in text:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(SECONDS / 10)


async def all_read(reader: asyncio.StreamReader) -> bytes:
    """What comes until the other side closes, which it does soon."""
    try:
        return await asyncio.wait_for(reader.read(), patient(20 * SECONDS))
    except ConnectionError:
        return b""


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n12",
    ],
)
async def test_request_that_never_arrives_is_given_up(sent: bytes) -> None:
    async with connection() as (reader, writer):
        writer.write(sent)
        dripping = asyncio.create_task(dripped(writer, b"a" * 90 if sent else b""))
        assert await all_read(reader) == b""
        dripping.cancel()
        await asyncio.wait({dripping})
        is_cut_short = dripping.cancelled() or dripping.exception() is not None
        assert is_cut_short or not sent, "it was waited for to the end"


async def test_slow_answer_and_the_next_request_are_waited_for() -> None:
    request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"
    async with connection() as (reader, writer):
        for _ in range(2):
            writer.write(request)
            await asyncio.wait_for(reader.readuntil(b"hi"), patient(30 * SECONDS))
        writer.write(request[:20])
        assert await all_read(reader) == b""
