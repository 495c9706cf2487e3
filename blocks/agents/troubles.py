"""What an agent's error message means: wait and try again, or not."""

import re
from datetime import datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

RATE_STATUS = 429
NETWORK_STATUS = frozenset({408, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})

# A quota that is used up for good is no rate limit: waiting does not mend it.
_SPENT = re.compile(
    r"insufficient[_ ]quota|exceeded your current quota|credit balance|billing", re.IGNORECASE
)
_RATE = re.compile(
    r"\b429\b|rate.?limit|too many requests|usage limit|(?:hit|reached) your .{0,20}limit",
    re.IGNORECASE,
)
_NETWORK = re.compile(
    r"\bE(?:CONN\w+|NOTFOUND|AI_AGAIN|TIMEDOUT|PIPE|HOSTUNREACH|NETUNREACH)\b"
    r"|unable to connect|cannot connect|connection (?:error|refused|reset|closed|timed out)"
    r"|error sending request|stream (?:disconnected|closed)|socket|fetch failed|network error"
    r"|request timed out|overloaded|empty or malformed response|dns error|\bAI_APICallError\b"
    r"|\b(?:status(?: code)?:? ?|error:? ?)(?:408|5\d\d)\b",
    re.IGNORECASE,
)
_IN = re.compile(
    r"(?:in|after)\s+((?:\d+(?:\.\d+)?\s*(?:ms|milliseconds?|d|days?|h|hours?|hrs?"
    r"|m|min|minutes?|s|sec|seconds?)\b[\s,and]*)+)",
    re.IGNORECASE,
)
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|mil|d|h|m|s)", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "mil": 0.001, "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_AT = re.compile(
    r"(?:resets?|again)(?: at)?\s+(\d{1,2})(?::(\d\d))?\s*(am|pm)\b(?:\s*\(([\w/+-]+)\))?",
    re.IGNORECASE,
)
_UNIX = re.compile(r"\|(\d{10})(?:\d{3})?\b")


class Trouble(StrEnum):
    """Why a call went wrong."""

    RATE_LIMIT = "rate limit"
    NETWORK = "network"
    OTHER = "other"


def classify(message: str, status: int | None = None) -> Trouble:
    """What an error message of a model's API, with its HTTP status if known, means."""
    if _SPENT.search(message):
        return Trouble.OTHER
    if status == RATE_STATUS or (status is None and _RATE.search(message)):
        return Trouble.RATE_LIMIT
    if status in NETWORK_STATUS or (status is None and _NETWORK.search(message)):
        return Trouble.NETWORK
    return Trouble.OTHER


def seconds_until_reset(message: str, now: datetime) -> float | None:
    """How long to wait, where a message tells it.

    Understood are `try again in 1 hour 20 minutes`, `resets 3pm (Europe/Berlin)` (the next such
    time; without a zone that of `now`) and `...|1700000000` (Unix seconds).

    Args:
        message: the error message.
        now: the present time, with its zone.
    """
    if (found := _IN.search(message)) is not None:
        parts = _AMOUNT.findall(found[1])
        return sum(float(count) * _SECONDS[unit.lower()] for count, unit in parts)
    if (found := _UNIX.search(message)) is not None:
        return max(0.0, float(found[1]) - now.timestamp())
    if (found := _AT.search(message)) is not None:
        return _until_clock(int(found[1]), int(found[2] or 0), found[3].lower(), found[4], now)
    return None


def _until_clock(
    hour: int, minute: int, half: str, zone: str | None, now: datetime
) -> float | None:
    if not 1 <= hour <= 12 or minute > 59:
        return None
    here = now
    if zone:
        try:
            here = now.astimezone(ZoneInfo(zone))
        except (ZoneInfoNotFoundError, ValueError):
            return None
    hour = hour % 12 + (12 if half == "pm" else 0)
    reset = here.replace(hour=hour, minute=minute, second=0, microsecond=0)
    if reset <= here:
        reset += timedelta(days=1)
    return (reset - here).total_seconds()
