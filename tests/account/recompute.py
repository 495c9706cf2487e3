"""A session's account from its runs' files: configurations, comparisons, best, ablation."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from scipy import stats

from tests.account.files import Run
from tests.account.statistics import (
    Side,
    Tested,
    compare,
    deviation,
    equal,
    interval,
    is_exact,
    mean,
    moderated,
    own,
    prior_of,
)

ALPHA = 0.05
SAME_CALL_S = 60.0


@dataclass
class Group:
    """Runs of the same contents, program and settings."""

    runs: list[Run]
    further: list[Run] = field(default_factory=list)
    withdrawn: bool = False
    is_reference: bool = False

    @cached_property
    def by_seed(self) -> dict[str, list[Run]]:
        """The runs that have a value."""
        found: dict[str, list[Run]] = {}
        for run in self.runs:
            if run.value is not None:
                found.setdefault(run.seed, []).append(run)
        return found

    @cached_property
    def side(self) -> Side:
        """The mean of each seed."""
        return {s: float(np.mean([run.value for run in runs])) for s, runs in self.by_seed.items()}

    @cached_property
    def own(self) -> Side:
        """The values of Wildloop's own runs."""
        return {run.seed: run.value for run in self.runs if run.is_own and run.value is not None}

    @cached_property
    def after(self) -> Side:
        """The values by seeds that came once all was decided."""
        return {run.seed: run.value for run in self.further if run.value is not None}

    @property
    def counted(self) -> Side:
        """Wildloop's own runs, where there are two of them, else all seeds."""
        return self.own if len(self.own) > 1 else self.side

    @property
    def choosing(self) -> set[str]:
        """Seeds that ran before any value was known, where others came after."""
        first = [runs[0] for runs in self.by_seed.values()]
        if not first or self.is_reference:
            return set()
        known, call = min(run.finished for run in first), first[0].call
        late = {
            run.seed
            for run in first
            if run.created > known + (SAME_CALL_S if run.call == call else 0.0)
        }
        return set(self.by_seed) - late if late else set()

    @property
    def compared(self) -> Side:
        """Wildloop's own, else the seeds that did not choose it, where there are two of them."""
        if len(self.own) > 1:
            return self.own
        fresh = {seed: value for seed, value in self.side.items() if seed not in self.choosing}
        return fresh if len(fresh) > 1 else self.side

    @property
    def missing(self) -> bool:
        """Whether a seed that was tried has no value."""
        ended = {run.seed for run in self.runs if run.status != "running"}
        return not ended <= set(self.by_seed)

    @property
    def seconds(self) -> float:
        """Mean time of a run, the last of each seed."""
        last = [runs[-1] for runs in self.by_seed.values()]
        return float(np.mean([run.finished - run.started for run in last]))

    @property
    def label(self) -> str:
        """Its settings in the order in which they were given."""
        settings = self.runs[0].settings
        said = ", ".join(f"{name}={value}" for name, value in settings.items())
        return said or self.runs[0].program

    @property
    def is_ablation(self) -> bool:
        """By its name."""
        return "ablation" in self.runs[0].name

    @property
    def is_unchosen(self) -> bool:
        """Whether what it is compared by has not chosen it."""
        chosen = self.choosing
        return len(self.own) > 1 or not chosen or len(self.side) - len(chosen) > 1

    def changes_from(self, other: "Group") -> int:
        """Settings that differ, and one for other code."""
        mine, theirs = self.runs[0].settings, other.runs[0].settings
        names = mine.keys() | theirs.keys()
        differing = sum(mine.get(name) != theirs.get(name) for name in names)
        return differing + (self.runs[0].code != other.runs[0].code)


@dataclass(frozen=True)
class Ablated:
    """What is without a part, against what has it."""

    group: Group
    test: Tested | None
    verdict: str


def text(side: Side) -> str:
    """A mean with its spread, as every text has it."""
    if not side:
        return "no value"
    spread = deviation(side)
    said = "" if spread is None else f" ± {spread:.2g}"
    return f"{mean(side):.5g}{said} (n={len(side)})"


@dataclass
class Account:
    """What runs say.

    Args:
        runs: in the order of their creation.
        direction: of the metric.
        withdrawn: ids of runs that were taken out.
        first: of a keeping session, the run whose configuration is the baseline.
        kept: of a keeping session, a run of the configuration that the branch holds.
        tests: of a keeping session, those since something was kept by one.
        won: of a keeping session, a run of each configuration that a test has kept.
    """

    runs: Sequence[Run]
    direction: str
    withdrawn: frozenset[str] = frozenset()
    first: str | None = None
    kept: str | None = None
    tests: int = 0
    won: frozenset[str] = frozenset()
    groups: list[Group] = field(init=False)

    def __post_init__(self) -> None:
        found: dict[object, Group] = {}
        for run in self.runs:
            key = (run.code, run.program, tuple(sorted(run.settings.items())))
            group = found.setdefault(key, Group([]))
            (group.further if run.is_further else group.runs).append(run)
        self.groups = list(found.values())
        for group in self.groups:
            group.withdrawn = any(run.id in self.withdrawn for run in group.runs)
        self.sign = 1.0 if self.direction == "max" else -1.0
        if self.baseline is not None:
            self.baseline.is_reference = True

    def of(self, run_id: str) -> Group:
        """The configuration of a run."""
        return next(one for one in self.groups if any(run.id == run_id for run in one.runs))

    @cached_property
    def exact(self) -> bool:
        """Whether the metric has no spread."""
        again = [
            [run.value for run in runs if run.value is not None]
            for one in self.groups
            for runs in one.by_seed.values()
        ]
        return is_exact([*(list(one.side.values()) for one in self.groups), *again])

    @cached_property
    def baseline(self) -> Group | None:
        """What was measured first."""
        if self.first is not None:
            return self.of(self.first)
        return next((one for one in self.groups if not one.withdrawn), None)

    def neighbours(self, ours: Group, theirs: Group) -> list[Side]:
        """Twelve others of the same program; of the same code first, then the latest."""
        others = [
            one
            for one in self.groups
            if one not in (ours, theirs)
            and len(one.side) > 1
            and one.runs[0].program == ours.runs[0].program
        ]
        line = [one for one in others if one is not self.baseline] or others
        line.sort(key=lambda one: (one.runs[0].code != ours.runs[0].code, -one.runs[0].created))
        return [one.counted for one in line[:12]]

    def test(self, ours: Group, theirs: Group) -> Tested:
        """One configuration against another."""
        near = self.neighbours(ours, theirs)
        return compare(ours.compared, theirs.compared, self.sign, near, self.exact)

    @cached_property
    def is_told_by_further(self) -> bool:
        """Whether best and baseline have two seeds each that have decided nothing."""
        best, base = self.best, self.baseline
        if best is None or base is None or best is base or self.exact:
            return False
        return min(len(best.after), len(base.after)) > 1

    def final(self, one: Group) -> Side:
        """What is told of the best and the baseline."""
        is_meant = one is self.best or one is self.baseline
        return one.after if is_meant and self.is_told_by_further else one.compared

    def told(self, ours: Group) -> Tested:
        """The comparison with the baseline: gain and interval by further seeds, p by the others."""
        base = self.baseline
        assert base is not None
        test = self.test(ours, base)
        if ours is not self.best or not self.is_told_by_further:
            return test
        near = self.neighbours(ours, base)
        fresh = compare(ours.after, base.after, self.sign, near, self.exact)
        return replace(test, gain=fresh.gain, low=fresh.low, high=fresh.high)

    def testable(self, one: Group) -> bool:
        """Whether anything may be claimed of a configuration."""
        if one.missing or not one.side:
            return False
        return self.exact or (len(one.compared) > 1 and one.is_unchosen)

    @cached_property
    def tested(self) -> list[Group]:
        """What is compared with the baseline; once Wildloop has confirmed any, these alone."""
        rivals = [one for one in self.groups if one is not self.baseline and self.testable(one)]
        return [one for one in rivals if len(one.own) > 1] or rivals

    @cached_property
    def shown(self) -> list[tuple[Group, Tested]]:
        """Those better than the baseline after Holm, without regard to keeping."""
        base = self.baseline
        if base is None or not base.side:
            return []
        tests = sorted(((self.test(one, base), one) for one in self.tested), key=_p)
        found = []
        for place, (test, one) in enumerate(tests):
            limit = ALPHA / max(2, len(tests) - place)
            many = min(len(one.compared), len(base.compared)) > 1
            passes = self.exact or (test.p is not None and test.p < limit and many)
            if not (passes and test.gain > 0):
                break
            if not one.withdrawn:
                found.append((one, test))
        return found

    @cached_property
    def best(self) -> Group | None:
        """What the branch holds; else the best lower bound, of equal ones the simplest."""
        if self.kept is not None:
            return self.of(self.kept)
        base, shown = self.baseline, self.shown
        if not shown or base is None:
            return base if base is not None and base.side else None
        top = max(shown, key=lambda pair: pair[1].low or 0.0)
        alike = [
            one
            for one, test in shown
            if equal([test.low or 0.0, top[1].low or 0.0])
            and equal([mean(one.compared), mean(top[0].compared)])
        ]
        return min(alike, key=lambda one: (one.changes_from(base), one.runs[0].lines, one.seconds))

    def line(self) -> list[Group]:
        """Each configuration that had the best mean of its time; single seeds count only first."""
        found: list[Group] = []
        for one in self.groups:
            is_first = one is self.baseline or self.exact or self.kept is None
            if not one.side or one.withdrawn or (len(one.side) < 2 and not is_first):
                continue
            if not found or self.sign * (mean(one.counted) - mean(found[-1].counted)) > 0:
                found.append(one)
        return found

    def smallest_gain(self, seeds: int, limit: float) -> float | None:
        """What so many seeds show nine times in ten, against the best; None without a spread."""
        reference = self.best or self.baseline
        if reference is None or not reference.side or self.exact:
            return None
        near = self.neighbours(reference, reference)
        found = moderated(own(reference.compared), prior_of(near))
        if found is None:
            return None
        error = np.sqrt(found[0] * (1 / seeds + 1 / len(reference.compared)))
        freedom = found[1] + seeds - 1
        return float(error * (stats.t.ppf(1 - limit, freedom) + stats.t.ppf(0.9, freedom)))

    def next_limit(self) -> float:
        """What the next test's p has to be below."""
        if self.kept is not None or self.first is not None:
            return ALPHA / ((self.tests + 1) * (self.tests + 2))
        base = self.baseline
        rivals = [one for one in self.groups if one is not base and one.side]
        tested = len(self.tested)
        return ALPHA / ((tested if tested > 1 else len(rivals)) + 1)

    @cached_property
    def estimates(self) -> set[str]:
        """How its configurations may be written."""
        found = {
            text(side)
            for one in self.groups
            for side in (one.counted, one.compared, self.final(one))
        }
        # Lessons tell no spread of nothing.
        return found | {one.replace(" ± 0 (", " (") for one in found}

    def level(self, one: Group, is_guarded: bool) -> str:
        """What stands behind a configuration."""
        if not is_guarded or not one.side:
            return "claimed"
        return "confirmed" if len(one.own) > 1 else "measured"

    def ablation(self) -> tuple[Group, list[Ablated]] | None:
        """The reference of the runs called an ablation, and each of them against it."""
        rows = [one for one in self.groups if one.is_ablation]
        if not rows:
            return None
        begun = min(one.runs[0].created for one in rows)
        earlier = [
            one
            for one in self.groups
            if one.side and one not in rows and one.runs[0].created < begun
        ]
        reference = min(
            earlier,
            key=lambda one: (
                one is self.baseline,
                sum(row.changes_from(one) for row in rows),
                -self.sign * mean(one.counted),
            ),
        )
        return reference, self._ablated(reference, rows)

    def _ablated(self, reference: Group, rows: Sequence[Group]) -> list[Ablated]:
        """Nothing is said of the parts of what was not shown itself; else Holm, two-sided."""
        shown = [one for one, _ in self.shown] + [self.of(id) for id in self.won] + [self.best]
        if reference is self.baseline or reference not in shown:
            return [Ablated(row, None, "undecided") for row in rows]
        found = []
        for row in rows:
            ways = [self.test(reference, row), self.test(row, reference)]
            found.append((min(ways, key=lambda way: 1.0 if way.p is None else way.p), ways, row))
        found.sort(key=lambda one: 1.0 if one[0].p is None else one[0].p)
        said, is_on = [], True
        for place, (test, ways, row) in enumerate(found):
            limit = ALPHA / (2 * (len(found) - place))
            many = min(len(row.compared), len(reference.compared)) > 1 or self.exact
            is_on = is_on and many and test.gain > 0 and test.p is not None and test.p < limit
            word = "needed" if test is ways[0] else "not needed: simpler without"
            said.append(Ablated(row, test, word if is_on else "undecided"))
        return said


def _p(pair: tuple[Tested, Group]) -> float:
    return 1.0 if pair[0].p is None else pair[0].p


__all__ = ["ALPHA", "Account", "Group", "interval", "text"]
