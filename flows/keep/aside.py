"""What an iteration measured without trying to be better: an ablation, or what was withdrawn."""

from dataclasses import replace

from wildloop.flows.evidence.ablation import ablation, is_ablation
from wildloop.flows.evidence.account import Account
from wildloop.flows.evidence.configuration import Configuration
from wildloop.flows.keep.decide import Change, Decision
from wildloop.flows.models.keep import KeepStatus


def set_aside(account: Account, change: Change) -> Decision | None:
    """The decision where nothing of an iteration is a try to be better; None where something is.

    The code that it has left is taken back: a component was taken out to see what it is worth, or
    nothing that may be compared speaks for the change.
    """
    if change.best is None or tries(account, change).candidates:
        return None
    gone = [one for one in change.candidates if one.withdrawn]
    if gone:
        told = "; ".join(f"{one.name}: {one.withdrawn}" for one in gone)
        why = f"withdrawn, so nothing speaks for the change ({told})"
        return Decision(KeepStatus.WITHDRAWN, why, change.best)
    mine = {one.id for one in (*change.candidates, *change.others) if _is_row(account, one)}
    found = ablation(account)
    if not mine or found is None:
        return None
    rows = "; ".join(row.text for row in found.rows if row.configuration in mine)
    return Decision(KeepStatus.ABLATION, f"of {found.reference_label}: {rows}", change.best)


def tries(account: Account, change: Change) -> Change:
    """The change without what was withdrawn, and without its ablations."""

    def counts(one: Configuration) -> bool:
        return not one.withdrawn and (change.best is None or not _is_row(account, one))

    return replace(
        change,
        candidates=[one for one in change.candidates if counts(one)],
        others=[one for one in change.others if not one.withdrawn],
    )


def _is_row(account: Account, one: Configuration) -> bool:
    return one is not account.best and is_ablation(one.runs[0], account.sweep_texts)
