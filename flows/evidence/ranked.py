"""The ranked table: configurations by what differs from the baseline, with all their numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wildloop.flows.evidence.ablation import is_ablation
from wildloop.flows.evidence.account import Account
from wildloop.flows.evidence.configuration import Configuration
from wildloop.flows.evidence.settings import differences, plain_value, shown
from wildloop.flows.models.evidence import Comparison, Estimate, Standing

STAND_IN = "stands for the baseline"
WORDS = {
    Standing.BASELINE: "baseline",
    Standing.BEST: "best",
    Standing.BETTER: "better",
    Standing.BROKEN: "better, breaks a guard",
    Standing.CANDIDATE: "candidate",
    Standing.UNDECIDED: "undecided",
    Standing.INCOMPLETE: "incomplete",
    Standing.NO_VALUE: "no value",
    Standing.WITHDRAWN: "withdrawn",
    Standing.OFF_BRANCH: "not on the branch",
}
NOT_BETTER = "not better"
NOT_COMPARED = "not compared"
SHOWN_CHANGES = 6


@dataclass(frozen=True)
class RankedRow:
    """A configuration as a row of the table.

    Args:
        one: the configuration.
        what: how it differs from the baseline; the baseline's own settings.
        standing: what it is, in a word or two.
        estimate: of the seeds that it is compared by; of the best and the baseline by those that
            have decided nothing, where there are some.
        comparison: with the baseline; None for the baseline, and where it has no value.
        seconds: run time of all its runs together.
        gpu_hours: GPUs held by them, times hours.
    """

    one: Configuration
    what: str
    standing: str
    estimate: Estimate
    comparison: Comparison | None
    seconds: float
    gpu_hours: float


def ranked(account: Account, code_names: Mapping[str, str] | None = None) -> list[RankedRow]:
    """All configurations that have a value, and the baseline, in the order of their evidence.

    First the best and what else is shown to be better, by the lower bound of the gain; then the
    others by their mean, the baseline among them; last what was withdrawn. The rows of an ablation
    are left out: they have a table of their own.

    Args:
        account: of the session.
        code_names: what was changed in code, by its digest, in the words of who changed it.
    """
    shown_better = account.shown
    found = [
        one
        for one in account.configurations
        if one is account.baseline
        or one is account.best
        or (one.n and (one in shown_better or not _is_ablated(account, one)))
    ]
    sign = 1.0 if account.direction == "max" else -1.0

    def place(one: Configuration) -> tuple[int, float]:
        test, mean = account.comparisons.get(one.id), one.compared.mean
        if one is account.best and account.gain is not None:
            return 0, 0.0
        if mean is None:
            return 4, 0.0
        if one.withdrawn:
            return 3, -sign * mean
        if one in shown_better and test is not None:
            return 1, -(test.low or 0.0)
        return 2, -sign * mean

    return [_row(account, one, code_names or {}) for one in sorted(found, key=place)]


def _is_ablated(account: Account, one: Configuration) -> bool:
    return is_ablation(one.runs[0], account.sweep_texts)


def _row(account: Account, one: Configuration, code_names: Mapping[str, str]) -> RankedRow:
    times = [
        (run, run.finished_at - run.started_at)
        for run in one.runs
        if run.started_at is not None and run.finished_at is not None
    ]
    return RankedRow(
        one=one,
        what=what_differs(one, account.baseline, code_names),
        standing=standing_word(account, one),
        estimate=account.final(one),
        comparison=account.comparisons.get(one.id),
        seconds=sum(seconds for _, seconds in times),
        gpu_hours=sum(len(run.gpus) * seconds for run, seconds in times) / 3600,
    )


def standing_word(account: Account, one: Configuration) -> str:
    """What a configuration is, in a word or two: as tables and pictures have it."""
    if one is account.baseline:
        return WORDS[Standing.BASELINE] if account.has_true_baseline else STAND_IN
    standing, test = account.standing(one), account.comparisons.get(one.id)
    if account.baseline is not None and account.baseline.mean is None and one.n:
        return NOT_COMPARED
    if standing is Standing.BEST and test is None:
        return ""
    is_open = standing in (Standing.CANDIDATE, Standing.UNDECIDED)
    if is_open and test is not None and test.gain <= 0:
        return NOT_BETTER
    return WORDS[standing]


def what_differs(
    one: Configuration,
    base: Configuration | None,
    code_names: Mapping[str, str] | None = None,
    most: int = SHOWN_CHANGES,
) -> str:
    """The settings of `one` that the baseline has not, and its code where it is another.

    `lr=0.3, without dropout`; the baseline, and a session without one: all settings.

    Args:
        one: a configuration.
        base: what it is compared with.
        code_names: what was changed in code, by its digest.
        most: settings that are told; of more, how many there are.
    """
    if base is None or one is base:
        return shown(one.settings) or one.label
    said = [
        f"without {name}" if now is None else f"{name}={plain_value(now)}"
        for name, (now, _) in differences(one.settings, base.settings).items()
    ]
    if (more := len(said) - most) > 0:
        said = [*said[:most], f"{more} more"]
    if one.code != base.code:
        said.append((code_names or {}).get(one.code or "") or one.code_name or "other code")
    if one.program != base.program:
        said.append(one.program)
    return ", ".join(said) or one.name


def short_list(rows: Sequence[RankedRow], most: int) -> list[RankedRow]:
    """The first `most` rows, the baseline always among them."""
    named = (WORDS[Standing.BASELINE], STAND_IN)
    if any(one.standing in named for one in rows[most:]):
        base = next(one for one in rows if one.standing in named)
        return [*rows[: most - 1], base]
    return list(rows[:most])
