"""A call in several attempts: where each is recorded, when the next is due, what they give."""

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from wildloop.blocks.agents.base import AgentReply, ExitReason
from wildloop.blocks.agents.prices import Usage
from wildloop.blocks.agents.process import ENDED
from wildloop.blocks.agents.resets import seconds_until_reset
from wildloop.blocks.agents.streams import Reading
from wildloop.blocks.agents.troubles import Trouble, classify
from wildloop.blocks.launchers.local import LocalLauncher

STOPPED = "stopped"
DONE = "done"
# Any of these in a record, or an attempt's, says that no attempt follows.
ENDS = (DONE, STOPPED, ENDED)
RETRY = "retry-"
PAUSE_STEP_SECONDS = 0.5
# A call that ended so is worth another attempt.
PASSING: frozenset[ExitReason] = frozenset({"rate_limited", "unreachable"})


def attempt_folder(record: Path, number: int) -> Path:
    """Where attempt `number` of a call is recorded; the first, 0, in the record itself."""
    return record if number == 0 else record / f"{RETRY}{number:02d}"


def attempts(record: Path) -> list[Path]:
    """The folders of a call's attempts, oldest first."""
    return [record, *sorted(record.glob(f"{RETRY}*"))]


async def rest(record: Path, number: int, pause: float) -> bool:
    """Wait until the attempt after `number` is due; False if the call is stopped meanwhile."""
    if attempt_folder(record, number + 1).exists():
        return True
    ended = (await LocalLauncher().status(attempt_folder(record, number))).ended_at
    due = (ended or time.time()) + pause
    try:
        while not (record / STOPPED).exists():
            left = due - time.time()
            if left <= 0:
                return True
            await asyncio.sleep(min(left, PAUSE_STEP_SECONDS))
    except asyncio.CancelledError:
        (record / STOPPED).touch()
        raise
    return False


def has_begun(reply: AgentReply) -> bool:
    """Whether the model had answered before the attempt ended."""
    return bool(reply.num_turns or reply.text)


def verdict(
    plain: AgentReply, reading: Reading, ended_at: float
) -> tuple[ExitReason, str | None, float | None]:
    """Exit reason, error and pause, from how the process has ended and what its stream told."""
    if plain.exit_reason == "timeout" and reading.error is not None:
        return _overslept(plain, reading, ended_at)
    if plain.exit_reason not in ("finished", "failed"):
        return plain.exit_reason, plain.error, None
    if plain.exit_reason == "finished" and reading.complete and reading.error is None:
        return "finished", None, None
    message = reading.error or plain.error or "the tool ended without an answer"
    match classify(message, reading.status):
        case Trouble.RATE_LIMIT:
            return "rate_limited", message, _asked_pause(message, reading, ended_at)
        case Trouble.NETWORK:
            return "unreachable", message, _asked_pause(message, reading, ended_at)
    return "failed", message, None


def _overslept(
    plain: AgentReply, reading: Reading, ended_at: float
) -> tuple[ExitReason, str | None, float | None]:
    """A call whose time ran out while the tool waited for the API: it may be made again."""
    assert reading.error is not None
    message = f"{reading.error}; {plain.error}"
    match classify(reading.error, reading.status):
        case Trouble.RATE_LIMIT:
            return "rate_limited", message, _asked_pause(reading.error, reading, ended_at)
        case Trouble.NETWORK:
            return "unreachable", message, _asked_pause(reading.error, reading, ended_at)
    return "timeout", plain.error, None


def _asked_pause(message: str, reading: Reading, ended_at: float) -> float | None:
    if reading.retry_after is not None:
        return reading.retry_after
    if reading.resets_at is not None:
        return max(0.0, reading.resets_at - ended_at)
    return seconds_until_reset(message, datetime.fromtimestamp(ended_at).astimezone())


def together(replies: Sequence[AgentReply], stopped: bool) -> AgentReply:
    """One reply of all attempts: the last one's end, the sum of what they took."""
    last = replies[-1]
    changes: dict[str, object] = {}
    if stopped and last.exit_reason in PASSING:
        changes = {"exit_reason": "interrupted", "error": "the agent was ended from outside"}
    if len(replies) > 1:
        costs = [reply.cost_usd for reply in replies if reply.cost_usd is not None]
        usages = [Usage.model_validate(reply.usage) for reply in replies if reply.usage]
        changes |= {
            "text": next((reply.text for reply in reversed(replies) if reply.text), ""),
            "usage": sum(usages, Usage()).model_dump() if usages else {},
            "cost_usd": sum(costs) if costs else None,
            "cost_is_estimate": any(reply.cost_is_estimate for reply in replies),
            "num_turns": sum(reply.num_turns or 0 for reply in replies),
            "duration_seconds": sum(reply.duration_seconds for reply in replies),
        }
    return last.model_copy(update=changes)
