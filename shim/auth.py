"""The token check."""

import hmac
import re

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

HEADER = "X-Auth-Token"
_OPEN = re.compile(r"^/(health|docs|docs/oauth2-redirect|openapi\.json|redoc)$")
_OPEN_FOR_READING = re.compile(r"^/(wild/v2/system-health|prompt-skills(/.*)?)$")
BODY_LIMIT_BYTES = 2 * 1024 * 1024


class TokenCheck:
    """ASGI middleware: refuses requests without the token, and bodies that are too large.

    Agents probe health, skills and system-health with a bare curl, so these are open.
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self.app = app
        self.token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 401 or 413."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if self.token is not None and not is_open(scope["method"], scope["path"]):
            given = headers.get(HEADER) or bearer(headers.get("Authorization"))
            if given is None or not same(given, self.token):
                await _refusal(401, REFUSED)(scope, receive, send)
                return
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > BODY_LIMIT_BYTES:
            text = f"the body is larger than {BODY_LIMIT_BYTES} bytes"
            await _refusal(413, text)(scope, receive, send)
            return
        await self.app(scope, receive, send)


REFUSED = (
    f"missing or wrong token: send it as header {HEADER} or `Authorization: Bearer`; it is in "
    "$WILDLOOP_AUTH_TOKEN or in the file `token` of the server's WILDLOOP_HOME"
)


def is_open(method: str, path: str) -> bool:
    """Whether a request needs no token."""
    if _OPEN.match(path):
        return True
    return method in ("GET", "HEAD") and bool(_OPEN_FOR_READING.match(path))


def bearer(value: str | None) -> str | None:
    """The token of an Authorization header."""
    scheme, _, token = (value or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token else None


def same(given: str, token: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())


def _refusal(status: int, detail: str) -> JSONResponse:
    return JSONResponse({"detail": detail}, status_code=status)
