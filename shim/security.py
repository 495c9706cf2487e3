"""What keeps web pages away from the API: the Host and Origin checks, CORS, and headers."""

import os
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wildloop.flows.errors import InvalidRequest
from wildloop.shim.net import is_loopback

HOSTS_VARIABLE = "WILDLOOP_ALLOWED_HOSTS"
ORIGINS_VARIABLE = "WILDLOOP_CORS_ORIGINS"
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class AccessRules(BaseModel):
    """Whom the API answers.

    `hosts` are the names it may be called by, None for any; `origins` the web origins whose pages
    may call it.
    """

    model_config = ConfigDict(frozen=True)

    hosts: frozenset[str] | None = None
    origins: tuple[str, ...] = ()

    @classmethod
    def from_environment(
        cls, host: str, server_url: str = "", variables: Mapping[str, str] | None = None
    ) -> "AccessRules":
        """The rules of a server bound to `host`.

        Bound to a loopback address it answers to localhost, 127.0.0.1, ::1, `host` and the names in
        WILDLOOP_ALLOWED_HOSTS (comma-separated): a web page whose name was made to point here (DNS
        rebinding) is refused. Bound elsewhere it has names that it cannot know, and a token;
        WILDLOOP_ALLOWED_HOSTS makes it strict there too. WILDLOOP_CORS_ORIGINS names web origins.

        Raises:
            InvalidRequest: an origin is not `scheme://host[:port]`.
        """
        given = os.environ if variables is None else variables
        more = frozenset(name.strip("[]").lower() for name in _words(given.get(HOSTS_VARIABLE)))
        own = {host.strip("[]").lower(), urlsplit(server_url).hostname or host}
        hosts = LOOPBACK_NAMES | own | more if more or is_loopback(host) else None
        origins = tuple(map(_origin, _words(given.get(ORIGINS_VARIABLE))))
        return cls(hosts=hosts, origins=origins)

    def fault(self, headers: Headers) -> str | None:
        """Why a request is refused; None if it is not."""
        host = headers.get("host", "")
        if self.hosts is not None and _name(host) not in self.hosts:
            return (
                f"Host '{host[:200]}' is not one of this server: call it by localhost or "
                f"127.0.0.1, or name the host in {HOSTS_VARIABLE}"
            )
        origin = headers.get("origin")
        if origin is None or origin in self.origins or _is_own(origin, host):
            return None
        return (
            f"web pages of '{origin[:200]}' may not use this server: name the origin in "
            f"{ORIGINS_VARIABLE}"
        )


class AccessCheck:
    """ASGI middleware: refuses foreign Host and Origin headers, and adds the security headers."""

    def __init__(self, app: ASGIApp, rules: AccessRules) -> None:
        self.app = app
        self.rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        fault = self.rules.fault(Headers(scope=scope))
        if scope["type"] == "websocket":
            if fault is None:
                await self.app(scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": 1008})
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        if fault is None:
            await self.app(scope, receive, send_with_headers)
        else:
            await JSONResponse({"detail": fault}, 403)(scope, receive, send_with_headers)


def _words(text: str | None) -> Iterable[str]:
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def _name(host: str) -> str:
    """The name in a Host header, without its port; empty if it makes no sense."""
    if not set("@/?#\\").isdisjoint(host):
        return ""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
        return parts.hostname or ""
    except ValueError:
        return ""


def _is_own(origin: str, host: str) -> bool:
    """Whether a page of this very server asks (its /docs)."""
    return origin.partition("://")[2] == host != ""


def _origin(text: str) -> str:
    """An origin as browsers send it."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise InvalidRequest(f"{ORIGINS_VARIABLE}: '{text}': {error}") from error
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/"):
        raise InvalidRequest(
            f"{ORIGINS_VARIABLE}: '{text}' is no origin: give scheme://host[:port], comma-separated"
        )
    return f"{parts.scheme}://{parts.netloc.lower()}"
