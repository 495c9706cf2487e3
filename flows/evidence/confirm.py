"""Which candidates are worth confirming, and by how many fresh seeds.

What chose a candidate cannot confirm it. So a gentle test on the seeds that the agent ran decides
who gets fresh ones, and only these decide: they are few, and so are the tests that share alpha.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from wildloop.flows.evidence.account import Account
from wildloop.flows.evidence.configuration import Configuration
from wildloop.flows.evidence.further import FEWEST
from wildloop.flows.evidence.settings import is_seed
from wildloop.flows.models.evidence import Comparison, Level

SCREEN = 0.15
"""A candidate whose screening p-value is below this is worth confirming."""
SEEDS = 7
"""Fresh seeds of a candidate. `python -m bench.claims` shows what they find, and their cost."""
REFERENCE_SEEDS = 5
"""Fresh seeds that the reference gets once, before its first candidate is confirmed."""
# `--seed 3`, `--seed=3`, `train.seed=3`, `SEED=3`
_SETTING = re.compile(
    r"(?P<lead>(?:^|(?<=\s))(?:--?|\+{1,2})?(?P<name>[A-Za-z_][\w./-]*)(?P<by>=|\s+))"
    r"(?P<value>[^\s;|&<>()]+)"
)


@dataclass(frozen=True)
class Wanted:
    """A configuration that is to get so many runs of Wildloop's own, beside those it has."""

    configuration: Configuration
    runs: int


def is_promising(screened: Comparison, screen: float = SCREEN) -> bool:
    """Whether a comparison by the agent's own seeds is reason to run fresh ones."""
    if screened.p is None:
        return screened.gain > 0
    return screened.gain > 0 and screened.p < screen


def reseeded(command: str, seed: int, parameter: str | None) -> str | None:
    """The command with another seed; None where no seed reaches it.

    Args:
        command: of a run.
        seed: the new one.
        parameter: the project's parameter for the seed, added where the command has none.
    """
    found = []
    for match in _SETTING.finditer(command):
        is_setting = match["by"] == "=" or match["lead"].lstrip().startswith("-")
        if is_setting and is_seed(match["name"]):
            found.append(match)
    if found:
        for match in reversed(found):
            start, end = match.span("value")
            command = command[:start] + str(seed) + command[end:]
        return command
    return f"{command} --{parameter.lstrip('-')}={seed}" if parameter else None


def candidates_to_confirm(
    account: Account, among: Sequence[Configuration] | None = None
) -> list[Configuration]:
    """The configurations that look better than the best confirmed one, the most promising first.

    Args:
        account: of the session.
        among: those that are asked about (default: all).
    """
    reference = account.best if account.branch is not None else account.baseline
    if reference is None or reference.mean is None:
        return []
    sign = 1.0 if account.direction == "max" else -1.0
    done = [one.compared.mean for one in account.configurations if one.own.n]
    bar = max((sign * mean for mean in done if mean is not None), default=None)
    found = []
    for one in account.configurations if among is None else among:
        if one is reference or one.mean is None or one.own_runs or not account.is_confirmable(one):
            continue
        if bar is not None and account.branch is None and sign * one.mean <= bar:
            continue
        if is_promising(account.compare(one, reference)):
            found.append(one)
    return sorted(found, key=lambda one: -sign * (one.mean or 0.0))


def wanted_further(account: Account, seeds: int, seconds: float) -> list[Wanted]:
    """What Wildloop is to run once all is decided: the best and the baseline on further seeds.

    None where the metric has no spread, nothing is shown, or no seed reaches one of them.

    Args:
        account: of the session.
        seeds: of each, at most.
        seconds: what all of them may take, one after the other; fewer seeds are run where they
            would take longer, none where there is no time for two.
    """
    base, best = account.baseline, account.best
    if base is None or best is None or account.gain is None or account.is_exact:
        return []
    sides = [base, best]
    if not account.gain.established or best.level is not Level.CONFIRMED:
        return []
    if not all(account.is_confirmable(one) for one in sides):
        return []
    each = sum(max(one.seconds, 1.0) for one in sides)
    count = min(seeds, int(seconds / each))
    return [Wanted(one, count) for one in sides] if count >= FEWEST else []


def wanted_runs(
    account: Account, chosen: Sequence[Configuration], seeds: int, left: int
) -> list[Wanted]:
    """What Wildloop is to run: the candidates, and first what they are compared with.

    Args:
        account: of the session.
        chosen: the candidates, the most promising first.
        seeds: fresh ones of each.
        left: how many runs may be made; a candidate that would get fewer than it needs gets none.
    """
    each = 1 if account.is_exact else seeds
    reference = account.best if account.branch is not None else account.baseline
    if reference is None or each == 0:
        return []
    found: list[Wanted] = []
    lacking = max(0, each - len(reference.own_runs))
    if lacking and account.is_confirmable(reference):
        found.append(Wanted(reference, lacking))
        left -= lacking
    for one in chosen:
        if left < each:
            break
        found.append(Wanted(one, each))
        left -= each
    return found if any(one.configuration is not reference for one in found) else []
