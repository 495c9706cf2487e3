"""Errors to HTTP answers, in one place."""

import logging
from typing import Any

import httpx
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prefect.exceptions import PrefectHTTPStatusError

from flows.errors import WildloopError
from shim.models import ErrorBody

logger = logging.getLogger("wildloop.shim")

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
    app.add_exception_handler(httpx.TransportError, _unreachable)
    app.add_exception_handler(PrefectHTTPStatusError, _prefect)
    app.add_exception_handler(Exception, _unexpected)


async def _wildloop(_: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, WildloopError) else 500
    return _answer(status, str(error))


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    """Field and fault of each error; the input itself is not echoed, it may hold secrets."""
    assert isinstance(error, RequestValidationError)
    faults = [
        {"loc": [_clean(part) for part in fault["loc"]], "msg": _clean(fault["msg"])}
        for fault in error.errors()
    ]
    return JSONResponse({"detail": faults}, status_code=422)


async def _unreachable(_: Request, error: Exception) -> JSONResponse:
    return _answer(503, f"the Prefect server does not answer ({type(error).__name__}): try again")


async def _prefect(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, PrefectHTTPStatusError)
    if error.response.status_code >= 500:
        return _answer(503, "the Prefect server failed to answer: try again")
    logger.error("Prefect refused %s %s", request.method, request.url.path, exc_info=error)
    return _answer(502, f"the Prefect server refused ({error.response.status_code}): see the log")


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    logger.error("failed: %s %s", request.method, request.url.path, exc_info=error)
    return _answer(500, f"internal error ({type(error).__name__}): see the server's log")


def _answer(status: int, detail: str) -> JSONResponse:
    return JSONResponse({"detail": _clean(detail)}, status_code=status)


def _clean(value: Any) -> Any:
    """Text that can be sent: lone surrogates of a request's own JSON cannot."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
