"""The agent's call itself: through restarts, rate limits and an absent network, in its time."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from prefect.logging import get_run_logger
from pydantic import BaseModel

from wildloop.blocks.agents.base import Agent, AgentReply, AgentRequest
from wildloop.blocks.agents.registry import load_agent, may_be_declared
from wildloop.blocks.launchers.record import RECORD
from wildloop.flows.models.session_record import IterationRecord
from wildloop.flows.models.spending import CallSoFar
from wildloop.flows.project import load_project
from wildloop.flows.run.control import StopReason
from wildloop.flows.session.position import Position
from wildloop.flows.spending import hours_end_at
from wildloop.flows.store.gpu_budget import keep_gpu_budget
from wildloop.flows.turn.activity import activity_log, tell_activity
from wildloop.flows.turn.caller import Caller
from wildloop.flows.turn.retry import (
    CUT_SLACK_SECONDS,
    Again,
    Finish,
    GiveUp,
    Hold,
    Rest,
    counted,
    next_step,
    summed,
)

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
    caller: Caller, record: IterationRecord, write_prompt: PromptWriter
) -> CallEnd:
    """Call the agent until it has replied; a call that was begun before a restart is adopted.

    A call that a rate limit or the network has ended is made again: after the time that was told,
    or a growing pause. Meanwhile the position's note says so. When patience is over, the session
    is paused.

    Args:
        caller: the session's.
        record: of the call; its label names the folders.
        write_prompt: makes the prompt; told whether an earlier attempt was interrupted.

    Raises:
        StopRequested: the session is to end or to pause.
    """
    position = caller.position.record
    interrupted = await _take_up(caller, record)
    while True:
        call = await _sit_out(caller)
        attempt, deadline = position.attempt, call_deadline(caller.position)
        folder = _folder(caller.position, record.label, attempt)
        prompt = await write_prompt(interrupted or call.has_begun)
        reply = await caller.control.guard(_carry_out(caller, record, folder, prompt, deadline))
        step = next_step(
            call,
            reply,
            _now(),
            deadline,
            attempt=attempt,
            is_closing=position.closing is not None,
        )
        if isinstance(step, Rest):
            await _rest(caller, step)
            step = Finish(was_cut=True)
        if isinstance(step, Finish):
            break
        interrupted = interrupted or isinstance(step, Again)
        await _go_on(caller, step)
    position.call, position.note = None, ""
    return CallEnd(
        reply=summed(call, reply),
        prompt=prompt,
        began_at=call.began_at,
        held_seconds=call.held_seconds,
        folders=[_folder(caller.position, record.label, n + 1) for n in range(attempt)],
        was_cut=step.was_cut,
    )


async def end_call_left(position: Position, agent: Agent | None) -> bool:
    """End the agent of the call under way, which an earlier worker may have left running.

    Args:
        position: where the session stands.
        agent: where it has been loaded.

    Returns:
        Whether its last attempt had begun.
    """
    label = position.record.in_progress
    if label is None:
        return False
    folder = _folder(position, label, position.record.attempt)
    if not (folder / RECORD).exists():
        return False
    if agent is None:
        name = position.spec.agent
        project = load_project(position.workdir) if may_be_declared(name) else None
        agent = await load_agent(name, project.agents if project is not None else None)
    await agent.stop(folder)
    return True


def call_deadline(position: Position) -> float | None:
    """When a call must have ended, in Unix seconds; None: by its own time-out only."""
    if (closing := position.record.closing) is not None and closing.reflect_by is not None:
        return closing.reflect_by
    return hours_end_at(position.spec.budget, position.record)


async def _take_up(caller: Caller, record: IterationRecord) -> bool:
    """Note the call as begun; return whether an earlier attempt at it was interrupted."""
    position = caller.position.record
    if position.in_progress != record.label:
        position.in_progress, position.attempt = record.label, 1
        position.call = CallSoFar(began_at=_now())
        await caller.position.save()
        return False
    call = position.call or CallSoFar(began_at=_now())
    folder = _folder(caller.position, record.label, position.attempt)
    if position.call is None or not folder.is_dir():
        position.call = await _with_interrupted(
            caller, record, call.model_copy(update={"began_at": _now()})
        )
        await caller.position.save()
    return call.resume_at is None


async def _with_interrupted(caller: Caller, record: IterationRecord, call: CallSoFar) -> CallSoFar:
    """The call with what an attempt has taken that a pause ended before it could be counted."""
    position = caller.position
    last = position.record.attempt - 1
    folder = _folder(position, record.label, last)
    if last <= call.counted or not (folder / RECORD).exists():
        return call
    # A call that has ended is read, not repeated.
    reply = await caller.agent.run(
        AgentRequest(
            prompt="",
            workdir=position.workdir,
            env=caller.environment(record.kind, record.index),
            timeout_seconds=position.spec.iteration_timeout_seconds,
            record=folder,
        )
    )
    return counted(call, reply, last, began_at=call.began_at)


def _folder(position: Position, label: str, attempt: int) -> Path:
    return position.paths.processes / f"{label}.{attempt}"


async def _carry_out(
    caller: Caller,
    record: IterationRecord,
    folder: Path,
    prompt: str,
    deadline: float | None,
) -> AgentReply:
    """One attempt, ended at the deadline."""
    position = caller.position
    assert position.record.call is not None
    began = position.record.call.began_at
    seconds = position.spec.iteration_timeout_seconds
    if deadline is not None:
        seconds = max(1.0, min(seconds, deadline - began))
    request = AgentRequest(
        prompt=prompt,
        workdir=position.workdir,
        env=caller.environment(record.kind, record.index),
        timeout_seconds=seconds,
        record=folder,
    )
    call = asyncio.ensure_future(caller.agent.run(request))
    telling = asyncio.ensure_future(tell_activity(caller, record.label, folder))
    try:
        await _watch(caller, call, folder, deadline)
        reply = await call
        await asyncio.wait({telling}, timeout=LAST_LINES_SECONDS)
    finally:
        for task in (call, telling):
            task.cancel()
        await asyncio.wait({call, telling})
        if not telling.cancelled() and (fault := telling.exception()) is not None:
            get_run_logger().error("%s: its activity was not told: %r", record.label, fault)
    return reply


async def _watch(
    caller: Caller,
    call: "asyncio.Future[AgentReply]",
    folder: Path,
    deadline: float | None,
) -> None:
    """Wait for the end of the call; end it at the deadline, keep the GPU-hours meanwhile."""
    left = LOOK_SECONDS
    while not call.done():
        if deadline is not None:
            left = min(left, deadline + CUT_SLACK_SECONDS - _now())
        if left <= 0:
            # From outside, so that what it has said until now is kept.
            await caller.agent.stop(folder)
            return
        await asyncio.wait({call}, timeout=left)
        if not call.done():
            left = min(LOOK_SECONDS, await _keep_gpu_budget(caller) or LOOK_SECONDS)


async def _go_on(caller: Caller, step: Again | Hold | GiveUp) -> None:
    """Note that another attempt follows, and tell why it has to wait.

    Raises:
        StopRequested: the session is paused, so that nothing is lost.
    """
    position, logger = caller.position.record, get_run_logger()
    position.call, position.attempt = step.call, position.attempt + 1
    if isinstance(step, Again):
        await caller.position.save()
        return
    position.note = step.note
    await caller.position.save()
    if isinstance(step, Hold):
        logger.warning("%s", step.note)
        activity_log(caller).add(position.in_progress or "", step.note)
        return
    logger.error("%s", step.note)
    await caller.stores.sessions.pause(caller.position.id, step.note)
    caller.control.request(StopReason.PAUSE)
    caller.control.check()


async def _sit_out(caller: Caller) -> CallSoFar:
    """Wait until the call is due, if it is held; return it."""
    position = caller.position.record
    assert position.call is not None
    if (due := position.call.resume_at) is not None:
        await caller.control.guard(_sleep_until(caller, due))
        fresh = {"resume_at": None, "began_at": _now()}
        position.call, position.note = position.call.model_copy(update=fresh), ""
        await caller.position.save()
    return position.call


async def _rest(caller: Caller, step: Rest) -> None:
    """The limit outlasts the budget of hours: let the runs have the rest of it."""
    caller.position.record.note = step.note
    await caller.position.save()
    get_run_logger().warning("%s", step.note)
    await caller.control.guard(_sleep_until(caller, step.until))


async def _sleep_until(caller: Caller, due: float) -> None:
    while (left := due - _now()) > 0:
        await asyncio.sleep(min(left, LOOK_SECONDS))
        await _keep_gpu_budget(caller)


async def _keep_gpu_budget(caller: Caller) -> float:
    position = caller.position
    return await keep_gpu_budget(position.spec.budget, position.record, caller.stores.runs)


def _now() -> float:
    return datetime.now(UTC).timestamp()
