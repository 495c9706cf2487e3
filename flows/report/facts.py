"""Everything that a report tells, gathered before a word of it is written."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from wildloop.flows.evidence.account import Account
from wildloop.flows.evidence.values import value_of
from wildloop.flows.git.lines import Lines
from wildloop.flows.models.contract import SessionContract
from wildloop.flows.models.evo_sweep import EvoSweepRecord
from wildloop.flows.models.keep import KeepState
from wildloop.flows.models.memory import Memory
from wildloop.flows.models.run import Run, RunStatus
from wildloop.flows.models.sealed import SealedReport
from wildloop.flows.models.session_record import IterationRecord
from wildloop.flows.models.tree import TreeNode
from wildloop.flows.project import MetricConfig
from wildloop.flows.protocol.plan import Plan
from wildloop.flows.spending import core_hours
from wildloop.flows.tree.nodes import tree_of

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
    linked: Sequence[str] = ()
    keeps: bool = False
    keep_alpha: float = 0.05
    kept: KeepState = field(default_factory=KeepState)
    contract: SessionContract | None = None
    sealed: SealedReport | None = None

    @property
    def seconds(self) -> float:
        """How long it has taken until now."""
        return self.now - self.started_at if self.started_at else 0.0

    @property
    def last_index(self) -> int:
        """Number of the last iteration begun."""
        return max((it.index for it in self.iterations), default=0)


@dataclass
class ReportFacts:
    """What the report is made of; every number in it is that of a run, or of the account."""

    session: SessionFacts
    runs: Sequence[Run]
    plan: Plan
    account: Account
    busy: Mapping[str, str] = field(default_factory=dict)
    evo_sweeps: Sequence[EvoSweepRecord] = ()
    lessons: Sequence[Memory] = ()
    lines: Lines | None = None
    is_at_head: bool | None = None
    own: Sequence[Run] = ()

    @property
    def every_run(self) -> list[Run]:
        """The session's runs and those that Wildloop made for it (`own`), oldest first."""
        return sorted([*self.runs, *self.own], key=lambda run: run.created_at)

    @property
    def metric(self) -> MetricConfig | None:
        """The primary metric."""
        return self.account.contract.metric

    @property
    def by_id(self) -> dict[str, Run]:
        """The runs by id."""
        return {run.id: run for run in self.runs}

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
    def core_hours(self) -> float:
        """CPU time of the runs without a GPU."""
        return core_hours(self.runs, self.session.now)

    @property
    def counts(self) -> Counter[RunStatus]:
        """Runs by status."""
        return Counter(run.status for run in self.runs)

    @cached_property
    def tree(self) -> list[TreeNode]:
        """The changes of code, and what the session began with."""
        session = self.session
        kept = session.kept if session.keeps else None
        return tree_of(session.iterations, kept, self.account, session.base_commit)

    def label_of(self, run: Run) -> str | None:
        """The call of the agent that a run belongs to."""
        calls = (it.label for it in self.session.iterations if run.id in it.run_ids)
        return next(calls, None)

    def _cause(self, run: Run) -> str | None:
        if run.status is RunStatus.STOPPED:
            return "stopped"
        if run.status is RunStatus.FAILED:
            said = " ".join((run.error or "").split())[:CAUSE_LENGTH]
            return said or f"exit code {run.exit_code}"
        if run.status is RunStatus.FINISHED and self.metric:
            if self.metric.name in run.diverged:
                return f"diverged: {self.metric.name} ended as NaN or infinite"
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
