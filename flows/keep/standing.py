"""The account of a session, from its record and its runs."""

from collections.abc import Mapping, Sequence

from wildloop.flows.evidence.account import Account, Branch
from wildloop.flows.evidence.known import Known
from wildloop.flows.evidence.own import with_own
from wildloop.flows.evidence.same import same_or_made
from wildloop.flows.metrics.contract import contract_of
from wildloop.flows.models.contract import SessionContract
from wildloop.flows.models.keep import KeepState
from wildloop.flows.models.run import Run
from wildloop.flows.models.session_record import IterationRecord


def account_of(
    runs: Sequence[Run],
    records: Sequence[IterationRecord],
    fixed: SessionContract,
    *,
    own: Sequence[Run] = (),
    alpha: float = 0.05,
    kept: KeepState | None = None,
    sweep_texts: Mapping[str, str] | None = None,
    known: Known | None = None,
) -> Account:
    """The one account that keep, status, prompts, report and lessons tell.

    Args:
        runs: all runs of the session.
        records: of its calls, which tell what each run was created by.
        fixed: the contract of the session.
        own: runs that Wildloop has made for it.
        alpha: probability that a session where nothing helps claims anything.
        kept: what was kept and discarded, of a session that does.
        sweep_texts: name and goal of each sweep, by id, which tell ablations.
        known: what an account before has found; default: nothing.
    """
    known = known or Known()
    known.begin()
    every, further, evaluated = with_own(runs, own, fixed.metric, known)
    contract = contract_of(fixed, alpha, evaluated)
    branch, calls = branch_of(kept), calls_of(records)
    return same_or_made(every, contract, branch, calls, sweep_texts, further, known)


def calls_of(records: Sequence[IterationRecord]) -> Mapping[str, str]:
    """The agent's call that each run belongs to, by run id."""
    return {id: it.label for it in records for id in it.run_ids}


def branch_of(kept: KeepState | None) -> Branch | None:
    """What the branch holds; None of a session without keep or discard."""
    if kept is None:
        return None
    last = kept.kept
    return Branch(
        best=kept.best.id if kept.best else None,
        comparison=last.comparison if last else None,
        baseline=kept.baseline,
        kept=frozenset(one.candidate.id for one in kept.won if one.candidate is not None),
    )
