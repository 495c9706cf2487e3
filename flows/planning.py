"""Planning, iteration 0: the agent explores the repository and writes the plan."""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from flows.control import StopRequested
from flows.effects import close_turn, tell_misplaced, write_plan
from flows.errors import PreflightFailed
from flows.guards.direct import watched
from flows.models.session_record import Phase
from flows.protocol.plan import has_abort_sentinel, plan_faults
from flows.session import ResearchSession, current_session
from flows.spending import spending, spent_bound
from flows.turn import Turn, take_turn

ATTEMPTS = 3


async def plan_session(session: ResearchSession) -> None:
    """Have the plan written; a plan that breaks the rules is sent back once.

    Raises:
        PreflightFailed: the agent aborted because the API or the skill does not answer.
        PlanningFailed: there is no plan after three calls.
    """
    await session.enter(Phase.PLANNING)
    # The agent writes the plan into it, maybe by a plain `cat >`.
    session.paths.root.mkdir(parents=True, exist_ok=True)
    # A session that is taken up again goes on with the next call.
    calls = [it for it in session.record.iterations if it.kind == "planning"]
    faults = calls[-1].faults if calls else []
    for attempt in range(len(calls) + 1, ATTEMPTS + 1):
        label = "planning" if attempt == 1 else f"planning.{attempt}"
        last = await session.step(label, planning(session.id, label, faults, return_state=True))
        if has_abort_sentinel(session.plan_text()):
            raise PreflightFailed(f"the agent aborted in planning: {last.summary}")
        # A breach is told with the next prompt; the plan need not be written anew for it.
        faults = [fault for fault in last.faults if fault not in last.breaches]
        if session.plan().tasks and (not faults or attempt >= 2):
            return
        if (limit := spent_bound(session.spec.budget, spending(session.record, []))) is not None:
            raise PlanningFailed(f"{limit.text}, and there is no usable plan")
    raise PlanningFailed(
        f"the agent wrote no usable plan in {ATTEMPTS} calls: "
        + (session.record.iterations[-1].error or "; ".join(faults) or "no tasks")
    )


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
    session = current_session()
    number = 1 + sum(1 for it in session.record.iterations if it.kind == "planning")
    before = session.plan_text()
    try:
        async with watched(session):
            turn = await take_turn(session, "planning", 0, number, faults)
    except StopRequested as stop:
        return Cancelled(message=str(stop))
    _take_plan(session, turn, before)
    tell_misplaced(turn)
    await close_turn(session, turn, set())
    if turn.record.failed:
        return Failed(message=turn.record.error or "no plan")
    return Completed(message=turn.record.summary[:500] or "planned")


def _take_plan(session: ResearchSession, turn: Turn, before: str) -> None:
    write_plan(session, turn, before)
    text = session.plan_text()
    if not text.strip():
        turn.record.failed = True
        turn.record.error = turn.record.error or "no plan: neither tasks.md nor a <plan> tag"
        return
    if turn.tags.plan is None and text != before:
        # The agent wrote the file itself: the reply need not repeat it.
        turn.record.failed = turn.reply.exit_reason != "finished"
        if not turn.record.failed:
            turn.record.error = None
    turn.record.faults += plan_faults(session.plan(), text)
