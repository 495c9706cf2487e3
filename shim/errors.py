"""Errors to HTTP answers, in one place."""

import logging
import math
from typing import Any

import httpx
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prefect.exceptions import PrefectHTTPStatusError
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from wildloop.flows.errors import TooManyRequests, Unavailable, WildloopError
from wildloop.flows.text.redaction import Redactor
from wildloop.shim.models import ErrorBody

logger = logging.getLogger("wildloop.shim")

RETRY_AFTER_S = 5

RESPONSES: dict[int | str, dict[str, Any]] = {
    401: {"model": ErrorBody, "description": "Missing or wrong token."},
    404: {"model": ErrorBody, "description": "No such thing."},
    409: {"model": ErrorBody, "description": "Not possible in its state."},
    503: {"model": ErrorBody, "description": "The Prefect server does not answer."},
}


def install(app: FastAPI) -> None:
    """Register the handlers."""
    app.add_exception_handler(WildloopError, _wildloop)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(405, _no_such_method)
    app.add_exception_handler(httpx.TransportError, _unreachable)
    app.add_exception_handler(PrefectHTTPStatusError, _prefect)
    app.add_exception_handler(Exception, _unexpected)


async def _wildloop(request: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, WildloopError) else 500
    answer = _answer(request, status, str(error))
    if isinstance(error, TooManyRequests | Unavailable):
        answer.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    return answer


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """Field and fault of each error; the input itself is not echoed, it may hold secrets."""
    assert isinstance(error, RequestValidationError)
    faults = [
        {
            "loc": [_clean(request, part) for part in fault["loc"]],
            "msg": _clean(request, fault["msg"]),
        }
        for fault in error.errors()
    ]
    return JSONResponse({"detail": faults}, status_code=422)


async def _no_such_method(request: Request, error: Exception) -> JSONResponse:
    """405 with every method of the path: FastAPI names those of one of its routes only."""
    assert isinstance(error, HTTPException)
    # Of several templates that match, the one with the fewest variables is the one that is served.
    matching = [
        (path.count("{"), sorted(map(str.upper, item)))
        for path, item in request.app.openapi()["paths"].items()
        if compile_path(path)[0].match(request.url.path)
    ]
    allowed = min(matching)[1] if matching else []
    answer = _answer(request, 405, f"{request.method} is not for this path")
    answer.headers["Allow"] = ", ".join(allowed) or (error.headers or {}).get("Allow", "")
    return answer


async def _unreachable(request: Request, error: Exception) -> JSONResponse:
    return _try_again(request, f"the Prefect server does not answer ({type(error).__name__})")


async def _prefect(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, PrefectHTTPStatusError)
    if error.response.status_code >= 500:
        return _try_again(
            request,
            f"the Prefect server answered {error.response.status_code} (an error of its own, a "
            "full disk; its log says which)",
        )
    logger.error("Prefect refused %s %s", request.method, request.url.path, exc_info=error)
    return _answer(
        request, 502, f"the Prefect server refused ({error.response.status_code}): see the log"
    )


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    logger.error("failed: %s %s", request.method, request.url.path, exc_info=error)
    return _answer(request, 500, f"internal error ({type(error).__name__}): see the server's log")


def _try_again(request: Request, fault: str) -> JSONResponse:
    answer = _answer(request, 503, f"{fault}: try again")
    answer.headers["Retry-After"] = str(RETRY_AFTER_S)
    return answer


def _answer(request: Request, status: int, detail: str) -> JSONResponse:
    return JSONResponse({"detail": _clean(request, detail)}, status_code=status)


def _clean(request: Request, value: Any) -> Any:
    """Text that can be sent: without secrets, and without lone surrogates of a request's JSON."""
    if not isinstance(value, str):
        return value
    redactor: Redactor = request.app.state.redactor
    return redactor(value.encode("utf-8", "replace").decode())
