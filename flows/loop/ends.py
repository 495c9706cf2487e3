"""What ends a session, or calls for a reflection, apart from its plan."""

from collections.abc import Sequence

from wildloop.flows import events
from wildloop.flows.loop.gates import due_gates
from wildloop.flows.metrics.blind import searches_blindly
from wildloop.flows.models.run import Run
from wildloop.flows.models.session_options import Budget
from wildloop.flows.models.session_record import IterationRecord, SessionRecord
from wildloop.flows.session.position import Position
from wildloop.flows.spending import Limit, reached_limit, spending
from wildloop.flows.store.answers import read_answers
from wildloop.flows.store.runs import RunStore
from wildloop.flows.struggle.escalation import STRUGGLE, Rung, escalation

FAILURES_IN_A_ROW = 3
SEEN_SECONDS = 10.0
"""The runs as the call that has just ended has read them are no older."""


class SessionFailed(Exception):
    """The session cannot go on; the text is its reason."""


def struggle_reason(record: SessionRecord) -> str | None:
    """Why struggle calls for a reflection now; None if it does not.

    Raises:
        SessionFailed: a reflection has not helped, so the session ends.
    """
    if record.awaiting_turn or record.pending_runs:
        return None
    found = escalation(record.iterations)
    if found.rung is Rung.STOP:
        raise SessionFailed(found.reason)
    return found.reason if found.rung is Rung.REFLECT else None


def tell_stuck(position: Position, struggle: str) -> None:
    """Tell people of a struggle; a plateau is none, since the best may be near its ceiling."""
    if not struggle.startswith(STRUGGLE):
        return
    events.tell(
        events.SESSION_STUCK,
        events.session_resource(position.id),
        f"Wildloop: a session is stuck: {position.spec.goal}",
        f"{struggle}; its agent is asked to reflect. `wildloop steer TEXT` tells it what to try."
        f"\n\ngoal: {position.spec.goal}\nsession: {position.id}",
        session_id=position.id,
        payload={"reason": struggle},
        once=position.record.iterations[-1].label,
    )


async def limit_reached(position: Position, store: RunStore) -> Limit | None:
    """Why no further iteration may begin; None if one may."""
    record, has_budget = position.record, position.spec.budget != Budget()
    runs = await store.all(chat_session_id=position.id) if has_budget else []
    if has_budget:
        # What people have asked meanwhile is paid from it, too.
        record.asked_usd = (await read_answers(position.client, position.id)).cost_usd
    limit = reached_limit(position.spec, record, runs, spending(record, runs))
    if limit is None or limit.name != "max_iterations":
        return limit
    # What the last iteration has closed is still reflected upon as it calls for.
    return None if record.done or due_gates(position) else limit


def check_sight(runs: Sequence[Run], records: Sequence[IterationRecord]) -> None:
    """Raise SessionFailed where more runs came when it was told that they measure nothing."""
    if blind := searches_blindly(runs, records):
        raise SessionFailed(f"the search is blind: {blind}")


def check_failures(record: SessionRecord) -> None:
    """Raise SessionFailed after three failed iterations in a row."""
    last = record.iterations[-FAILURES_IN_A_ROW:]
    if len(last) == FAILURES_IN_A_ROW and all(it.failed for it in last):
        raise SessionFailed(
            f"{FAILURES_IN_A_ROW} iterations in a row failed; the last: {last[-1].error}"
        )
