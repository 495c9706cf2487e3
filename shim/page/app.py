"""The page's own application, mounted beside the API's paths: it shares its state, not its rules.

It is in no schema: people use it, programs use the API.
"""

import logging
from importlib.resources import files
from pathlib import Path

import httpx
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from prefect.exceptions import PrefectHTTPStatusError
from starlette.exceptions import HTTPException
from starlette.types import Scope

from wildloop.flows.errors import WildloopError
from wildloop.flows.text.redaction import Redactor
from wildloop.shim.page import compared, entry, now, plots, runs, session
from wildloop.shim.page.access import PageAccess
from wildloop.shim.page.feed import Feed
from wildloop.shim.page.guard import PREFIX, PageGuard
from wildloop.shim.page.render import page, render

# Of two paths that fit, the first is taken: the words of `now` come last.
ROUTERS = (entry, session, now, compared, plots, runs)

logger = logging.getLogger("wildloop.page")


class Assets(StaticFiles):
    """Static files under addresses that change with them, so that browsers may keep them."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """One file."""
        answer = await super().get_response(path, scope)
        answer.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return answer


def mount(app: FastAPI, token: str | None) -> None:
    """Serve the page under /page, and at / the way there."""
    app.state.page_access = PageAccess(token)
    app.state.page_feed = None
    made = FastAPI(title="Wildloop's page", openapi_url=None, docs_url=None, redoc_url=None)
    made.state = app.state
    made.add_middleware(PageGuard, access=app.state.page_access)
    for kind in (WildloopError, RequestValidationError, HTTPException, httpx.TransportError):
        made.add_exception_handler(kind, _fault)
    made.add_exception_handler(PrefectHTTPStatusError, _fault)
    made.add_exception_handler(Exception, _fault)
    for module in ROUTERS:
        made.include_router(module.router)
    static = Path(str(files("wildloop.shim.page") / "static"))
    made.mount("/static", Assets(directory=static), name="static")
    app.mount(PREFIX, made)
    app.add_route("/", _to_page, methods=["GET"], include_in_schema=False)


async def close(app: FastAPI) -> None:
    """End what the page reads behind the answers."""
    feed: Feed | None = app.state.page_feed
    if feed is not None:
        await feed.close()


async def _to_page(_: Request) -> Response:
    return RedirectResponse(f"{PREFIX}/", 307)


async def _fault(request: Request, error: Exception) -> Response:
    status, text = _told(error)
    if status == 500:
        logger.error("failed: %s %s", request.method, request.url.path, exc_info=error)
    redactor: Redactor = request.app.state.redactor
    text = redactor(text.encode("utf-8", "replace").decode())
    if "hx-request" in request.headers:
        told = render("part/notice.html.j2", {"text": text, "is_fault": True})
        headers = {"HX-Retarget": "#notice", "HX-Reswap": "innerHTML"}
        return HTMLResponse(told, status, headers)
    return page(request, "fault.html.j2", {"status": status, "text": text}, status)


def _told(error: Exception) -> tuple[int, str]:
    if isinstance(error, WildloopError):
        return error.status_code, str(error)
    if isinstance(error, HTTPException):
        return error.status_code, str(error.detail)
    if isinstance(error, RequestValidationError):
        faults = (f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors())
        return 422, "; ".join(faults)
    if isinstance(error, httpx.TransportError | PrefectHTTPStatusError):
        return 503, "The Prefect server does not answer: try again."
    return 500, f"Internal error ({type(error).__name__}): see the server's log."
