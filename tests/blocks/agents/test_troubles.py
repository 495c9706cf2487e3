"""What error messages mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildloop.blocks.agents.troubles import Trouble, classify


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


@given(message=st.text(), status=st.none() | st.integers(100, 599))
def test_any_message_is_understood_somehow(message: str, status: int | None) -> None:
    assert classify(message, status) in Trouble
