"""How long an error message asks to wait."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildloop.blocks.agents.resets import seconds_until_reset

NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
UNIX = int(NOON.timestamp())
HOUR = 3600.0


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


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Error: 429 Too Many Requests, try again in 2 minutes", 120),
        ("You've hit your limit, it resets in 2 minutes", 120),
        ("rate limited: retry after 30 s", 30),
        ("Please retry after 30", 30),
        ("retrying in about 2 minutes", 120),
        ("Please wait 5 minutes before you try again", 300),
        ("wait for 45 secs", 45),
        ("available in 1h20m0s", 80 * 60),
        ("try again in a minute", 60),
        ("try again in one hour", HOUR),
        ("Retry-After: 120", 120),
        ("retry-after: 2.5, server: nginx", 2.5),
        ('{"error": {"code": 429, "retry_after": 17}}', 17),
        ("retry_after_ms=1500", 1.5),
        ("retry-after-ms: 250", 0.25),
        ('"retryDelay": "34.07s"', 34.07),
        ("x-ratelimit-reset-tokens: 6m0s", 360),
        ("Limit of 100 requests in 1 minute reached, try again in 30 seconds", 30),
        ("Retry-After: Tue, 10 Mar 2026 12:10:00 GMT", 600),
        ("resets at 2026-03-10T12:30:00Z", 1800),
        ("anthropic-ratelimit-requests-reset: 2026-03-10T12:00:40.5+00:00", 40),
        ("try again after 2026-03-10 14:30 UTC", 2.5 * HOUR),
        ("your quota is back; blocked until 2026-03-10T13:00:00+02:00", 0),
        ("resets at 2026-03-10 12:15:00", 900),
        (f"x-ratelimit-reset: {UNIX + 90}", 90),
        (f'"resetsAt": {UNIX + 90}', 90),
        (f"reset={(UNIX + 90) * 1000}", 90),
        ("resets at 3pm", 3 * HOUR),
        ("resets at 3 p.m.", 3 * HOUR),
        ("resets at 15:30", 3.5 * HOUR),
        ("resets at 15:30 UTC", 3.5 * HOUR),
        ("resets 9am PT", 4 * HOUR),
        ("resets at midnight", 12 * HOUR),
        ("resets at midnight UTC", 12 * HOUR),
        ("resets tomorrow at 3pm", 27 * HOUR),
        ("resets Mar 12, 3pm (Europe/Berlin)", 50 * HOUR),
        ("resets 12 March at 15:00", 51 * HOUR),
        ("resets Jan 2 at 12:00", 298 * 24 * HOUR),
        ("reset time: 12:45", 2700),
        ("resets at 25:30", None),
        ("resets Feb 31, 3pm", None),
        ("resets soon", None),
        ("the run of 3 hours", None),
    ],
)
def test_wait_in_its_usual_forms(message: str, seconds: float | None) -> None:
    assert seconds_until_reset(message, NOON) == pytest.approx(seconds)


@given(message=st.text() | st.from_regex(r"(resets?|retry after|in) [0-9:apm. -]{0,30}"))
def test_any_message_gives_a_wait_or_none(message: str) -> None:
    assert (seconds_until_reset(message, NOON) or 0.0) >= 0.0


def test_long_messages_take_no_long_time() -> None:
    for piece in ("retry in ", "1 m ", "resets 1", "again 2026-03-1", "a ", "reset"):
        seconds_until_reset(piece * 100_000, NOON)
