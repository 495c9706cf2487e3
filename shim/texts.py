"""Values that cannot be stored: PostgreSQL takes no NUL, UTF-8 no lone surrogate.

Prefect stores a number of more than 64 bits, but cannot read it back: one run with such a parameter
would make every list of runs fail. (1e30 becomes an integer in PostgreSQL's jsonb.)
"""

import math
import re
from typing import Any

from fastapi import Request

from flows.errors import InvalidRequest

_SUSPECT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])|\d{19}|\d[eE]\+?\d\d")
NUMBER_LIMIT = 2**63
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
    if request.method in ("GET", "HEAD") or not _SUSPECT.search(await request.body()):
        return
    try:
        value = await request.json()
    except ValueError:
        # Whether this path wants JSON at all is for the route to say.
        return
    # Metric values go to a file, which takes any number.
    place = unstorable(value, numbers=not request.url.path.endswith("/metrics"))
    if place is not None:
        raise InvalidRequest(
            f"{place}: it has a NUL character, half a surrogate pair, or a number of more than 64 "
            "bits (quote it): leave it out"
        )


def unstorable(value: Any, place: str = "body", *, numbers: bool = True) -> str | None:
    """Where in a JSON value such a text or (if `numbers`) number is; None if nowhere."""
    if isinstance(value, str):
        return place if _UNSTORABLE.search(value) else None
    if isinstance(value, int | float):
        # NaN and infinity are stored as they are.
        odd = isinstance(value, float) and not math.isfinite(value)
        fits = odd or -NUMBER_LIMIT <= value < NUMBER_LIMIT
        return place if numbers and not fits else None
    if isinstance(value, dict):
        if any(_UNSTORABLE.search(name) for name in value):
            return place
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    else:
        return None
    found = (unstorable(item, f"{place}.{name}", numbers=numbers) for name, item in items)
    return next((name for name in found if name is not None), None)
