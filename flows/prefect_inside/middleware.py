"""Prefect's own checks of each request, without a task and a stream of messages for each."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

PASSING = frozenset({"default_content_type", "token_validation"})
"""Of Prefect's checks those that refuse a request, or return what comes next as it is."""
Dispatch = Callable[[Request, Callable[[Request], Awaitable[Any]]], Awaitable[Any]]


class Passing:
    """Runs a check that looks at the request alone; what comes next answers by itself.

    Args:
        app: what comes next.
        dispatch: the check. It must return what `call_next` gives it, or a response of its own.
    """

    def __init__(self, app: ASGIApp, dispatch: Dispatch) -> None:
        self.app, self.dispatch = app, dispatch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, then pass on, or refuse."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        passed = Response()

        async def call_next(request: Request) -> Response:
            await self.app(request.scope, receive, send)
            return passed

        answer = await self.dispatch(Request(scope, receive), call_next)
        if answer is not passed:
            await answer(scope, receive, send)


def pass_directly() -> None:
    """Have Prefect's API run its two checks of each request without Starlette's streams.

    Starlette runs what comes behind such a check in a task of its own and hands on each message
    by a stream, twice for each request: a millisecond. To be called once the app is made, before
    it serves.
    """
    from prefect.server.api.server import API_APP_CACHE

    for app in API_APP_CACHE.values():
        _replace(app)


def _replace(app: FastAPI) -> None:
    for place, one in enumerate(app.user_middleware):
        check: Any = one.kwargs.get("dispatch")
        made_by: Any = one.cls
        if made_by is BaseHTTPMiddleware and getattr(check, "__name__", "") in PASSING:
            app.user_middleware[place] = Middleware(Passing, dispatch=check)
