"""A change that did not begin with the best's code stays only if it beats the best."""

from dataclasses import replace

from wildloop.flows.keep.decide import Change, Decision
from wildloop.flows.keep.held import has_won
from wildloop.flows.models.keep import KeepStatus

STAYS = ", so its change stays as it is"


def begun_elsewhere(decision: Decision, change: Change, node: str) -> Decision:
    """The decision; a discard where nothing shows that what began elsewhere beats the best.

    Args:
        decision: as it is of a change that began with the best's code.
        change: the iteration.
        node: whose code it has begun with; empty: what lay there.
    """
    if not node or change.best is None or decision.status is not KeepStatus.KEEP:
        return decision
    is_the_best = decision.candidate is not None and decision.candidate.id == change.best.id
    if has_won(decision) or is_the_best:
        return decision
    why = decision.why.replace(STAYS, "")
    return replace(
        decision,
        status=KeepStatus.DISCARD,
        why=f"{why}; it began with the code of {node}, so the best's is put back",
        best=change.best,
    )
