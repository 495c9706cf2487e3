"""What follows an attempt at an agent's call: every way that it can end."""

from typing import Any

import pytest

from wildloop.blocks.agents.base import AgentReply, ExitReason
from wildloop.blocks.agents.prices import Usage
from wildloop.flows.models.spending import CallSoFar
from wildloop.flows.turn.retry import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    Again,
    Finish,
    GiveUp,
    Hold,
    Rest,
    Step,
    next_step,
    summed,
)

NOW = 1_700_000_000.0
SOON, LATER = NOW + 60, NOW + 86_400
PATIENT = 6 * 3600.0


def step(
    reason: ExitReason,
    deadline: float | None = None,
    *,
    pause: float | None = None,
    is_closing: bool = False,
    **call: Any,
) -> Step:
    reply = AgentReply(text="", exit_reason=reason, retry_after_seconds=pause, error="no")
    so_far = CallSoFar(began_at=NOW - 10, **call)
    return next_step(so_far, reply, NOW, deadline, attempt=3, is_closing=is_closing)


@pytest.mark.parametrize("reason", ["finished", "failed", "timeout"])
@pytest.mark.parametrize("deadline", [None, LATER])
def test_call_that_has_ended_of_itself_is_over(reason: ExitReason, deadline: float | None) -> None:
    assert step(reason, deadline) == Finish()


@pytest.mark.parametrize(
    ("reason", "deadline", "was_cut"),
    [
        ("timeout", NOW + 1, True),
        ("timeout", NOW - 5, True),
        ("timeout", SOON, False),
        ("interrupted", NOW + 1, True),
        ("finished", NOW - 5, False),
        ("failed", NOW - 5, False),
    ],
)
def test_only_a_call_that_the_deadline_ended_was_cut(
    reason: ExitReason, deadline: float, was_cut: bool
) -> None:
    assert step(reason, deadline) == Finish(was_cut=was_cut)


@pytest.mark.parametrize("deadline", [None, SOON, LATER])
def test_interrupted_attempt_is_made_again_at_once(deadline: float | None) -> None:
    after = step("interrupted", deadline, holds=2, held_seconds=90.0)
    assert isinstance(after, Again)
    assert (after.call.began_at, after.call.counted, after.call.resume_at) == (NOW, 3, None)
    assert (after.call.holds, after.call.held_seconds) == (2, 90.0)


@pytest.mark.parametrize("reason", ["rate_limited", "unreachable"])
@pytest.mark.parametrize(
    ("told", "holds", "pause"),
    [
        (None, 0, FIRST_PAUSE_SECONDS),
        (None, 2, 4 * FIRST_PAUSE_SECONDS),
        (None, 12, LONGEST_PAUSE_SECONDS),
        (7.0, 4, 7.0),
        (1700.0, 0, 1700.0),
        (1700.0, 9, 1700.0),
        (0.0, 3, 0.0),
        (0.0, 5, FIRST_PAUSE_SECONDS),
        (7.0, 6, 2 * FIRST_PAUSE_SECONDS),
        (0.0, 2000, LONGEST_PAUSE_SECONDS),
        (None, 2000, LONGEST_PAUSE_SECONDS),
    ],
)
def test_passing_trouble_holds_the_call(
    reason: ExitReason, told: float | None, holds: int, pause: float
) -> None:
    after = step(reason, LATER, pause=told, holds=holds, held_seconds=50.0)
    assert isinstance(after, Hold)
    assert after.call.resume_at == NOW + pause
    assert (after.call.holds, after.call.held_seconds) == (holds + 1, 50.0 + pause)
    assert after.note.startswith("waiting for the agent's ") and after.note.endswith(": no")


def test_note_names_what_is_waited_for_and_a_far_day() -> None:
    near, far = step("unreachable", pause=60.0), step("rate_limited", pause=5 * 3600.0)
    assert isinstance(near, Hold) and "network or API until 22:14:20 UTC" in near.note
    assert isinstance(far, Hold) and "rate limit until 03:13:20 UTC" in far.note
    resting = step("rate_limited", LATER, pause=2 * 86_400.0)
    assert isinstance(resting, Rest) and "until 2023-11-15 22:13 UTC" in resting.note


@pytest.mark.parametrize("pause", [60.0, 3 * 3600.0, 100 * 3600.0])
def test_limit_beyond_the_deadline_lets_the_runs_have_the_rest(pause: float) -> None:
    after = step("rate_limited", SOON, pause=pause)
    assert isinstance(after, Rest) and after.until == SOON


@pytest.mark.parametrize(("deadline", "was_cut"), [(SOON, False), (NOW + 1, True)])
def test_session_at_its_end_rests_for_no_limit(deadline: float, was_cut: bool) -> None:
    assert step("rate_limited", deadline, pause=60.0, is_closing=True) == Finish(was_cut=was_cut)


def test_session_at_its_end_still_waits_for_what_passes_in_time() -> None:
    assert isinstance(step("rate_limited", SOON, pause=5.0, is_closing=True), Hold)


@pytest.mark.parametrize(
    ("reason", "held", "pause", "gives_up"),
    [
        ("rate_limited", 0.0, PATIENT, False),
        ("rate_limited", 1.0, PATIENT, True),
        ("rate_limited", 0.0, 7 * 3600.0, True),
        ("unreachable", 1700.0, 100.0, False),
        ("unreachable", 1701.0, 100.0, True),
    ],
)
def test_patience_has_an_end_and_begins_anew(
    reason: ExitReason, held: float, pause: float, gives_up: bool
) -> None:
    after = step(reason, pause=pause, holds=4, held_seconds=held)
    assert isinstance(after, GiveUp) is gives_up
    if isinstance(after, GiveUp):
        assert (after.call.holds, after.call.held_seconds, after.call.resume_at) == (0, 0.0, None)
        assert after.note.startswith("paused: ") and "(no); resume it" in after.note


def test_every_attempt_counts_once() -> None:
    call = CallSoFar(began_at=NOW, usage=Usage(input=10, output=1), cost_usd=0.5, num_turns=2)
    reply = AgentReply(
        text="begun",
        exit_reason="interrupted",
        usage=Usage(input=5, output=2).model_dump(),
        cost_usd=0.25,
        cost_is_estimate=True,
        num_turns=1,
    )
    after = next_step(call, reply, NOW, None, attempt=2)
    assert isinstance(after, Again)
    assert after.call.usage == Usage(input=15, output=3)
    assert (after.call.cost_usd, after.call.cost_is_estimate) == (0.75, True)
    assert (after.call.num_turns, after.call.counted, after.call.has_begun) == (3, 2, True)
    last = summed(after.call, AgentReply(text="done", exit_reason="finished", num_turns=1))
    assert (last.cost_usd, last.num_turns, last.usage["input"]) == (0.75, 4, 15)
    # The record that was given is as it was.
    assert (call.cost_usd, call.num_turns, call.counted) == (0.5, 2, 0)


def test_attempt_that_said_nothing_has_not_begun() -> None:
    after = step("unreachable")
    assert isinstance(after, Hold) and not after.call.has_begun
