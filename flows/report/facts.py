"""Everything that a report tells, gathered before a word of it is written."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flows.configurations.groups import Configuration, configurations, ranked
from flows.models.evo_sweep import EvoSweepRecord
from flows.models.keep import KeepState
from flows.models.memory import Memory
from flows.models.run import Run, RunStatus
from flows.models.session import BestResult
from flows.models.session_record import IterationRecord
from flows.project import MetricConfig
from flows.protocol.plan import Plan
from flows.report.ablation import Ablation, ablations, is_ablation
from flows.report.statistics import Difference, difference
from flows.results import best_by, value_of

CAUSE_LENGTH = 200


@dataclass(frozen=True)
class SessionFacts:
    """The session itself. Times are Unix seconds; `ended` is empty while it goes on."""

    id: str
    goal: str
    agent: str
    workdir: str
    status: str
    iterations: Sequence[IterationRecord]
    started_at: float | None
    now: float
    ended: str = ""
    branch: str | None = None
    base_commit: str | None = None
    ui_url: str | None = None
    setup: Sequence[str] = ()
    keeps: bool = False
    keep_alpha: float = 0.05
    kept: KeepState = field(default_factory=KeepState)


@dataclass
class ReportFacts:
    """What the report is made of; every number in it is that of a run, or is made from runs."""

    session: SessionFacts
    runs: Sequence[Run]
    plan: Plan
    metric: MetricConfig | None
    sweep_texts: Mapping[str, str] = field(default_factory=dict)
    codes: Mapping[str, str] = field(default_factory=dict)
    busy: Mapping[str, str] = field(default_factory=dict)
    evo_sweeps: Sequence[EvoSweepRecord] = ()
    lessons: Sequence[Memory] = ()
    best: BestResult | None = field(init=False)
    baseline: BestResult | None = field(init=False)
    groups: list[Configuration] = field(init=False)

    def __post_init__(self) -> None:
        # An ablation that does better than the best is a finding, and may be the best itself.
        self.best, self.baseline = best_by(self.runs, self.metric)
        self.groups = (
            configurations(self.runs, self.metric.name, lambda run: self.codes.get(run.id))
            if self.metric
            else []
        )

    @property
    def by_id(self) -> dict[str, Run]:
        """The runs by id."""
        return {run.id: run for run in self.runs}

    @property
    def baseline_group(self) -> Configuration | None:
        """The configuration of the baseline run."""
        return self._group_of(self.baseline)

    @property
    def best_group(self) -> Configuration | None:
        """The configuration of the best run."""
        return self._group_of(self.best)

    @property
    def confirmed_group(self) -> Configuration | None:
        """The best mean among the configurations with the most seeds, the baseline left out.

        One lucky seed does not outrank a mean: while any configuration has several seeds, those
        with one do not count.
        """
        return self._confirmed(self.groups) or self.best_group

    @property
    def reference_group(self) -> Configuration | None:
        """What ablations are set against: the confirmed one of those that are not ablations only.

        An ablation may well run its control, the whole configuration, once more.
        """
        others = [one for one in self.groups if not all(map(self._is_ablation, one.runs))]
        return self._confirmed(others)

    @property
    def gain(self) -> Difference | None:
        """The confirmed configuration against the baseline, by means over seeds."""
        best, base = self.confirmed_group, self.baseline_group
        if best is None or base is None or best is base:
            return None
        return difference(best.values, base.values)

    @property
    def ablations(self) -> list[Ablation]:
        """What the ablations show."""
        reference = self.reference_group
        mine = [
            one
            for one in self.groups
            if one is not reference and any(map(self._is_ablation, one.runs))
        ]
        return ablations(mine, reference) if reference else []

    @property
    def failures(self) -> list[tuple[str, list[Run]]]:
        """The runs without a result by cause, the most frequent first."""
        found: dict[str, list[Run]] = {}
        for run in self.runs:
            if cause := self._cause(run):
                found.setdefault(cause, []).append(run)
        return sorted(found.items(), key=lambda item: -len(item[1]))

    @property
    def slot_hours(self) -> float:
        """Slots times hours of all runs; a run that goes on counts up to now."""
        return sum(run.gpus_requested * hours_of(run, self.session.now) for run in self.runs)

    @property
    def gpu_hours(self) -> float:
        """GPUs held times hours."""
        return sum(len(run.gpus) * hours_of(run, self.session.now) for run in self.runs)

    @property
    def counts(self) -> Counter[RunStatus]:
        """Runs by status."""
        return Counter(run.status for run in self.runs)

    def label_of(self, run: Run) -> str | None:
        """The call of the agent that a run belongs to."""
        calls = (it.label for it in self.session.iterations if run.id in it.run_ids)
        return next(calls, None)

    def _is_ablation(self, run: Run) -> bool:
        return is_ablation(run, self.sweep_texts)

    def _confirmed(self, groups: Sequence[Configuration]) -> Configuration | None:
        base = self.baseline_group
        rivals = [one for one in groups if one.values and one is not base]
        if not rivals or self.metric is None:
            return None
        most = max(one.n for one in rivals)
        return ranked([one for one in rivals if one.n == most], self.metric.direction)[0]

    def _group_of(self, result: BestResult | None) -> Configuration | None:
        if result is None:
            return None
        return next(
            (one for one in self.groups if any(run.id == result.run_id for run in one.runs)), None
        )

    def _cause(self, run: Run) -> str | None:
        if run.status is RunStatus.STOPPED:
            return "stopped"
        if run.status is RunStatus.FAILED:
            said = " ".join((run.error or "").split())[:CAUSE_LENGTH]
            return said or f"exit code {run.exit_code}"
        if run.status is RunStatus.FINISHED and self.metric:
            if self.metric.name not in run.metrics:
                return f"finished without {self.metric.name}"
            if value_of(run, self.metric.name) is None:
                return f"finished with {self.metric.name} not finite"
        return None


def hours_of(run: Run, now: float) -> float:
    """How long the run has run."""
    if run.started_at is None:
        return 0.0
    return max(0.0, (run.finished_at or now) - run.started_at) / 3600
