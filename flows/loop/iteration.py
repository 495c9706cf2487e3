"""One iteration: the agent carries out one task of the plan."""

import asyncio
from collections.abc import Sequence
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from wildloop.flows.errors import PreflightFailed
from wildloop.flows.loop.agent_turn import agent_turn
from wildloop.flows.loop.branch import keep_on_branch
from wildloop.flows.loop.contract import review_metric
from wildloop.flows.loop.done import (
    NO_FINISHED_RUN,
    missing_deliverables,
    told_missing,
    was_asked,
)
from wildloop.flows.loop.effects import (
    close_turn,
    create_experiments,
    plan_before,
    review_plan,
    write_plan,
)
from wildloop.flows.loop.hooks import after_iteration, before_iteration
from wildloop.flows.loop.starting import begin_iteration
from wildloop.flows.loop.sweeping import active_sweep, begin_sweep, settle_sweep, take_up_sweep
from wildloop.flows.loop.waiting import wait_for_news, wait_for_runs
from wildloop.flows.loop.work import Work, current_work
from wildloop.flows.models.evo_sweep import EvoSweepRecord
from wildloop.flows.models.run import Run, RunStatus
from wildloop.flows.models.session_record import IterationRecord, Phase, SessionRecord
from wildloop.flows.prompt.untold import untold
from wildloop.flows.protocol.plan import has_abort_sentinel, open_tasks
from wildloop.flows.run.control import StopRequested
from wildloop.flows.session.position import Position
from wildloop.flows.turn.turn import Turn

NOTHING_TO_WAIT_FOR = "WAITING was answered, but no run of this session is queued or running."


async def next_iteration(work: Work) -> IterationRecord:
    """Carry out the next iteration, or the next call of one that has waited; return its record."""
    position = work.position
    # Saved with the call, which begins at once.
    position.record.phase = Phase.ITERATION
    index, number = next_call(position.record, position.spec.max_calls_per_iteration)
    if number == 1:
        index = position.next_index()
    label = IterationRecord(index=index, turn=number, started_at=0).label
    asked = {"session_id": position.id, "index": index, "turn": number, "label": label}
    last = await work.step(label, work.steps.run(iteration, asked))
    if last.promise == "DONE" and has_abort_sentinel(position.plan_text()):
        raise PreflightFailed(f"the agent aborted in {last.label}: {last.summary}")
    return last


def next_call(record: SessionRecord, max_calls: int) -> tuple[int, int]:
    """(index, turn) of the next call. A WAITING costs no iteration: the same one goes on.

    Only so many calls of an iteration may create runs, so that it comes to an end.
    """
    index = record.last_index
    if not record.goes_on(max_calls):
        return index + 1, 1
    calls = [it for it in record.iterations if it.kind == "iteration" and it.index == index]
    return index, len(calls) + 1


@flow(name="iteration", flow_run_name="{label}", persist_result=False)
async def iteration(session_id: str, index: int, turn: int, label: str) -> State[Any]:
    """One agent call of an iteration, with all that follows from its reply.

    Args:
        session_id: the session that this belongs to.
        index: number of the iteration, from 1.
        turn: number of the call within it, from 1.
        label: name of this call.
    """
    work = current_work()
    position, runs = work.position, work.stores.runs
    await keep_on_branch(position)
    before = await plan_before(position, label)
    earlier, faults = await asyncio.gather(
        runs.all(chat_session_id=position.id), begin_iteration(work, index, turn)
    )
    known = {run.id for run in earlier}
    hooks = await before_iteration(position, work.project, index, turn)
    try:
        told = {"hooks_section": hooks}
        call = await agent_turn(work, "iteration", index, turn, faults, told)
    except StopRequested as stop:
        return Cancelled(message=str(stop))
    write_plan(position, call, before)
    review_plan(position, call, before)
    review_metric(position, call, before)
    started = await create_experiments(position, work.stores, call)
    await begin_sweep(position, work.stores, call)
    sweep = await active_sweep(position, work.stores.evo)
    every = await runs.all(chat_session_id=position.id)
    _settle_promise(position, call, every, sweep)
    position.record.pending_runs = started
    await close_turn(work, call, every, known)
    await after_iteration(position, work.project, call.record)
    if call.record.failed:
        return Failed(message=call.record.error or "failed")
    return Completed(message=call.record.summary[:500] or "done")


def _settle_promise(
    position: Position, call: Turn, runs: Sequence[Run], sweep: EvoSweepRecord | None
) -> None:
    """Believe DONE only with nothing open, WAITING only with something to wait for."""
    # Those that are `ready` wait for the agent, not we.
    active = [
        run for run in runs if not run.status.is_terminal and run.status is not RunStatus.READY
    ]
    mine = [run for run in active if position.owns(run)]
    position.record.awaiting_turn = False
    if call.record.promise == "DONE":
        left = open_tasks(position.plan())
        if left:
            ids = ", ".join(task.id or task.text[:40] for task in left[:10])
            call.record.faults.append(f"DONE is not believed: {len(left)} tasks are open ({ids})")
        if active:
            names = ", ".join(f"{run.name} ({run.status.value})" for run in active[:10])
            call.record.faults.append(f"DONE is not believed: runs are active ({names})")
        if sweep is not None:
            call.record.faults.append(f"DONE is not believed: sweep '{sweep.name}' is under way")
        missing = missing_deliverables(position.plan(), [position.workdir, position.paths.root])
        if missing:
            call.record.faults.append(told_missing(missing))
        is_believed = not (left or active or missing) and sweep is None
        has_finished = any(run.status is RunStatus.FINISHED for run in runs)
        if is_believed and not has_finished and not was_asked(position.record.iterations):
            call.record.faults.append(NO_FINISHED_RUN)
            is_believed = False
        position.record.done = is_believed
    elif call.record.promise == "WAITING":
        # Short runs may have ended since the prompt was written: the agent has not seen them.
        ours = [run for run in runs if position.owns(run)]
        news = untold([*position.record.iterations, call.record], ours)
        position.record.awaiting_turn = bool(mine or sweep or news)
        if not position.record.awaiting_turn:
            call.record.faults.append(NOTHING_TO_WAIT_FOR)


async def rest(work: Work, last: IterationRecord) -> str | None:
    """Sleep where the last reply calls for it; say what ended the sleep, None for no sleep."""
    position, record = work.position, work.position.record
    sweeping = await take_up_sweep(work)
    has_asked = sweeping is not None and sweeping.label == last.label
    # After a list of experiments WAITING means the same as after calls of the API.
    if record.in_progress is not None:
        # A call that was interrupted goes on at once, beside the sweep.
        return None
    if last.promise == "WAITING" and record.awaiting_turn:
        await position.enter(Phase.WAITING)
        reason = await wait_for_news(work, last.wake)
    elif record.pending_runs or has_asked:
        await position.enter(Phase.WAITING)
        reason = await wait_for_runs(work, record.pending_runs)
    else:
        record.woken = ""
        return None
    record.pending_runs, record.woken = [], reason
    await settle_sweep(work)
    # An iteration that has had its calls is over, so that its change can be decided upon.
    record.awaiting_turn = record.goes_on(position.spec.max_calls_per_iteration)
    return reason
