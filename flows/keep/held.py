"""A change that won is held to the guards before it is kept."""

from dataclasses import replace

from wildloop.flows.evidence.account import Account
from wildloop.flows.keep.decide import AS_CLAIMED, Decision
from wildloop.flows.models.keep import KeepStatus


def held(account: Account, decision: Decision) -> Decision:
    """The decision; a discard where what won breaks a guard."""
    if not has_won(decision) or decision.candidate is None:
        return decision
    broken = account.breaches(account.by_id[decision.candidate.id])
    if not broken:
        return decision
    return refused(decision, f"breaks a guard ({'; '.join(broken)})")


def has_won(decision: Decision) -> bool:
    """Whether a change is to be kept because its test has shown it."""
    test = decision.comparison
    return decision.status is KeepStatus.KEEP and test is not None and test.established


def refused(decision: Decision, why: str) -> Decision:
    """A decision whose change was better and is not kept all the same."""
    assert decision.comparison is not None
    return replace(
        decision,
        status=KeepStatus.DISCARD,
        why=f"{why}; else it were kept: {decision.why}",
        refused=why,
        warnings=tuple(one for one in decision.warnings if not one.startswith(AS_CLAIMED)),
        best=decision.against,
        comparison=decision.comparison.model_copy(update={"established": False}),
    )
