"""What error messages mean, and how long they ask to wait."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.agents.troubles import Trouble, classify, seconds_until_reset

NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
HOUR = 3600.0


@pytest.mark.parametrize(
    ("message", "status", "trouble"),
    [
        ("slow down", 429, Trouble.RATE_LIMIT),
        ("exceeded retry limit, last status: 429 Too Many Requests", None, Trouble.RATE_LIMIT),
        ("You've hit your usage limit.", None, Trouble.RATE_LIMIT),
        ("You've hit your session limit · resets 3pm", None, Trouble.RATE_LIMIT),
        ("Claude AI usage limit reached|1700000000", None, Trouble.RATE_LIMIT),
        ("You exceeded your current quota, check your plan", 429, Trouble.OTHER),
        ("Your credit balance is too low", 400, Trouble.OTHER),
        ("AI_APICallError: Rate limit reached", None, Trouble.RATE_LIMIT),
        ("AI_APICallError: Bad gateway", None, Trouble.NETWORK),
        ("overloaded", 529, Trouble.NETWORK),
        ("Internal server error", 500, Trouble.NETWORK),
        ("Unable to connect to API (ECONNRESET)", None, Trouble.NETWORK),
        ("stream disconnected before completion: error sending request", None, Trouble.NETWORK),
        ("unexpected status 529 <unknown status code>: overloaded", None, Trouble.NETWORK),
        ("unexpected status 503 Service Unavailable", None, Trouble.NETWORK),
        ("getaddrinfo ENOTFOUND api.example.org", None, Trouble.NETWORK),
        ("bad key", 401, Trouble.OTHER),
        ("unexpected status 401 Unauthorized: bad key", None, Trouble.OTHER),
        ("prompt is too long: 429000 tokens", 400, Trouble.OTHER),
        ("prompt is too long: 429000 tokens", None, Trouble.OTHER),
        ("", None, Trouble.OTHER),
    ],
)
def test_kind_of_trouble(message: str, status: int | None, trouble: Trouble) -> None:
    assert classify(message, status) is trouble


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Please try again in 1.5s.", 1.5),
        ("Please try again in 350ms", 0.35),
        ("try again in 1 hour 20 minutes.", 80 * 60),
        ("try again in 2 days, 3 hours and 5 minutes", 51 * HOUR + 300),
        ("Retry after 30 seconds", 30),
        ("hit your limit · resets 3pm", 3 * HOUR),
        ("hit your limit · resets at 11:30am", 23.5 * HOUR),
        ("hit your limit · resets 12pm", 24 * HOUR),
        ("hit your limit · resets 3pm (Europe/Berlin)", 2 * HOUR),
        ("try again at 1:15 PM.", 1.25 * HOUR),
        (f"limit reached|{int(NOON.timestamp()) + 90}", 90),
        (f"limit reached|{int(NOON.timestamp()) - 90}", 0),
        ("hit your limit · resets 3pm (Nowhere/None)", None),
        ("hit your limit · resets 13pm", None),
        ("too many requests", None),
        ("in time", None),
    ],
)
def test_wait_that_a_message_asks_for(message: str, seconds: float | None) -> None:
    assert seconds_until_reset(message, NOON) == pytest.approx(seconds)


@given(message=st.text(), status=st.none() | st.integers(100, 599))
def test_any_message_is_understood_somehow(message: str, status: int | None) -> None:
    assert classify(message, status) in Trouble
    assert (seconds_until_reset(message, NOON) or 0.0) >= 0.0
