"""Requests that Prefect's server may get twice, since the answer to the first was lost.

It knows repeated states by their transition id and flow runs by their idempotency key. Here the
keys are given, and what the server does not know again is put right after the repetition.
"""

import json
import re
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx

CREATES_FLOW_RUN = re.compile(r"/flow_runs/$|/deployments/[^/]+/create_flow_run$")
CREATES_ARTIFACT = re.compile(r"/artifacts/$")
CREATES_INPUT = re.compile(r"/flow_runs/[^/]+/input$")
READS = re.compile(r"/(filter|filter_minimal|paginate|count|history|get_scheduled_flow_runs)$")
# The server's clock and ours may differ.
SLACK_SECONDS = 5.0
VERSIONS = 20

Send = Callable[[str, str, Any], Awaitable[httpx.Response]]
"""Sends a request to the same server: method, path, JSON body."""


def is_read(request: httpx.Request) -> bool:
    """Whether a request changes nothing."""
    return request.method == "GET" or READS.search(request.url.path) is not None


def repeatable(request: httpx.Request) -> httpx.Request:
    """The request with what lets the server know it again: an idempotency key.

    Its body must have been read.
    """
    if request.method != "POST" or CREATES_FLOW_RUN.search(request.url.path) is None:
        return request
    body = json.loads(request.content)
    if body.get("idempotency_key"):
        return request
    content = json.dumps(body | {"idempotency_key": f"once:{uuid4()}"}).encode()
    headers = request.headers.copy()
    headers["Content-Length"] = str(len(content))
    return httpx.Request(
        request.method,
        request.url,
        headers=headers,
        content=content,
        extensions=request.extensions,
    )


async def settle(
    request: httpx.Request, response: httpx.Response, seconds: float, send: Send
) -> httpx.Response:
    """The answer to a request that was repeated, as if it had been sent once.

    Args:
        request: the request; an earlier sending of it may have been carried out as well.
        response: the answer to the last sending.
        seconds: how long ago the first sending was.
        send: asks the same server.
    """
    path = request.url.path
    await response.aread()
    if request.method == "DELETE" and response.status_code == httpx.codes.NOT_FOUND:
        return httpx.Response(httpx.codes.NO_CONTENT)
    if request.method != "POST":
        return response
    if response.status_code == httpx.codes.CONFLICT and CREATES_INPUT.search(path):
        ours = json.loads(request.content)
        there = await send("GET", f"{path}/{ours['key']}", None)
        if there.is_success and there.json() == ours["value"]:
            return httpx.Response(httpx.codes.CREATED, json=None)
    if response.is_success and CREATES_ARTIFACT.search(path):
        await _remove_copies(path, response.json(), seconds, send)
    return response


async def _remove_copies(path: str, made: dict[str, Any], seconds: float, send: Send) -> None:
    """Remove the versions of an artifact that earlier sendings of the same request have made."""
    name = "key" if made.get("key") else "flow_run_id"
    if not made.get(name):
        return
    wanted = {"artifacts": {name: {"any_": [made[name]]}}, "sort": "CREATED_DESC"}
    answer = await send("POST", f"{path}filter", wanted | {"limit": VERSIONS})
    since = _time(made) - timedelta(seconds=seconds + SLACK_SECONDS)
    for version in answer.json() if answer.is_success else []:
        same = all(version.get(name) == made.get(name) for name in ("data", "flow_run_id"))
        if version["id"] != made["id"] and same and _time(version) >= since:
            await send("DELETE", f"{path}{version['id']}", None)


def _time(artifact: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(str(artifact["created"]).replace("Z", "+00:00"))
