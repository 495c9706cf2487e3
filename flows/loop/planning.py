"""Planning, iteration 0: the agent explores the repository and writes the plan."""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from wildloop.flows.errors import PreflightFailed
from wildloop.flows.loop.agent_turn import agent_turn
from wildloop.flows.loop.approval import approval, asks_for_plan
from wildloop.flows.loop.branch import keep_on_branch
from wildloop.flows.loop.contract import review_metric
from wildloop.flows.loop.effects import close_turn, tell_misplaced, write_plan
from wildloop.flows.loop.work import Work, current_work
from wildloop.flows.models.session_record import IterationRecord, Phase
from wildloop.flows.protocol.plan import abort_checklist, has_abort_sentinel, is_abort
from wildloop.flows.protocol.plan_bounds import PlanBounds, bounds_faults
from wildloop.flows.protocol.plan_rules import plan_faults
from wildloop.flows.run.control import StopRequested
from wildloop.flows.session.position import Position
from wildloop.flows.spending import spending, spent_bound
from wildloop.flows.turn.turn import Turn

ATTEMPTS = 3
MOST_PLANS = 8
REJECTED = (
    "The user has read the plan and rejected it: %s. Change tasks.md so that it meets this, and "
    "answer as for a new plan."
)
SHOWN_TASKS = 40


async def plan_session(work: Work) -> None:
    """Have the plan written; a plan that breaks the rules is sent back once.

    Raises:
        PreflightFailed: the agent aborted because the API or the skill does not answer.
        PlanningFailed: there is no plan after three calls.
    """
    position, record = work.position, work.position.record
    # Saved with the call, which begins at once.
    record.phase = Phase.PLANNING
    # The agent writes the plan into it, maybe by a plain `cat >`.
    position.paths.root.mkdir(parents=True, exist_ok=True)
    # A session that is taken up again goes on with the next call.
    calls = [it for it in record.iterations if it.kind == "planning"]
    faults = calls[-1].faults if calls else []
    for attempt in range(len(calls) + 1, ATTEMPTS + 1):
        label = "planning" if attempt == 1 else f"planning.{attempt}"
        last = await work.step(label, planning(position.id, label, faults, return_state=True))
        if is_abort(last.summary, last.promise, position.plan_text()):
            await abort(position, last)
        # A breach is told with the next prompt; the plan need not be written anew for it.
        faults = [fault for fault in last.faults if fault not in last.breaches]
        if position.plan().tasks and (not faults or attempt >= 2):
            return
        if (limit := spent_bound(position.spec.budget, spending(record, []))) is not None:
            raise PlanningFailed(f"{limit.text}, and there is no usable plan")
    raise PlanningFailed(
        f"the agent wrote no usable plan in {ATTEMPTS} calls: "
        + (record.iterations[-1].error or "; ".join(faults) or "no tasks")
    )


async def approve_plan(work: Work) -> None:
    """With cautious autonomy, wait for the user's yes to the plan; a rejected one is written anew.

    Raises:
        PreflightFailed: the agent aborted.
        PlanningFailed: the user has rejected as many plans as are written.
    """
    position, record = work.position, work.position.record
    if not asks_for_plan(position.spec) or any(it.kind == "iteration" for it in record.iterations):
        return
    while True:
        calls = [it for it in record.iterations if it.kind == "planning"]
        last = next((it for it in reversed(calls) if not it.failed), calls[-1])
        why = await approval(work, "the plan", last.label, _question(position, last))
        if why is None:
            return
        if len(calls) >= MOST_PLANS:
            raise PlanningFailed(f"the user rejected the plan of {last.label}, too: {why}")
        await _plan_anew(work, len(calls) + 1, why)


async def _plan_anew(work: Work, number: int, why: str) -> None:
    position, record = work.position, work.position.record
    record.phase = Phase.PLANNING
    for label in (f"planning.{at}" for at in range(number, number + ATTEMPTS)):
        told = [REJECTED % why]
        last = await work.step(label, planning(position.id, label, told, return_state=True))
        if is_abort(last.summary, last.promise, position.plan_text()):
            await abort(position, last)
        if not last.failed:
            return
        if (limit := spent_bound(position.spec.budget, spending(record, []))) is not None:
            raise PlanningFailed(f"{limit.text}, and the user has rejected the plan: {why}")
    raise PlanningFailed(
        f"the agent wrote no other plan in {ATTEMPTS} calls: {record.iterations[-1].error}"
    )


def _question(position: Position, last: IterationRecord) -> str:
    """What the user reads of the plan."""
    tasks = position.plan().tasks
    lines = [f"Is this plan right? {last.summary}".rstrip(), ""]
    lines += [f"- {task.id or ''} {task.text}".replace("  ", " ") for task in tasks[:SHOWN_TASKS]]
    if len(tasks) > SHOWN_TASKS:
        lines.append(f"- and {len(tasks) - SHOWN_TASKS} more")
    if last.faults:
        lines += ["", "Against the rules of plans: " + "; ".join(last.faults)]
    return "\n".join(lines)


async def abort(position: Position, last: IterationRecord) -> None:
    """End the session as its agent asks; tasks.md tells why, if the agent has not written it.

    Raises:
        PreflightFailed: always.
    """
    if not has_abort_sentinel(position.plan_text()):
        checklist = abort_checklist(position.spec.goal, [last.summary])
        position.paths.tasks.write_text(checklist, encoding="utf-8")
        await position.save_plan()
    raise PreflightFailed(f"the agent aborted in {last.label}: {last.summary}")


class PlanningFailed(Exception):
    """There is no plan to carry out."""


@flow(name="planning", flow_run_name="{label}", persist_result=False)
async def planning(session_id: str, label: str, faults: list[str]) -> State[Any]:
    """Iteration 0: explore the repository and write tasks.md.

    Args:
        session_id: the session that this belongs to.
        label: name of this call.
        faults: what was wrong with the plan of the call before.
    """
    work = current_work()
    position = work.position
    number = 1 + sum(1 for it in position.record.iterations if it.kind == "planning")
    await keep_on_branch(position)
    before = position.plan_text()
    try:
        turn = await agent_turn(work, "planning", 0, number, faults)
    except StopRequested as stop:
        return Cancelled(message=str(stop))
    _take_plan(position, turn, before)
    review_metric(position, turn, before)
    tell_misplaced(turn)
    runs = await work.stores.runs.all(chat_session_id=position.id)
    await close_turn(work, turn, runs, ())
    if turn.record.failed:
        return Failed(message=turn.record.error or "no plan")
    return Completed(message=turn.record.summary[:500] or "planned")


def _take_plan(position: Position, turn: Turn, before: str) -> None:
    write_plan(position, turn, before)
    text = position.plan_text()
    if not text.strip():
        turn.record.failed = True
        turn.record.error = turn.record.error or "no plan: neither tasks.md nor a <plan> tag"
        return
    if turn.tags.plan is None and text != before:
        # The agent wrote the file itself: the reply need not repeat it.
        turn.record.failed = turn.reply.exit_reason != "finished"
        if not turn.record.failed:
            turn.record.error = None
    plan, bounds = position.plan(), PlanBounds.of(position.spec)
    turn.record.faults += plan_faults(plan, text, bounds.shape) + bounds_faults(plan, bounds)
