"""What a prompt is made from: where the session stands, as values."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import median

from wildloop.flows.evidence.account import Account
from wildloop.flows.evidence.configuration import Configuration
from wildloop.flows.models.change import Change
from wildloop.flows.models.contract import SessionContract
from wildloop.flows.models.keep import Start, Verdict
from wildloop.flows.models.run import Run, RunStatus
from wildloop.flows.models.session_options import SessionSpec
from wildloop.flows.models.session_record import IterationRecord, SessionRecord
from wildloop.flows.models.spending import Spending
from wildloop.flows.models.tree import TreeNode
from wildloop.flows.project import ProjectConfig
from wildloop.flows.prompt.kind import Kind
from wildloop.flows.protocol.plan import Plan, Task, next_task, open_tasks
from wildloop.flows.text.redaction import Redactor
from wildloop.flows.tree.nodes import tree_of

TIMED = 30
"""The last runs, whose times tell how long one takes."""
BESIDE = 0.5
"""A run that others ran beside for more than this share of its time was not alone."""


@dataclass(frozen=True)
class PromptState:
    """Everything that the parts of a prompt are made from.

    Args:
        kind: of the call.
        index: number of the iteration; 0 for planning.
        turn: of the call within it, from 1.
        spec: the session's options.
        record: its position.
        plan: tasks.md, parsed.
        account: of its runs.
        fixed: what it compares by.
        runs: all its runs.
        used: what it has spent.
        project: wildloop.toml, if there is one.
        slots: how many runs may run at a time.
        free: slots that neither run nor queue takes.
        memories: lessons of the project, a line each.
        logs: ends of the logs of failed runs, by id.
        researcher: whose prompt it is, where several work on the session.
        claimed: the task of that one.
        beside: what the others are at.
    """

    kind: Kind
    index: int
    turn: int
    spec: SessionSpec
    record: SessionRecord
    plan: Plan
    account: Account
    fixed: SessionContract = field(default_factory=SessionContract)
    runs: Sequence[Run] = ()
    used: Spending = field(default_factory=Spending)
    project: ProjectConfig | None = None
    slots: int = 1
    free: int = 1
    memories: Sequence[str] = ()
    logs: Mapping[str, str] = field(default_factory=dict)
    researcher: int | None = None
    claimed: str | None = None
    beside: str = ""

    @cached_property
    def redact(self) -> Redactor:
        """Takes the secrets of this process's environment out of a text."""
        return Redactor.of(os.environ)

    @cached_property
    def by_iteration(self) -> dict[int, list[Configuration]]:
        """The configurations that each iteration was the first to run."""
        found: dict[int, list[Configuration]] = {}
        for one in self.account.configurations:
            index = self.iteration_of.get(one.runs[0].id)
            if index is not None:
                found.setdefault(index, []).append(one)
        return found

    @cached_property
    def decided(self) -> dict[str, Verdict]:
        """What keep or discard has decided, by the candidate's id; the first of each."""
        verdicts = self.record.keep.verdicts[::-1]
        return {one.candidate.id: one for one in verdicts if one.candidate is not None}

    @cached_property
    def declared(self) -> dict[int, Change]:
        """What each iteration says that it changed; the last word of each."""
        calls = [it for it in self.record.iterations if it.kind == "iteration"]
        return {it.index: it.change for it in calls if it.change is not None}

    @property
    def calls(self) -> list[IterationRecord]:
        """The calls of this iteration that have ended."""
        calls = self.record.iterations
        return [it for it in calls if it.kind == "iteration" and it.index == self.index]

    @cached_property
    def iteration_of(self) -> dict[str, int]:
        """The iteration that created each run, by run id."""
        return {id: it.index for it in self.record.iterations for id in it.run_ids}

    @property
    def task(self) -> Task | None:
        """The task of this iteration: the one in progress, else the first open one."""
        if self.claimed is not None:
            left = open_tasks(self.plan)
            return next((task for task in left if self.claimed in (task.id, task.text)), None)
        return next_task(self.plan)

    @cached_property
    def tree(self) -> list[TreeNode]:
        """The changes of a session of one researcher that keeps only what is better; else none."""
        record = self.record
        if self.spec.keep != "better" or self.researcher is not None:
            return []
        return tree_of(record.iterations, record.keep, self.account, record.base_commit)

    @property
    def start(self) -> Start | None:
        """The node that this iteration has begun with, where that is not what lay there."""
        return self.record.keep.start_of(self.index) if self.kind == "iteration" else None

    def is_mine(self, run: Run) -> bool:
        """Whether a run is of the researcher that reads this."""
        return self.researcher is None or run.researcher == self.researcher

    @property
    def told_since(self) -> float:
        """What has ended since then (Unix seconds), the last prompt could not tell."""
        return self.record.iterations[-1].started_at if self.record.iterations else 0.0

    @property
    def runs_left(self) -> int | None:
        """How many runs may still be created; None without a bound."""
        bound = self.spec.budget.runs
        return None if bound is None else max(0, bound - self.used.runs)

    @property
    def iterations_left(self) -> int:
        """With this one."""
        if self.kind == "planning":
            return self.spec.max_iterations
        begun = self.index if self.kind == "iteration" else self.index + 1
        return max(0, self.spec.max_iterations - begun + 1)

    @property
    def hours_left(self) -> float | None:
        """Wall-clock hours of the budget; None without a bound."""
        bound = self.spec.budget.hours
        return None if bound is None else max(0.0, bound - self.used.hours)


@dataclass(frozen=True)
class RunTimes:
    """How long a run takes (medians in seconds): with the machine to itself, and beside others."""

    alone: float | None
    beside: float | None

    @property
    def longest(self) -> float | None:
        """What to reckon with."""
        return max((one for one in (self.alone, self.beside) if one is not None), default=None)


def run_times(runs: Sequence[Run]) -> RunTimes:
    """How long the last finished runs of a session took."""
    timed = [
        (run.started_at, run.finished_at)
        for run in runs
        if run.status is RunStatus.FINISHED and run.started_at and run.finished_at
    ]
    last = sorted(timed, key=lambda span: span[1])[-TIMED:]
    groups: dict[bool, list[float]] = {False: [], True: []}
    for place, (begin, end) in enumerate(last):
        others = [*last[:place], *last[place + 1 :]]
        shared = sum(max(0.0, min(end, to) - max(begin, since)) for since, to in others)
        groups[shared > BESIDE * (end - begin)].append(end - begin)
    alone, beside = (median(groups[key]) if groups[key] else None for key in (False, True))
    return RunTimes(alone, beside)


def duration(seconds: float) -> str:
    """`6 s`, `2.5 min`, `3.2 h`"""
    if seconds < 90:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.2g} min" if seconds < 600 else f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.2g} h"
