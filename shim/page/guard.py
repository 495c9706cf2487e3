"""What every request of the page passes: the policy on its answer, and the door."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wildloop.shim.page.access import PageAccess, is_from_here

PREFIX = "/page"
LOGIN = f"{PREFIX}/login"
# Scripts, styles and pictures come from this server alone, none stands in the page itself.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_OPEN = (LOGIN, f"{PREFIX}/enter")
_STATIC = f"{PREFIX}/static/"


class PageGuard:
    """ASGI middleware of the page: who has no cookie is sent to the login.

    What changes something is taken from this server's own pages only.
    """

    def __init__(self, app: ASGIApp, access: PageAccess) -> None:
        self.app = app
        self.access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403 or with the way to the login."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(Request(scope))
        await (refusal or self.app)(scope, receive, with_headers)

    def _refusal(self, request: Request) -> Response | None:
        path, reads = request.scope["path"], request.method in ("GET", "HEAD")
        if not reads and not is_from_here(Headers(scope=request.scope)):
            return Response(
                "The page takes changes from its own pages only.", 403, media_type="text/plain"
            )
        if path in _OPEN or path.startswith(_STATIC) or self.access.lets_in(request.cookies):
            return None
        if "hx-request" in request.headers:
            return Response(status_code=401, headers={"HX-Redirect": LOGIN})
        if "text/html" in request.headers.get("accept", "text/html"):
            return RedirectResponse(LOGIN, 303)
        return Response("Log in first.", 401, media_type="text/plain")
