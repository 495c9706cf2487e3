"""The agent's call itself: through restarts, rate limits and an absent network, in its time."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from prefect.logging import get_run_logger
from pydantic import BaseModel

from blocks.agents.attempts import PASSING
from blocks.agents.base import AgentReply, AgentRequest
from blocks.agents.prices import Usage
from blocks.agents.registry import load_agent
from blocks.launchers.record import RECORD
from flows.activity import activity_log, tell_activity
from flows.control import StopReason
from flows.models.session_record import IterationRecord
from flows.models.spending import CallSoFar
from flows.session import ResearchSession
from flows.spending import hours_end_at
from flows.upkeep import keep_gpu_budget

# How long a session waits, in all and for one call, before it pauses itself.
PATIENCE_SECONDS = {"rate_limited": 6 * 3600.0, "unreachable": 1800.0}
WHAT = {"rate_limited": "rate limit", "unreachable": "network or API"}
FIRST_PAUSE_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 300.0
# The agent's own time-out comes first, since it keeps more of what was said.
CUT_SLACK_SECONDS = 2.0
LOOK_SECONDS = 15.0
LAST_LINES_SECONDS = 2.0

PromptWriter = Callable[[bool], Awaitable[str]]


class CallEnd(BaseModel):
    """What came of a call: the reply with the sums of all attempts, and the last prompt."""

    reply: AgentReply
    prompt: str
    began_at: float
    held_seconds: float = 0.0
    folders: list[Path]
    was_cut: bool = False


async def call_agent(
    session: ResearchSession, record: IterationRecord, write_prompt: PromptWriter
) -> CallEnd:
    """Call the agent until it has replied; a call that was begun before a restart is adopted.

    A call that a rate limit or the network has ended is made again: after the time that was told,
    or a growing pause. Meanwhile `session.record.note` says so. When patience is over, the session
    is paused.

    Args:
        session: the session.
        record: of the call; its label names the folders.
        write_prompt: makes the prompt; told whether an earlier attempt was interrupted.

    Raises:
        StopRequested: the session is to end or to pause.
    """
    interrupted = await _take_up(session, record)
    position = session.record
    while True:
        call = _so_far(session)
        await _sit_out(session, call)
        folder = _folder(session, record, position.attempt)
        deadline = call_deadline(session)
        prompt = await write_prompt(interrupted or call.has_begun)
        reply, was_cut = await session.control.guard(
            _carry_out(session, record, folder, prompt, deadline)
        )
        if reply.exit_reason == "interrupted" and not was_cut:
            interrupted = True
            await _next_attempt(session, reply)
        elif not await _is_held(session, reply, deadline):
            break
    end = CallEnd(
        reply=_sum(call, reply),
        prompt=prompt,
        began_at=call.began_at,
        held_seconds=call.held_seconds,
        folders=[_folder(session, record, number + 1) for number in range(position.attempt)],
        was_cut=was_cut or (reply.exit_reason in PASSING and _is_past(deadline)),
    )
    position.call, position.note = None, ""
    return end


async def end_call_left(session: ResearchSession) -> bool:
    """End the agent of the call under way, which an earlier worker may have left running.

    Returns:
        Whether its last attempt had begun.
    """
    label, attempt = session.record.in_progress, session.record.attempt
    folder = session.paths.processes / f"{label}.{attempt}"
    if label is None or not (folder / RECORD).exists():
        return False
    agent = session.agent or await load_agent(session.spec.agent)
    await agent.stop(folder)
    return True


def call_deadline(session: ResearchSession) -> float | None:
    """When a call must have ended, in Unix seconds; None: by its own time-out only."""
    if (closing := session.record.closing) is not None and closing.reflect_by is not None:
        return closing.reflect_by
    return hours_end_at(session.spec.budget, session.record)


async def _take_up(session: ResearchSession, record: IterationRecord) -> bool:
    """Note the call as begun; return whether an earlier attempt at it was interrupted."""
    position = session.record
    known = position.in_progress == record.label
    if not known:
        position.in_progress, position.attempt, position.call = record.label, 1, None
    call, folder = position.call, _folder(session, record, position.attempt)
    was_held = call is not None and call.resume_at is not None
    if call is None or not folder.is_dir():
        _so_far(session).began_at = _now()
        if known:
            await _count_interrupted(session, record)
        await session.save()
    return known and not was_held


async def _count_interrupted(session: ResearchSession, record: IterationRecord) -> None:
    """Count what an attempt has taken that was ended by a pause, before it could be counted."""
    assert session.agent is not None
    last = session.record.attempt - 1
    folder = _folder(session, record, last)
    if last <= _so_far(session).counted or not (folder / RECORD).exists():
        return
    # A call that has ended is read, not repeated.
    reply = await session.agent.run(
        AgentRequest(
            prompt="",
            workdir=session.workdir,
            env=session.agent_environment(record.kind, record.index),
            timeout_seconds=session.spec.iteration_timeout_seconds,
            record=folder,
        )
    )
    _count(session, reply, last)


def _count(session: ResearchSession, reply: AgentReply, attempt: int) -> None:
    """Add what an attempt has taken to the sums."""
    call = _so_far(session)
    total = _sum(call, reply)
    call.usage = Usage.model_validate(total.usage) if total.usage else None
    call.cost_usd, call.cost_is_estimate = total.cost_usd, total.cost_is_estimate
    call.num_turns = total.num_turns or 0
    call.has_begun = call.has_begun or bool(reply.num_turns or reply.text)
    call.counted = attempt


def _so_far(session: ResearchSession) -> CallSoFar:
    if session.record.call is None:
        session.record.call = CallSoFar(began_at=_now())
    return session.record.call


def _folder(session: ResearchSession, record: IterationRecord, attempt: int) -> Path:
    return session.paths.processes / f"{record.label}.{attempt}"


async def _carry_out(
    session: ResearchSession,
    record: IterationRecord,
    folder: Path,
    prompt: str,
    deadline: float | None,
) -> tuple[AgentReply, bool]:
    """One attempt, ended at the deadline; (reply, whether the deadline has ended it)."""
    assert session.agent is not None
    began = _so_far(session).began_at
    seconds = session.spec.iteration_timeout_seconds
    if deadline is not None:
        seconds = max(1.0, min(seconds, deadline - began))
    request = AgentRequest(
        prompt=prompt,
        workdir=session.workdir,
        env=session.agent_environment(record.kind, record.index),
        timeout_seconds=seconds,
        record=folder,
    )
    call = asyncio.ensure_future(session.agent.run(request))
    telling = asyncio.ensure_future(tell_activity(session, record.label, folder))
    try:
        await _watch(session, call, folder, deadline)
        reply = await call
        await asyncio.wait({telling}, timeout=LAST_LINES_SECONDS)
    finally:
        for task in (call, telling):
            task.cancel()
        await asyncio.wait({call, telling})
        if not telling.cancelled() and (fault := telling.exception()) is not None:
            get_run_logger().error("%s: its activity was not told: %r", record.label, fault)
    return reply, reply.exit_reason in ("timeout", "interrupted") and _is_past(deadline)


async def _watch(
    session: ResearchSession,
    call: "asyncio.Future[AgentReply]",
    folder: Path,
    deadline: float | None,
) -> None:
    """Wait for the end of the call; end it at the deadline, keep the GPU-hours meanwhile."""
    assert session.agent is not None
    left = LOOK_SECONDS
    while not call.done():
        if deadline is not None:
            left = min(left, deadline + CUT_SLACK_SECONDS - _now())
        if left <= 0:
            # From outside, so that what it has said until now is kept.
            await session.agent.stop(folder)
            return
        await asyncio.wait({call}, timeout=left)
        if not call.done():
            left = min(LOOK_SECONDS, await keep_gpu_budget(session) or LOOK_SECONDS)


async def _next_attempt(session: ResearchSession, reply: AgentReply) -> None:
    """Note that another attempt follows, with what this one has taken."""
    _count(session, reply, session.record.attempt)
    _so_far(session).began_at = _now()
    session.record.attempt += 1
    await session.save()


async def _is_held(session: ResearchSession, reply: AgentReply, deadline: float | None) -> bool:
    """Whether the call is to be made again, later; if so, that is noted."""
    if reply.exit_reason not in PASSING:
        return False
    call, now = _so_far(session), _now()
    pause = reply.retry_after_seconds
    if pause is None:
        pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**call.holds)
    if deadline is not None and now + pause >= deadline:
        if session.record.closing is None:
            await _rest_until(session, deadline, reply)
        return False
    if call.held_seconds + pause > PATIENCE_SECONDS[reply.exit_reason]:
        await _give_up(session, reply)
    call.holds += 1
    call.held_seconds += pause
    call.resume_at = now + pause
    session.record.note = _note(reply, call.resume_at)
    await _next_attempt(session, reply)
    get_run_logger().warning("%s", session.record.note)
    activity_log(session).add(session.record.in_progress or "", session.record.note)
    return True


async def _sit_out(session: ResearchSession, call: CallSoFar) -> None:
    """Wait until a held call is due."""
    if call.resume_at is None:
        return
    await session.control.guard(_sleep_until(session, call.resume_at))
    call.resume_at, call.began_at, session.record.note = None, _now(), ""
    await session.save()


async def _rest_until(session: ResearchSession, deadline: float, reply: AgentReply) -> None:
    """The limit outlasts the budget of hours: let the runs have the rest of it."""
    session.record.note = _note(reply, deadline)
    await session.save()
    get_run_logger().warning("%s", session.record.note)
    await session.control.guard(_sleep_until(session, deadline))


async def _sleep_until(session: ResearchSession, due: float) -> None:
    while (left := due - _now()) > 0:
        await asyncio.sleep(min(left, LOOK_SECONDS))
        await keep_gpu_budget(session)


async def _give_up(session: ResearchSession, reply: AgentReply) -> None:
    """Pause the session, so that nothing is lost: its user resumes it when the agent is back.

    Raises:
        StopRequested: always.
    """
    what, hours = WHAT[reply.exit_reason], PATIENCE_SECONDS[reply.exit_reason] / 3600
    text = (
        f"paused: the agent's {what} holds it up for longer than {hours:g} h "
        f"({reply.error or 'no reason told'}); resume it once it is back"
    )
    get_run_logger().error("%s", text)
    call = _so_far(session)
    call.holds, call.held_seconds, session.record.note = 0, 0.0, text
    await _next_attempt(session, reply)
    await session.sessions.pause(session.id, text)
    session.control.request(StopReason.PAUSE)
    session.control.check()


def _note(reply: AgentReply, until: float) -> str:
    form = "%H:%M:%S UTC" if until - _now() < 12 * 3600 else "%Y-%m-%d %H:%M UTC"
    when = datetime.fromtimestamp(until, UTC).strftime(form)
    return f"waiting for the agent's {WHAT[reply.exit_reason]} until {when}: {reply.error or ''}"


def _sum(call: CallSoFar, reply: AgentReply) -> AgentReply:
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


def _is_past(deadline: float | None) -> bool:
    return deadline is not None and _now() >= deadline - CUT_SLACK_SECONDS


def _now() -> float:
    return datetime.now(UTC).timestamp()
