"""The account before once more, where it was made from the same."""

from collections.abc import Mapping, Sequence

from wildloop.flows.evidence.account import Account, Branch, Contract
from wildloop.flows.evidence.configuration import is_not_launched
from wildloop.flows.evidence.known import Known
from wildloop.flows.models.run import Run

KEY = "the account"


def same_or_made(
    runs: Sequence[Run],
    contract: Contract,
    branch: Branch | None,
    labels: Mapping[str, str],
    sweep_texts: Mapping[str, str] | None,
    further: Sequence[Run],
    known: Known,
) -> Account:
    """An account, as `Account` makes it; the one before, if nothing has come that it tells of.

    Between the prompt of a call and its end that is mostly so: what the call has created waits.
    """
    counted = [run for run in runs if not is_not_launched(run)]
    called = [labels.get(run.id) for run in counted]
    given = (contract, branch, called, dict(sweep_texts or {}), len(further))
    inputs = [*counted, *further]
    before: tuple[object, Account] | None = known.get(KEY, inputs, lambda: None)
    if before is not None and before[0] == given:
        known.keep()
        return before[1]
    made = Account(runs, contract, branch, labels, sweep_texts, further, known)
    known.put(KEY, inputs, (given, made))
    return made
