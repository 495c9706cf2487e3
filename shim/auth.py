"""The token check."""

import hmac
import re

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from wildloop.flows.models.researcher_name import session_in
from wildloop.flows.session.agent_token import session_of

HEADER = "X-Auth-Token"
# The page has a door of its own (shim/page/guard.py); / leads there.
_PAGE = re.compile(r"^(/|/page(/.*)?)$", re.DOTALL)
# Keys of a request's scope.
AGENT = "wildloop.agent"
AGENT_TOKEN = "wildloop.agent_token"
_OPEN = re.compile(r"^/(health|ready|docs|docs/static/[^/]+|openapi\.json)$")
_OPEN_FOR_READING = re.compile(r"^/(wild/v2/system-health|prompt-skills(/.*)?)$")


class TokenCheck:
    """ASGI middleware: refuses requests without the user's token or that of a session's agent.

    Agents probe health, skills and system-health with a bare curl, so these are open.
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self.app = app
        self.token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 401."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        # A websocket has no method: none is served, and none may slip by.
        if self.token is not None and not is_open(scope.get("method", ""), scope["path"]):
            given = headers.get(HEADER) or bearer(headers.get("Authorization"))
            agent = session_of(self.token, given) if given is not None else None
            if given is None or (agent is None and not same(given, self.token)):
                await _refusal(scope, receive, send)
                return
            if agent is not None:
                scope[AGENT] = agent
                scope[AGENT_TOKEN] = given
        await self.app(scope, receive, send)


REFUSED = (
    f"missing or wrong token: send it as header {HEADER} or `Authorization: Bearer`; it is in "
    "$WILDLOOP_AUTH_TOKEN or in the file `token` of the server's WILDLOOP_HOME"
)


def is_open(method: str, path: str) -> bool:
    """Whether a request needs no token."""
    if _OPEN.match(path) or _PAGE.match(path):
        return True
    return method in ("GET", "HEAD") and bool(_OPEN_FOR_READING.match(path))


def agent_session(scope: Scope) -> str | None:
    """The session whose agent asks; None: the user does."""
    name = agent_name(scope)
    return session_in(name) if name is not None else None


def agent_name(scope: Scope) -> str | None:
    """The agent that asks, by its session's id or its own name in there; None: the user does."""
    agent: str | None = scope.get(AGENT)
    return agent


def bearer(value: str | None) -> str | None:
    """The token of an Authorization header."""
    scheme, _, token = (value or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token else None


def same(given: str, token: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())


async def _refusal(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    answer = JSONResponse({"detail": REFUSED}, 401, headers={"WWW-Authenticate": "Bearer"})
    await answer(scope, receive, send)
