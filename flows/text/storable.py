"""Values that cannot be stored: PostgreSQL takes no NUL, UTF-8 no lone surrogate.

Prefect stores a number of more than 64 bits, but cannot read it back: one run with such a parameter
would make every list of runs fail. (1e30 becomes an integer in PostgreSQL's jsonb.)
"""

import math
import re
from typing import Any

NUMBER_LIMIT = 2**63
DEPTH_LIMIT = 100
UNSTORABLE = (
    "it has a NUL character, half a surrogate pair, NaN, infinity, a number of more than 64 bits "
    f"(quote it), or more than {DEPTH_LIMIT} levels"
)
UNUSABLE = re.compile("[\x00\ud800-\udfff]")


def usable_text(value: str) -> str:
    """The text without outer blanks.

    Raises:
        ValueError: it is blank, or cannot be stored.
    """
    if not value.strip():
        raise ValueError("must not be blank")
    if UNUSABLE.search(value):
        raise ValueError("must not contain a NUL or half a character")
    return value.strip()


def unstorable(
    value: Any,
    place: str = "body",
    *,
    numbers: bool = True,
    finite: bool = False,
    levels: int = DEPTH_LIMIT,
) -> str | None:
    """Where in a JSON value such a text or (if `numbers`) number is; None if nowhere.

    NaN and infinity are stored as they are: they are found only with `finite`. What lies deeper
    than `levels` is found as it is: Prefect's own checks call themselves for each level.
    """
    if isinstance(value, str):
        return place if UNUSABLE.search(value) else None
    if isinstance(value, int | float):
        if isinstance(value, float) and not math.isfinite(value):
            return place if finite else None
        fits = -NUMBER_LIMIT <= value < NUMBER_LIMIT
        return place if numbers and not fits else None
    if levels == 0 and isinstance(value, dict | list):
        return place
    if isinstance(value, dict):
        if any(UNUSABLE.search(name) for name in value):
            return place
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    else:
        return None
    found = (
        unstorable(item, f"{place}.{name}", numbers=numbers, finite=finite, levels=levels - 1)
        for name, item in items
    )
    return next((name for name in found if name is not None), None)
