"""What follows from signs of struggle: a hint, then a reflection, then the end.

A pure function of the session's records, so that a session that was interrupted goes on where its
ladder stood.
"""

from collections.abc import Sequence
from enum import StrEnum

from pydantic import BaseModel

from wildloop.flows.models.session_record import IterationRecord
from wildloop.flows.struggle.struggle import Sign

REFLECT_AFTER = 3
STOP_AFTER = 3
PLATEAU_REFLECT_AFTER = 5
STRUGGLE = "struggle"


class Rung(StrEnum):
    """How far it has come."""

    NONE = "none"
    HINT = "hint"
    REFLECT = "reflect"
    STOP = "stop"


class Escalation(BaseModel):
    """The rung, and why."""

    rung: Rung = Rung.NONE
    reason: str = ""


def escalation(records: Sequence[IterationRecord]) -> Escalation:
    """Where the ladder stands after these records.

    Signs that count, in iterations one after another: at the first the agent is told, after
    REFLECT_AFTER of them a reflection is called for, and STOP_AFTER more end the session. One
    iteration without such a sign begins anew, any reflection gives time until the next. A plateau
    calls for a reflection after PLATEAU_REFLECT_AFTER iterations with runs, and never ends a
    session: good results may be near their ceiling.

    Args:
        records: the session's records in their order, with the `signs` noted at their ends.
    """
    stuck, since, since_forced, signs = _streak(records)
    named = " and ".join(signs)
    if since_forced is not None and since_forced >= STOP_AFTER:
        return Escalation(
            rung=Rung.STOP,
            reason=f"the agent is stuck: {stuck} iterations in a row with {named}, the "
            f"last {since_forced} of them after a reflection that chose to go on",
        )
    if since_forced is None and since >= REFLECT_AFTER:
        return Escalation(
            rung=Rung.REFLECT,
            reason=f"{STRUGGLE}: {stuck} iterations in a row with {named}",
        )
    flat = _plateau_length(records)
    if flat >= PLATEAU_REFLECT_AFTER:
        return Escalation(
            rung=Rung.REFLECT, reason=f"plateau: {flat} iterations with runs and no improvement"
        )
    return Escalation(rung=Rung.HINT if stuck or flat else Rung.NONE)


def _streak(records: Sequence[IterationRecord]) -> tuple[int, int, int | None, list[str]]:
    """The last iterations one after another with signs that count, but for a plateau.

    Returns how many, how many since the last reflection, how many since the last one that was
    called for by struggle (None without one among them), and their signs.
    """
    stuck = 0
    since: int | None = None
    since_forced: int | None = None
    signs: dict[str, None] = {}
    seen: set[int] = set()
    for it in reversed(records):
        if it.kind == "reflection":
            since = stuck if since is None else since
            if it.why.startswith(STRUGGLE) and since_forced is None:
                since_forced = stuck
        elif it.kind == "iteration" and it.index not in seen:
            # The last call of an iteration speaks for all of it.
            seen.add(it.index)
            counted = [sign for sign in it.signs if sign != Sign.PLATEAU]
            if not counted:
                break
            stuck += 1
            signs |= dict.fromkeys(counted)
    return stuck, stuck if since is None else since, since_forced, list(signs)


def _plateau_length(records: Sequence[IterationRecord]) -> int:
    """Iterations with runs and without improvement since the last reflection or improvement."""
    length = 0
    seen: set[int] = set()
    for it in reversed(records):
        if it.kind == "reflection":
            break
        if it.kind != "iteration" or it.index in seen:
            continue
        seen.add(it.index)
        if Sign.PLATEAU in it.signs:
            length += 1
        elif it.run_ids:
            break
    return length
