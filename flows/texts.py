"""Values that cannot be stored: PostgreSQL takes no NUL, UTF-8 no lone surrogate.

Prefect stores a number of more than 64 bits, but cannot read it back: one run with such a parameter
would make every list of runs fail. (1e30 becomes an integer in PostgreSQL's jsonb.)
"""

import math
import re
from typing import Any

NUMBER_LIMIT = 2**63
UNSTORABLE = (
    "it has a NUL character, half a surrogate pair, or a number of more than 64 bits (quote it)"
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


def unstorable(value: Any, place: str = "body", *, numbers: bool = True) -> str | None:
    """Where in a JSON value such a text or (if `numbers`) number is; None if nowhere."""
    if isinstance(value, str):
        return place if UNUSABLE.search(value) else None
    if isinstance(value, int | float):
        # NaN and infinity are stored as they are.
        odd = isinstance(value, float) and not math.isfinite(value)
        fits = odd or -NUMBER_LIMIT <= value < NUMBER_LIMIT
        return place if numbers and not fits else None
    if isinstance(value, dict):
        if any(UNUSABLE.search(name) for name in value):
            return place
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    else:
        return None
    found = (unstorable(item, f"{place}.{name}", numbers=numbers) for name, item in items)
    return next((name for name in found if name is not None), None)
