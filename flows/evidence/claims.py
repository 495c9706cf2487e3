"""What lessons claim of two settings, and whether a later session's runs still bear it out."""

from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any

from wildloop.flows.evidence.ablation import ablation
from wildloop.flows.evidence.account import Account
from wildloop.flows.evidence.configuration import Configuration
from wildloop.flows.evidence.lessons import effect, failing_regions, measured
from wildloop.flows.evidence.settings import normal
from wildloop.flows.models.evidence import Comparison
from wildloop.flows.models.memory import Claim
from wildloop.flows.models.run import Run

HELD = 0.5
"""What has to remain of a gain: where even so much lies outside the later interval, it is gone."""


def claims(account: Account) -> dict[str, Claim]:
    """What each established sentence claims of two settings, by its text.

    A gain by a change of code has none: a later session begins with that code.
    """
    found = dict[str, Claim]()
    text, best, base = effect(account), account.best, account.baseline
    if text is not None and best is not None and base is not None and account.gain is not None:
        found |= _claim(account, text, best, base, account.gain.gain)
    ablated = ablation(account)
    for row in ablated.rows if ablated else ():
        test = row.comparison
        if ablated is None or test is None or not test.established:
            continue
        pair = account.by_id[ablated.reference], account.by_id[row.configuration]
        ours, theirs = pair if test.ours.values == pair[0].compared.values else pair[::-1]
        found |= _claim(account, row.text, ours, theirs, test.gain)
    return found


def proofs(account: Account) -> dict[str, list[str]]:
    """The runs that show each established sentence, by its text: ids, the better setting's first.

    Those of a setting that fails are the failed ones.
    """
    found, by_id = dict[str, list[str]](), account.by_id
    text, best, base = effect(account), account.best, account.baseline
    if text is not None and best is not None and base is not None:
        found[text] = _ids(best.behind + base.behind)
    ablated = ablation(account)
    for row in ablated.rows if ablated else ():
        if ablated is not None:
            pair = by_id[ablated.reference], by_id[row.configuration]
            found[row.text] = _ids(pair[0].behind + pair[1].behind)
    for region in failing_regions(account):
        lost = [one for one in account.configurations if one.failures and not one.n]
        found[region.text] = _ids([run for one in lost for run in one.failures])
    return found


def _ids(runs: Iterable[Run]) -> list[str]:
    return [run.id for run in runs]


def bears_out(account: Account, claim: Claim) -> bool | None:
    """Whether this session shows the same of the same two settings, on any code of its own.

    Returns:
        True where it is shown again; False where it is not, and half the gain lies above the 95 %
        interval of this session's; None where the two were not run, or decide nothing.
    """
    found = _again(account, claim)
    if found is None:
        return None
    if found.established:
        return True
    return False if found.high is not None and found.high < HELD * claim.gain else None


def instead(account: Account, claim: Claim) -> str:
    """What this session has measured instead; empty where it has not run the two settings."""
    found = _again(account, claim)
    if found is None:
        return ""
    return f"{measured(found.ours)} against {measured(found.theirs)}"


def _claim(
    account: Account, text: str, ours: Configuration, theirs: Configuration, gain: float
) -> dict[str, Claim]:
    metric = account.contract.metric
    if metric is None or ours.code != theirs.code or gain <= 0:
        return {}
    return {
        text: Claim(
            metric=metric.name,
            direction=metric.direction,
            program=ours.program,
            ours=dict(ours.settings),
            theirs=dict(theirs.settings),
            gain=gain,
        )
    }


def _again(account: Account, claim: Claim) -> Comparison | None:
    """The two settings compared in this session, on the code that most of its seeds ran."""
    metric = account.contract.metric
    if metric is None or (metric.name, metric.direction) != (claim.metric, claim.direction):
        return None
    pairs = [
        (one, other)
        for one, other in product(
            _with(account, claim.program, claim.ours), _with(account, claim.program, claim.theirs)
        )
        if one.code == other.code
    ]
    if not pairs:
        return None
    return account.compare(*max(pairs, key=lambda pair: min(pair[0].n, pair[1].n)))


def _with(account: Account, program: str, settings: Mapping[str, Any]) -> list[Configuration]:
    """Those of a program with these settings that say something of them: two seeds at least."""
    least = 1 if account.is_exact else 2
    return [
        one
        for one in account.configurations
        if one.program == program
        and normal(one.settings) == normal(settings)
        and one.compared.n >= least
        and not one.withdrawn
    ]
