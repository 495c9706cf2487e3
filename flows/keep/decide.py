"""The decision: pure, from the account and what the iteration has left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wildloop.flows.evidence.account import Account
from wildloop.flows.evidence.configuration import Configuration
from wildloop.flows.evidence.confirm import is_promising
from wildloop.flows.evidence.estimate import are_equal, estimate_of
from wildloop.flows.evidence.simplest import in_order, tie_text
from wildloop.flows.keep.measured import evidence_of
from wildloop.flows.models.evidence import Comparison, Estimate, Level
from wildloop.flows.models.keep import Evidence, KeepStatus

NOT_MEASURED = "not measured: the iteration made no run, so its change stays as it is"
OTHER_CODE = (
    "not measured: no run executed the code that the iteration has left, so its change stays as it "
    "is"
)
NOT_COMPARED = (
    "not measured: no run of the code that the iteration has left can be compared, so its change "
    "stays as it is"
)
NOT_PROMISING = "not confirmed, as the agent's own seeds do not bear it out"
NOT_RUN = (
    "not confirmed: Wildloop has not run it again, as its share of runs or the time is used up, or "
    "its code is gone"
)
AS_CLAIMED = "kept as claimed: "
NAMES_SHOWN = 5
MANY_SEEDS = 3


@dataclass(frozen=True)
class Decision:
    """What is to become of a change, and what is the best from now on."""

    status: KeepStatus
    why: str
    best: Evidence | None
    candidate: Evidence | None = None
    against: Evidence | None = None
    comparison: Comparison | None = None
    warnings: tuple[str, ...] = ()
    is_tested: bool = True
    refused: str = ""


@dataclass(frozen=True)
class Change:
    """An iteration as the decision sees it.

    Args:
        candidates: the configurations of the code that it has left, which its runs belong to.
        others: those of other code, which its runs belong to too.
        best: the best before; None if nothing was measured yet.
        tests: how many tests were made since something was kept by one.
        iteration: its number.
        commit: its commit.
        busy: why a run shared its machine, by run id.
        has_runs: whether the iteration made any run.
    """

    candidates: Sequence[Configuration]
    others: Sequence[Configuration] = ()
    best: Evidence | None = None
    tests: int = 0
    iteration: int = 0
    commit: str | None = None
    busy: Mapping[str, str] | None = None
    has_runs: bool = True

    def seen(self, one: Configuration) -> Evidence:
        """A configuration as it is noted in the decision."""
        return evidence_of(one, self.iteration, self.commit, self.busy or {})


def limit_of(tests: int, alpha: float) -> float:
    """What the p-value of the next test has to be below, after so many since the last keep.

    alpha / 2, / 6, / 12, ...: all of them together come to alpha, however many there are, so
    that a session where nothing helps keeps anything with that probability at most.
    """
    return alpha / ((tests + 1) * (tests + 2))


def decide(account: Account, change: Change) -> Decision:
    """Keep a change if one of its configurations is shown to be better than the best before.

    - No runs: it is not measured, and stays.
    - No configuration with a value for each seed that was tried: crash.
    - No best before: the first configuration made is it; others are compared with it.
    - The best's configuration again: more seeds of the best.
    - Else the one comparison, its limit shared by the iteration's configurations; of several that
      are better the one with the best lower bound is the best from now on, of equal ones the
      simplest. What is not established is not kept.
    """
    warnings = tuple(_other_code(one) for one in change.others)
    best = account.by_id.get(change.best.id) if change.best else None
    if not change.candidates:
        why = (OTHER_CODE if change.others else NOT_COMPARED) if change.has_runs else NOT_MEASURED
        still = change.best if best is None else _still(change, best)
        return Decision(KeepStatus.KEEP, why, still, warnings=warnings)
    whole = [one for one in change.candidates if one.n and not one.missing_seeds]
    warnings += tuple(_incomplete(one) for one in change.candidates if one.n and one.missing_seeds)
    if not whole:
        why = "no configuration has a value for each seed that was tried"
        shown = change.seen(change.candidates[0])
        return Decision(KeepStatus.CRASH, why, change.best, shown, change.best, None, warnings)
    if best is None:
        return _first(account, change, whole, warnings)
    others = [one for one in whole if one.id != best.id]
    if not others:
        again = _still(change, best)
        why = f"more seeds of the best: {describe(again)}"
        return Decision(KeepStatus.KEEP, why, again, again, again, None, warnings)
    return _against(account, change, others, best, warnings)


def _first(
    account: Account,
    change: Change,
    whole: Sequence[Configuration],
    warnings: tuple[str, ...],
) -> Decision:
    """The first measurement sets the best; what came with it is compared with it."""
    first = account.baseline if account.baseline in whole else whole[0]
    assert first is not None
    first.is_reference = True
    seen = change.seen(first)
    why = f"the first measurement, which others are compared with: {describe(seen)}"
    others = [one for one in whole if one is not first]
    if others:
        found = _against(account, change, others, first, warnings)
        if found.status is KeepStatus.KEEP:
            return found
        why += f"; of the others: {found.why}"
    few = (few_seeds(seen),) if seen.n < MANY_SEEDS and not account.is_exact else ()
    return Decision(KeepStatus.KEEP, why, seen, seen, None, None, (*warnings, *few))


def _against(
    account: Account,
    change: Change,
    rivals: Sequence[Configuration],
    best: Configuration,
    warnings: tuple[str, ...],
) -> Decision:
    # What the agent's own seeds do not bear out is not run again, and takes nothing of alpha.
    tested = [one for one in rivals if is_eligible(account, one)]
    count = max(1, len(tested))
    limit = limit_of(change.tests, account.contract.alpha) / count
    tried = change.tests + count
    found = [(account.compare(one, best, limit, tried), one) for one in tested or rivals]
    order, why_simplest = list[Configuration](), ""
    better = [pair for pair in found if pair[0].established and pair[1].is_unchosen and tested]
    if better:
        order, why_simplest = _simplest_of_best(better, account.baseline)
        winner = order[0]
        comparison = next(test for test, one in better if one is winner)
    else:
        comparison, winner = min(
            found, key=lambda pair: (1.0 if pair[0].p is None else pair[0].p, -pair[0].gain)
        )
    ours, theirs = change.seen(winner), _still(change, best)
    more = list(warnings)
    is_close = not better and comparison.gain > 0 and not account.is_exact
    if is_close and min(ours.n, theirs.n) < MANY_SEEDS:
        more.append(few_seeds(ours if ours.n <= theirs.n else theirs))
    if bool(ours.busy) != bool(theirs.busy):
        busy = "; ".join((ours.busy or theirs.busy)[:NAMES_SHOWN])
        more.append(f"runs that shared their machine are compared with runs that did not ({busy})")
    status = KeepStatus.KEEP if better else KeepStatus.DISCARD
    why = comparison.why + tie_text(order, why_simplest)
    if not tested:
        comparison = comparison.model_copy(update={"established": False})
        looks = is_promising(comparison)
        why = f"{NOT_RUN if looks else NOT_PROMISING}: {comparison.why}"
    elif better and ours.level is Level.CLAIMED:
        more.append(f"{AS_CLAIMED}{'; '.join(winner.doubts)}")
    return Decision(
        status,
        why,
        ours if better else theirs,
        ours,
        theirs,
        comparison,
        tuple(more),
        is_tested=bool(tested),
    )


def is_eligible(account: Account, one: Configuration) -> bool:
    """Whether a configuration may be kept: confirmed, where Wildloop can run it again."""
    return bool(one.own.n) or not account.is_confirmable(one)


def _simplest_of_best(
    better: Sequence[tuple[Comparison, Configuration]], base: Configuration | None
) -> tuple[list[Configuration], str]:
    """Those with the best lower bound, the simplest first, and why the second is not that."""
    top = max(pair[0].low or 0.0 for pair in better)
    equal = [one for test, one in better if are_equal([test.low or 0.0, top])]
    return in_order(equal, base)


def _still(change: Change, best: Configuration) -> Evidence:
    """The best with the seeds that it has now, where and when it became the best."""
    seen = change.seen(best)
    if change.best is None:
        return seen
    return seen.model_copy(
        update={"iteration": change.best.iteration, "commit": change.best.commit}
    )


def _other_code(one: Configuration) -> str:
    names = ", ".join(run.name for run in one.runs[:NAMES_SHOWN])
    return (
        f"other code than this iteration has left, so another configuration: {names} "
        f"({one.name}: {one.score})"
    )


def _incomplete(one: Configuration) -> str:
    return (
        f"left out: {one.name} has no value for seed {', '.join(one.missing_seeds)}: a "
        "configuration counts when each of its seeds has one"
    )


def few_seeds(one: Evidence) -> str:
    """What to do about a configuration that was run on one or two seeds."""
    return (
        f"only {one.n} seed{'s' if one.n > 1 else ''} of {one.configuration}: run it with "
        f"{MANY_SEEDS} or more different seeds, and record each as `seed`"
    )


def describe(one: Evidence) -> str:
    """`0.912 ± 0.004 (n=3)`"""
    return estimate_in(one).text


def estimate_in(one: Evidence) -> Estimate:
    """The estimate of a configuration as a decision saw it."""
    return estimate_of(dict(zip(one.seeds, one.values, strict=True)))
