"""What follows an attempt at an agent's call. Functions of values, without effects."""

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

from wildloop.blocks.agents.attempts import PASSING
from wildloop.blocks.agents.base import AgentReply, ExitReason
from wildloop.blocks.agents.prices import Usage
from wildloop.flows.models.spending import CallSoFar

# How long a session waits, in all and for one call, before it pauses itself.
PATIENCE_SECONDS: dict[ExitReason, float] = {"rate_limited": 6 * 3600.0, "unreachable": 1800.0}
WHAT: dict[ExitReason, str] = {"rate_limited": "rate limit", "unreachable": "network or API"}
FIRST_PAUSE_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 300.0
# Told times that lie in the past must not make calls without a pause.
BELIEVED_HOLDS = 5
# The agent's own time-out comes first, since it keeps more of what was said.
CUT_SLACK_SECONDS = 2.0
CLOCK_ONLY_SECONDS = 12 * 3600.0


class _Step(BaseModel):
    model_config = ConfigDict(frozen=True)


class Finish(_Step):
    """The call is over, with this reply; `was_cut`: the deadline has ended it."""

    was_cut: bool = False


class Rest(_Step):
    """A limit outlasts the deadline: until then the session's runs go on, then the call is over."""

    until: float
    note: str


class Again(_Step):
    """The attempt was interrupted: the call is made again at once."""

    call: CallSoFar


class Hold(_Step):
    """A limit or the network is in the way: the call is made again at `call.resume_at`."""

    call: CallSoFar
    note: str


class GiveUp(_Step):
    """Patience is over: the session pauses; the call is made again when its user resumes it."""

    call: CallSoFar
    note: str


Step = Finish | Rest | Again | Hold | GiveUp


def next_step(
    call: CallSoFar,
    reply: AgentReply,
    now: float,
    deadline: float | None,
    *,
    attempt: int = 1,
    is_closing: bool = False,
) -> Step:
    """What follows an attempt that has ended with `reply`.

    Args:
        call: what the attempts before it have come to.
        reply: how it has ended.
        now: the present, Unix seconds.
        deadline: when the call must have ended, Unix seconds; None: by its own time-out only.
        attempt: its number.
        is_closing: the session is at its end, so that there is nothing to rest for.
    """
    is_late = is_past(deadline, now)
    if reply.exit_reason == "interrupted" and not is_late:
        return Again(call=counted(call, reply, attempt, began_at=now))
    if reply.exit_reason not in PASSING:
        return Finish(was_cut=is_late and reply.exit_reason in ("interrupted", "timeout"))
    pause = _pause(call.holds, reply.retry_after_seconds)
    if deadline is not None and now + pause >= deadline:
        if is_closing:
            return Finish(was_cut=is_late)
        return Rest(until=deadline, note=_waiting(reply, deadline, now))
    after = counted(call, reply, attempt, began_at=now)
    if call.held_seconds + pause > PATIENCE_SECONDS[reply.exit_reason]:
        # Patience begins anew when the session is resumed.
        fresh = after.model_copy(update={"holds": 0, "held_seconds": 0.0})
        return GiveUp(call=fresh, note=_given_up(reply))
    held = {
        "holds": call.holds + 1,
        "held_seconds": call.held_seconds + pause,
        "resume_at": now + pause,
    }
    return Hold(call=after.model_copy(update=held), note=_waiting(reply, now + pause, now))


def _pause(holds: int, told: float | None) -> float:
    """How long to wait: as long as was told, unless that has been wrong again and again."""
    believed = told is not None and holds < BELIEVED_HOLDS
    doublings = holds if told is None else holds - BELIEVED_HOLDS
    growing = FIRST_PAUSE_SECONDS * 2.0 ** min(doublings, 16)
    own = 0.0 if believed else min(LONGEST_PAUSE_SECONDS, growing)
    return max(own, told or 0.0)


def counted(call: CallSoFar, reply: AgentReply, attempt: int, began_at: float) -> CallSoFar:
    """The call with what an attempt has taken in its sums; the next one begins at `began_at`."""
    total = summed(call, reply)
    return call.model_copy(
        update={
            "began_at": began_at,
            "usage": Usage.model_validate(total.usage) if total.usage else None,
            "cost_usd": total.cost_usd,
            "cost_is_estimate": total.cost_is_estimate,
            "num_turns": total.num_turns or 0,
            "has_begun": call.has_begun or bool(reply.num_turns or reply.text),
            "counted": attempt,
        }
    )


def summed(call: CallSoFar, reply: AgentReply) -> AgentReply:
    """The reply with what the earlier attempts have taken."""
    usage = call.usage or Usage()
    if reply.usage:
        usage = usage + Usage.model_validate(reply.usage)
    costs = [cost for cost in (call.cost_usd, reply.cost_usd) if cost is not None]
    return reply.model_copy(
        update={
            "usage": usage.model_dump() if usage != Usage() else {},
            "cost_usd": sum(costs) if costs else None,
            "cost_is_estimate": call.cost_is_estimate or reply.cost_is_estimate,
            "num_turns": call.num_turns + (reply.num_turns or 0) or None,
        }
    )


def is_past(deadline: float | None, now: float) -> bool:
    """Whether a call that ends now was ended by its deadline."""
    return deadline is not None and now >= deadline - CUT_SLACK_SECONDS


def _waiting(reply: AgentReply, until: float, now: float) -> str:
    form = "%H:%M:%S UTC" if until - now < CLOCK_ONLY_SECONDS else "%Y-%m-%d %H:%M UTC"
    when = datetime.fromtimestamp(until, UTC).strftime(form)
    return f"waiting for the agent's {WHAT[reply.exit_reason]} until {when}: {reply.error or ''}"


def _given_up(reply: AgentReply) -> str:
    what, hours = WHAT[reply.exit_reason], PATIENCE_SECONDS[reply.exit_reason] / 3600
    return (
        f"paused: the agent's {what} holds it up for longer than {hours:g} h "
        f"({reply.error or 'no reason told'}); resume it once it is back"
    )
