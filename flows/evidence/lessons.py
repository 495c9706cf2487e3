"""What a session leaves to later ones: what, by how much, with n and level, on which code."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wildloop.flows.evidence.account import Account
from wildloop.flows.evidence.configuration import Configuration
from wildloop.flows.evidence.ranked import what_differs
from wildloop.flows.models.evidence import Estimate
from wildloop.flows.models.run import RunStatus
from wildloop.flows.text.plural import counted

DIGEST_LENGTH = 7
LEAST_FAILED = 2
VERB = " gives "


def effect(account: Account) -> str | None:
    """The best's gain as a lesson; None where nothing is shown to be better."""
    gain, best, metric = account.gain, account.best, account.contract.metric
    base = account.baseline
    if gain is None or best is None or base is None or metric is None or not gain.established:
        return None
    # What further seeds do not bear out is no lesson.
    if gain.gain <= 0:
        return None
    difference = (gain.ours.mean or 0.0) - (gain.theirs.mean or 0.0)
    word = "higher" if difference > 0 else "lower"
    what = "the baseline's" if account.has_true_baseline else "what stands for the baseline,"
    by = f", by {gain.further} further seeds of each" if gain.further else ""
    return (
        f"{what_differs(best, base)}{VERB}{metric.name} {measured(gain.ours)}, "
        f"{abs(difference):.4g} {word} than {what} {measured(gain.theirs)} "
        f"({what_differs(base, None)}){_code(best)}{by}"
    )


def measured(found: Estimate) -> str:
    """`0.971 ± 0.003 (n=3)`; a spread of nothing is not told."""
    return found.text.replace(" ± 0 (", " (")


def subject_of(lesson: str) -> str:
    """What a lesson of the account claims: it is the same however its numbers changed."""
    return lesson.partition(VERB)[0] + VERB if VERB in lesson else lesson.partition(" (")[0]


def is_of_account(text: str) -> bool:
    """Whether a text tells a gain, or what a part is worth, in the account's words."""
    return VERB in text or ": needed (" in text or ": not needed" in text


def _code(one: Configuration) -> str:
    return f", on code {one.code[:DIGEST_LENGTH]}" if one.code else ""


@dataclass(frozen=True)
class Region:
    """Values of a setting where every run failed, and none did on the other side."""

    setting: str
    is_above: bool
    edge: float
    failed: int
    good: int

    @property
    def text(self) -> str:
        """`every run above lr=0.3 failed (4 runs); up to there 9 runs gave a value`"""
        side = "above" if self.is_above else "below"
        which = "both runs" if self.failed == LEAST_FAILED else f"all {self.failed} runs"
        return (
            f"{which} {side} {self.setting}={self.edge:.6g} failed; of the others "
            f"{counted(self.good, 'run')} gave a value"
        )


def failing_regions(account: Account) -> list[Region]:
    """Where runs fail: of each setting that tells the failed runs from the good ones.

    The edge is the last good value. A single failed configuration makes no region, and a setting
    makes none unless it separates all of them.
    """
    failed = [one for one in account.configurations if one.failures and not one.n]
    good = [one for one in account.configurations if one.n and not one.failures]
    if len(failed) < LEAST_FAILED or not good:
        return []
    return [found for name in _names([*failed, *good]) if (found := _region(name, failed, good))]


def _names(found: Sequence[Configuration]) -> Iterator[str]:
    yield from dict.fromkeys(name for one in found for name in one.settings)


def _region(
    name: str, failed: Sequence[Configuration], good: Sequence[Configuration]
) -> Region | None:
    bad, fine = _numbers(failed, name), _numbers(good, name)
    if bad is None or fine is None:
        return None
    lost = sum(len(one.failures) for one in failed)
    kept = sum(run.status is RunStatus.FINISHED for one in good for run in one.runs)
    if min(bad) > max(fine):
        return Region(name, True, max(fine), lost, kept)
    if max(bad) < min(fine):
        return Region(name, False, min(fine), lost, kept)
    return None


def _numbers(found: Sequence[Configuration], name: str) -> list[float] | None:
    numbers = []
    for one in found:
        value: object = one.settings.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            return None
        try:
            numbers.append(float(value))
        except ValueError:
            return None
    return numbers
