"""The token in requests and answers."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, StreamingResponse

from wildloop.shim.leaks import TokenLeaks

TOKEN = "tok-Abc_123-tok-xyz"
MASKED = "*" * len(TOKEN)


def client(pieces: list[str]) -> httpx.AsyncClient:
    """An app that answers /echo with the body's length, and /stream with these pieces."""
    app = FastAPI()
    app.add_middleware(TokenLeaks, token=TOKEN)

    @app.post("/echo")
    async def echo(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(len(await request.body())))

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def all_pieces() -> AsyncIterator[str]:
            for piece in pieces:
                yield piece

        return StreamingResponse(all_pieces(), media_type="text/plain")

    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t")


@pytest.mark.parametrize("size", [1, 3, 7, 19, 100])
async def test_token_is_masked_wherever_a_stream_is_cut(size: int) -> None:
    text = f"a {TOKEN} b {TOKEN}{TOKEN} tok-tok-Abc_ {TOKEN[:-1]}"
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    async with client(pieces) as http:
        assert (await http.get("/stream")).text == text.replace(TOKEN, MASKED)


@pytest.mark.parametrize("before", [0, 1, 5000])
async def test_body_with_the_token_is_refused(before: int) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"x" * before + TOKEN[:5].encode()
        yield TOKEN[5:].encode() + b"y"

    async with client([]) as http:
        answer = await http.post("/echo", content=body())
        fine = await http.post("/echo", content=TOKEN[:-1])
    assert answer.status_code == 422
    assert "$WILDLOOP_AUTH_TOKEN" in answer.json()["detail"]
    assert TOKEN not in answer.text
    assert fine.text == str(len(TOKEN) - 1)
