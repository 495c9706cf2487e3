"""What a session has shown, in the few values that its status and the lists tell."""

from collections.abc import Sequence
from hashlib import sha256

from wildloop.flows.evidence.account import Account, Contract
from wildloop.flows.evidence.configuration import Configuration
from wildloop.flows.evidence.texts import candidate_lines, headline, target_line
from wildloop.flows.evidence.verdict import verdict
from wildloop.flows.models.evidence import BestResult, Shown
from wildloop.flows.models.run import Run


def shown_of(account: Account, of: str) -> Shown:
    """What an account shows.

    Args:
        account: of the session.
        of: `digest_of` what it was computed from.
    """
    return Shown(
        of=of,
        best=_result(account, account.best),
        baseline=_result(account, account.baseline),
        gain=account.gain,
        verdict=verdict(account),
        headline=headline(account),
        target=target_line(account),
        candidates=candidate_lines(account),
    )


def digest_of(runs: Sequence[Run], contract: Contract, calls: int, verdicts: int) -> str:
    """What tells whether the account of a session is another than it was.

    Args:
        runs: all its runs, and those that Wildloop has made for it.
        contract: what it compares by.
        calls: how many calls of its agent are recorded; each says which runs are its own.
        verdicts: how many decisions of keep or discard are.
    """
    parts = [repr(contract), f"{calls} {verdicts}"]
    for run in sorted(runs, key=lambda run: run.id):
        # What runs tells its metrics anew all the time, and counts once it has ended.
        ended = f"{run.status} {run.metrics}" if run.status.is_terminal else ""
        parts.append(f"{run.id} {run.withdrawn} {ended}")
    return sha256("\n".join(parts).encode()).hexdigest()[:16]


def _result(account: Account, one: Configuration | None) -> BestResult | None:
    """A configuration as a session shows it; None where it has no value."""
    metric = account.contract.metric
    if one is None or metric is None or one.compared.mean is None:
        return None
    first, found = one.measured[0], account.final(one)
    return BestResult(
        run_id=first.id,
        run_name=first.name,
        metric=metric.name,
        value=found.mean if found.mean is not None else one.compared.mean,
        direction=metric.direction,
        configuration=one.name,
        id=one.id,
        sd=found.sd,
        n=found.n,
        level=one.level,
    )
