"""What an agent's error message means: wait and try again, or not."""

import re
from datetime import UTC, datetime
from enum import StrEnum

from wildloop.blocks.agents.resets import seconds_until_reset

_EPOCH = datetime.fromtimestamp(0, UTC)
RATE_STATUS = 429
NETWORK_STATUS = frozenset({408, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})

# A quota that is used up for good is no rate limit: waiting does not mend it.
_SPENT = re.compile(
    r"insufficient[_ ]quota|exceeded your current quota|credit balance|billing", re.IGNORECASE
)
_RATE = re.compile(
    r"\b429\b|rate.?limit|too many requests|usage limit|resource_exhausted|throttl(?:ed|ing)\b"
    r"|(?:hit|reached|exceeded|exhausted) your .{0,40}(?:limit|quota|capacity)",
    re.IGNORECASE,
)
_NETWORK = re.compile(
    r"\bE(?:CONN\w+|NOTFOUND|AI_AGAIN|TIMEDOUT|PIPE|HOSTUNREACH|NETUNREACH)\b"
    r"|unable to connect|cannot connect|connection (?:error|refused|reset|closed|timed out)"
    r"|error sending request|stream (?:disconnected|closed)|\bsocket\b|fetch failed|network error"
    r"|request timed out|overloaded|empty or malformed response|dns error|\bAI_APICallError\b"
    r"|\b(?:status(?: code)?:? ?|error:? ?)(?:408|5\d\d)\b",
    re.IGNORECASE,
)


class Trouble(StrEnum):
    """Why a call went wrong."""

    RATE_LIMIT = "rate limit"
    NETWORK = "network"
    OTHER = "other"


def classify(message: str, status: int | None = None) -> Trouble:
    """What an error message of a model's API, with its HTTP status if known, means."""
    # One that is told to come back is none that is used up for good.
    if _SPENT.search(message) and seconds_until_reset(message, _EPOCH) is None:
        return Trouble.OTHER
    if status == RATE_STATUS or (status is None and _RATE.search(message)):
        return Trouble.RATE_LIMIT
    if status in NETWORK_STATUS or (status is None and _NETWORK.search(message)):
        return Trouble.NETWORK
    return Trouble.OTHER
