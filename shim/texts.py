"""Texts that no part of Wildloop can store: PostgreSQL takes no NUL, UTF-8 no lone surrogate."""

import re
from typing import Any

from fastapi import Request

from flows.errors import InvalidRequest

_ESCAPED = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


async def check_texts(request: Request) -> None:
    """Dependency of every path: refuses what the database would fail on, time and again.

    Raises:
        InvalidRequest: path, query or body has such a character.
    """
    if "\x00" in request.url.path or "\x00" in request.scope["path"]:
        raise InvalidRequest("path: it has a NUL character: leave it out")
    if b"%00" in request.scope["query_string"]:
        raise InvalidRequest("query: it has a NUL character: leave it out")
    if request.method in ("GET", "HEAD") or not _ESCAPED.search(await request.body()):
        return
    try:
        value = await request.json()
    except ValueError:
        # Whether this path wants JSON at all is for the route to say.
        return
    place = unstorable(value)
    if place is not None:
        raise InvalidRequest(
            f"{place}: it has a NUL character or half a surrogate pair: leave it out"
        )


def unstorable(value: Any, place: str = "body") -> str | None:
    """Where in a JSON value such a text is; None if nowhere."""
    if isinstance(value, str):
        return place if _UNSTORABLE.search(value) else None
    if isinstance(value, dict):
        if any(_UNSTORABLE.search(name) for name in value):
            return place
        found = (unstorable(item, f"{place}.{name}") for name, item in value.items())
    elif isinstance(value, list):
        found = (unstorable(item, f"{place}.{number}") for number, item in enumerate(value))
    else:
        return None
    return next((name for name in found if name is not None), None)
