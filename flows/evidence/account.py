"""The account of a session: its configurations, the baseline, the best, and what is shown."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain, islice

from wildloop.flows.evidence.baseline import baseline_of, is_true_baseline
from wildloop.flows.evidence.compare import (
    compare,
    is_exact_metric,
    seeds_to_decide,
    why,
    with_limit,
)
from wildloop.flows.evidence.configuration import (
    Configuration,
    configurations,
    is_unknown,
    name_codes,
)
from wildloop.flows.evidence.contract import Contract as Contract
from wildloop.flows.evidence.estimate import are_equal
from wildloop.flows.evidence.further import estimates, told
from wildloop.flows.evidence.guards import breach
from wildloop.flows.evidence.known import Known
from wildloop.flows.evidence.levels import doubts, level_of
from wildloop.flows.evidence.simplest import in_order
from wildloop.flows.evidence.target import TargetVerdict, reached, seeds_to_tell
from wildloop.flows.models.evidence import Comparison, Direction, Estimate, Level, Standing
from wildloop.flows.models.run import Run

RULE = (
    "The best is, of the configurations shown to be better than the baseline, the one whose gain "
    "has the best lower bound (95 %); single runs are candidates; of equal ones it is the one "
    "with the fewest changes from the baseline, then with the fewest lines of code, then with the "
    "shortest runs."
)
KEEP_RULE = "The best is what the branch holds: the last change that was shown to be better."
NEIGHBOURS = 12
_ByCode = dict[tuple[str, str | None], list[Configuration]]
_ByProgram = dict[str, list[Configuration]]


@dataclass
class Branch:
    """What keep or discard has made of a session: the configuration that the branch holds.

    Args:
        best: its id; None while nothing is measured.
        comparison: of the decision that kept it; None for the first one.
        baseline: id of the configuration that the first decision measured.
        kept: ids of all that a test has shown to be better than the best of its time.
    """

    best: str | None = None
    comparison: Comparison | None = None
    baseline: str | None = None
    kept: frozenset[str] = frozenset()


class Account:
    """All that can be said of a session's runs. Nothing else computes.

    Args:
        runs: all its runs, archived ones too.
        contract: what it compares by.
        branch: of a session with keep or discard.
        labels: the agent's call that each run belongs to, by run id.
        sweep_texts: name and goal of each sweep, by id, which tell ablations.
        further: runs that Wildloop has made once all was decided.
        known: what the account before has found.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        contract: Contract,
        branch: Branch | None = None,
        labels: Mapping[str, str] | None = None,
        sweep_texts: Mapping[str, str] | None = None,
        further: Sequence[Run] = (),
        known: Known | None = None,
    ) -> None:
        self.contract, self.branch, self._known = contract, branch, known or Known()
        self.sweep_texts = sweep_texts or {}
        metric = contract.metric
        self.direction: Direction = metric.direction if metric else "max"
        name = metric.name if metric else None
        self.configurations = configurations(runs, name, labels, self._known)
        name_codes(self.configurations)
        self.unknown = [run for run in runs if is_unknown(run)]
        self.by_id = {one.id: one for one in self.configurations}
        self.by_run = {run.id: one for one in self.configurations for run in one.runs}
        self.is_exact = is_exact_metric(
            [group for one in self.configurations for group in [one.estimate.values, *one.repeats]]
        )
        held = self.by_id.get(branch.baseline or "") if branch is not None else None
        self.baseline = held or baseline_of(self.configurations, contract)
        if self.baseline is not None:
            self.baseline.set_reference(True)
        self._set_levels()
        self.comparisons = self._comparisons()
        self.ties: list[Configuration] = []
        self.why_simplest = ""
        self.best = self._best()
        sound = [run for run in further if not self.doubts_of(run, contract.evaluated)]
        self.further = estimates(sound, self.by_run, name)
        self._tell_by_further()

    def _set_levels(self) -> None:
        fixed = self.contract
        given, terms = fixed.evaluated, (fixed.command, fixed.is_guarded, fixed.begun)
        for one in self.configurations:
            has_value = None if given is None else tuple(run.id in given for run in one.runs)
            how = (self.is_exact, one.metric, has_value, *terms)
            found = self._known.get(("level", one.id, how), one.runs, partial(self._level_of, one))
            one.level, one.doubts = found[0], list(found[1])

    def _level_of(self, one: Configuration) -> tuple[Level, Sequence[str]]:
        reasons = {run.id: self.doubts_of(run, self.contract.evaluated) for run in one.runs}
        is_own = self.is_exact and one.own.n > 0
        behind = [run for run in one.own_runs if run in one.behind] if is_own else one.behind
        said = [text for run in behind or one.runs for text in reasons[run.id]]
        return level_of(behind, reasons), list(dict.fromkeys(said))

    def is_confirmable(self, one: Configuration) -> bool:
        """Whether Wildloop may run a configuration again: the project's command, known code."""
        contract, run = self.contract, one.runs[0]
        if not contract.confirms or one.withdrawn or not one.is_over:
            return False
        return not self.doubts_of(run)

    def doubts_of(self, run: Run, evaluated: Mapping[str, float] | None = None) -> list[str]:
        """Why its value is no more than claimed, by the contract."""
        fixed = self.contract
        given = None if evaluated is None else run.id in evaluated
        return self._known.get(
            ("doubts", run.id, fixed.command, fixed.is_guarded, given, fixed.begun),
            (run,),
            lambda: doubts(run, fixed.command, fixed.is_guarded, evaluated, fixed.begun),
        )

    def level_of_run(self, run: Run) -> Level:
        """Of one run."""
        found = self.doubts_of(run, self.contract.evaluated)
        return level_of([run], {run.id: found})

    @property
    def level(self) -> Level:
        """Of the best."""
        best = self.best or self.baseline
        return Level.CLAIMED if best is None else best.level

    def compare(
        self, ours: Configuration, theirs: Configuration, limit: float | None = None, tried: int = 1
    ) -> Comparison:
        """Two configurations of this session, by the seeds that did not choose them.

        Where those show no spread at all, and nothing else does, that of all seeds of the two is
        the scale: by chance a few seeds of a coarse metric agree.
        """
        near = self.neighbours({ours.id, theirs.id}, ours)
        sides = (ours.compared, theirs.compared)
        tell = partial(
            compare, *sides, self.direction, is_exact=self.is_exact, alpha=self.contract.alpha
        )

        def make() -> Comparison:
            found = tell(neighbours=near)
            if found.p is not None:
                return found
            return tell(neighbours=[ours.estimate, theirs.estimate])

        key = ("test", ours.id, theirs.id, self.direction, self.is_exact, self.contract.alpha)
        found = self._known.get(key, (*sides, ours.estimate, theirs.estimate, *near), make)
        return with_limit(found, self.contract.alpha if limit is None else limit, tried)

    def final(self, one: Configuration) -> Estimate:
        """What is told of the best and the baseline: by the seeds that have decided nothing.

        Where there are none, by those that decided.
        """
        gain = self.gain
        if gain is not None and gain.further and one in (self.best, self.baseline):
            return gain.ours if one is self.best else gain.theirs
        return one.compared

    def _tell_by_further(self) -> None:
        gain, base = self.gain, self.baseline
        if gain is None or base is None or self.best is None or self.is_exact:
            return
        ours, theirs = self.further.get(self.best.id), self.further.get(base.id)
        near = self.neighbours({self.best.id, base.id}, self.best)
        self.comparisons[self.best.id] = told(gain, ours, theirs, self.direction, near)

    def neighbours(self, pair: Collection[str], of: Configuration) -> list[Estimate]:
        """The estimates whose spread tells of a pair's: of the same program, the nearest first.

        Those of the same code come first, then the latest; the baseline counts where there is
        no other.
        """
        same, every = self._repeated
        if of.program not in every:
            return []
        far = (one for one in every.get(of.program, ()) if one.code != of.code)
        line = chain(same.get((of.program, of.code), ()), far)
        rivals = (one for one in line if one.id not in pair and one is not self.baseline)
        found = list(islice(rivals, NEIGHBOURS))
        base = self.baseline
        if not found and base is not None and base.n > 1 and base.program == of.program:
            found = [] if base.id in pair else [base]
        # Seeds that an agent has chosen do not belong to one spread with Wildloop's own.
        return [one.counted for one in found]

    @cached_property
    def _repeated(self) -> tuple[_ByCode, _ByProgram]:
        """Those with a spread, the latest first: by program and code, and by program."""
        same: _ByCode = {}
        every: _ByProgram = {}
        for one in sorted(self.configurations, key=lambda one: -one.runs[0].created_at):
            if one.n > 1:
                same.setdefault((one.program, one.code), []).append(one)
                every.setdefault(one.program, []).append(one)
        return same, every

    @property
    def gain(self) -> Comparison | None:
        """The best against the baseline; None where the baseline is the best."""
        if self.best is None or self.best is self.baseline:
            return None
        return self.comparisons.get(self.best.id)

    @property
    def shown(self) -> list[Configuration]:
        """Those shown to be better than the baseline."""
        return [self.by_id[id] for id, one in self.comparisons.items() if one.established]

    @cached_property
    def candidates(self) -> list[Configuration]:
        """Those that look better than the best and are not shown to be, the most promising first.

        Which of them hold more seeds decide.
        """
        reference = self.best or self.baseline
        sign = 1.0 if self.direction == "max" else -1.0
        found = [
            one
            for one in self.configurations
            if one.mean is not None
            and one is not reference
            and not one.withdrawn
            and not self.breaches(one)
            # What keep or discard has decided about is no candidate any more.
            and (self.branch is None or one.code == (reference.code if reference else one.code))
        ]
        if reference is not None and reference.mean is not None:
            mean = reference.mean
            found = [one for one in found if sign * ((one.mean or 0.0) - mean) > 0]
            found = [one for one in found if not are_equal([one.mean or 0.0, mean])]
        return sorted(found, key=lambda one: -sign * (one.mean or 0.0))

    def has_been_shown(self, one: Configuration) -> bool:
        """Whether a test has shown it: to be better than the baseline, or than an earlier best."""
        return one in self.shown or (self.branch is not None and one.id in self.branch.kept)

    def breaches(self, one: Configuration) -> list[str]:
        """The guards that a configuration breaks, and by how much; the baseline breaks none."""
        if one is self.baseline:
            return []
        found = (breach(guard, one, self.baseline) for guard in self.contract.guards)
        return [said for said in found if said is not None]

    def seeds_to_decide(self, one: Configuration) -> int | None:
        """How many more seeds would decide about a configuration."""
        found = self.comparisons.get(one.id)
        return None if found is None else seeds_to_decide(found)

    @property
    def target_verdict(self) -> TargetVerdict | None:
        """Whether the goal's number is reached; None where it sets none."""
        target, best = self.contract.target, self.best or self.baseline
        if target is None:
            return None
        return "undecided" if best is None else reached(target, self.final(best), self.is_exact)

    @property
    def seeds_for_target(self) -> int | None:
        """How many more seeds of the best would tell whether the goal's number is reached."""
        target, best = self.contract.target, self.best or self.baseline
        if target is None or best is None or self.target_verdict != "undecided" or self.is_exact:
            return None
        return seeds_to_tell(target, self.final(best))

    def standing(self, one: Configuration) -> Standing:
        """What a configuration is."""
        found = self.comparisons.get(one.id)
        if one is self.baseline:
            return Standing.BASELINE
        if one.withdrawn:
            return Standing.WITHDRAWN
        if not one.n:
            return Standing.NO_VALUE
        if one is self.best:
            return Standing.BEST
        if one.missing_seeds:
            return Standing.INCOMPLETE
        if self.branch is not None and self.best is not None and one.code != self.best.code:
            return Standing.OFF_BRANCH
        if found is not None and found.established:
            return Standing.BROKEN if self.breaches(one) else Standing.BETTER
        if not self._is_testable(one):
            return Standing.CANDIDATE
        return Standing.UNDECIDED

    @property
    def has_true_baseline(self) -> bool:
        """Whether the baseline is the baseline command on the code of the beginning."""
        return self.baseline is not None and is_true_baseline(self.baseline, self.contract)

    def _comparisons(self) -> dict[str, Comparison]:
        """Each configuration with the baseline, corrected after Holm over those that can be tested.

        A configuration with a single seed, or one of whose seeds has no value, is not tested, so
        it costs the others nothing; nothing can be claimed of it either. What was withdrawn was
        looked at, and still counts.
        """
        base = self.baseline
        if base is None or base.mean is None:
            return {}
        rivals = [one for one in self.configurations if one is not base and one.n]
        found = {one.id: self.compare(one, base) for one in rivals}
        if self.branch is not None:
            return self._by_branch(found)
        tested = [one for one in rivals if self._is_testable(one)]
        # Once Wildloop has run candidates itself, these tests alone decide: they are few.
        tested = [one for one in tested if one.level is Level.CONFIRMED] or tested
        tested.sort(key=lambda one: 1.0 if (p := found[one.id].p) is None else p)
        corrected, is_on = dict[str, Comparison](), True
        for place, one in enumerate(tested):
            # No test has more than half of alpha: what is shown has its 95 % interval above zero.
            limit = self.contract.alpha / max(2, len(tested) - place)
            again = self.compare(one, base, limit, len(tested))
            is_on = is_on and again.established
            corrected[one.id] = again if is_on else _not_shown(again)
        return {
            one.id: corrected[one.id]
            if one.id in corrected and not one.withdrawn
            else _not_shown(found[one.id])
            for one in rivals
        }

    def _by_branch(self, found: Mapping[str, Comparison]) -> dict[str, Comparison]:
        """With keep, only what was kept is shown: its decision has tested it."""
        assert self.branch is not None
        shown = {id: _not_shown(one) for id, one in found.items()}
        best, test = self.branch.best or "", self.branch.comparison
        if best in found and test is not None and test.established:
            base = self.baseline.compared if self.baseline else Estimate()
            is_same = (
                test.theirs.values == base.values and test.ours.values == found[best].ours.values
            )
            kept = found[best].model_copy(update={"limit": test.limit, "tried": test.tried})
            shown[best] = test if is_same else kept.model_copy(update={"established": True})
        return shown

    def _is_testable(self, one: Configuration) -> bool:
        return one.is_testable or (self.is_exact and not one.missing_seeds)

    def _best(self) -> Configuration | None:
        base = self.baseline
        if self.branch is not None:
            return self.by_id.get(self.branch.best or "") or base
        held = [one for one in self.shown if not self.breaches(one)]
        order = sorted(held, key=lambda one: -(self.comparisons[one.id].low or 0.0))
        if not order:
            return base if base is not None and base.n else None
        first = order[0]
        equal = [
            one
            for one in order
            if are_equal([one.compared.mean or 0.0, first.compared.mean or 0.0])
            and are_equal([self.comparisons[i.id].low or 0.0 for i in (one, first)])
        ]
        self.ties, self.why_simplest = in_order(equal, base)
        return self.ties[0]


def _not_shown(found: Comparison) -> Comparison:
    if not found.established:
        return found
    denied = found.model_copy(update={"established": False})
    return denied.model_copy(update={"why": why(denied)})
