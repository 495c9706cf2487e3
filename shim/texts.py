"""Requests that the database would fail on, time and again, are refused at the door."""

import re

from fastapi import Request

from wildloop.flows.errors import InvalidRequest
from wildloop.flows.text.storable import DEPTH_LIMIT, UNSTORABLE, unstorable

_SUSPECT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])|\d{19}|\d[eE]\+?\d|NaN|Infinity")


async def check_texts(request: Request) -> None:
    """Dependency of every path: refuses what the database would fail on, time and again.

    Raises:
        InvalidRequest: path, query or body has such a character.
    """
    if "\x00" in request.url.path or "\x00" in request.scope["path"]:
        raise InvalidRequest("path: it has a NUL character: leave it out")
    if b"%00" in request.scope["query_string"]:
        raise InvalidRequest("query: it has a NUL character: leave it out")
    if request.method in ("GET", "HEAD") or not _is_suspect(await request.body()):
        return
    try:
        value = await request.json()
    except (ValueError, RecursionError):
        # Whether this path wants JSON at all is for the route to say.
        return
    # Metric values go to a file, which takes any number, and a loss of NaN is to be told.
    stored = not request.url.path.endswith("/metrics")
    place = unstorable(value, numbers=stored, finite=stored)
    if place is not None:
        raise InvalidRequest(f"{place}: {UNSTORABLE}: leave it out")


def _is_suspect(body: bytes) -> bool:
    return body.count(b"[") + body.count(b"{") > DEPTH_LIMIT or bool(_SUSPECT.search(body))
