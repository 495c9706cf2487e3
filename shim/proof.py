"""Answers the challenge of `wildloop up`, before anything else of an app sees the request."""

from urllib.parse import parse_qs

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from wildloop.blocks.proof import LONGEST_CHALLENGE, PATH, answer


class Proof:
    """ASGI middleware: the proof that this is the server that was started, open to all."""

    def __init__(self, app: ASGIApp, key: str, port: int) -> None:
        self.app = app
        self._key = key
        self._port = port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the challenge, or pass the request on."""
        if scope["type"] != "http" or scope["path"] != PATH:
            await self.app(scope, receive, send)
            return
        given = parse_qs(scope["query_string"].decode("latin1")).get("challenge", [""])[0]
        text = answer(self._key, self._port, given[:LONGEST_CHALLENGE])
        await PlainTextResponse(text)(scope, receive, send)


def proving(app: ASGIApp, key: str | None, port: int) -> ASGIApp:
    """The app, with its proof where it was started with a key."""
    return Proof(app, key, port) if key else app
