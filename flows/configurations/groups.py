"""Runs grouped by configuration: same code, same settings, any seed, with mean and spread."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from flows.configurations.settings import identity, label_of, seed_of, settings_of
from flows.models.change import ChangeKind
from flows.models.run import Run, RunStatus
from flows.models.session_record import IterationRecord
from flows.results import value_of

# These change numbers by arguments alone, or nothing.
_SAME_CODE = (ChangeKind.HYPER_PARAMETER, ChangeKind.NONE)

CodeOf = Callable[[Run], str | None]


@dataclass
class Configuration:
    """Runs that differ in nothing but the seed.

    A seed that was run twice counts once, by its latest run: a repetition is no further sample.
    Runs without a seed count each: nothing says that two of them are the same sample.

    Args:
        label: its settings in one line.
        settings: by name, without the seed.
        code: which code it ran, where that is known.
    """

    label: str
    settings: dict[str, Any]
    code: str | None = None
    runs: list[Run] = field(default_factory=list)
    by_seed: dict[str, tuple[Run, float]] = field(default_factory=dict)

    @property
    def values(self) -> list[float]:
        """The metric of the finished runs that have it, a value for each seed."""
        return [value for _, value in self.by_seed.values()]

    @property
    def measured(self) -> list[Run]:
        """The runs behind `values`, in the same order."""
        return [run for run, _ in self.by_seed.values()]

    @property
    def n(self) -> int:
        """How many values there are."""
        return len(self.by_seed)

    @property
    def mean(self) -> float | None:
        """Mean of the values."""
        return statistics.fmean(self.values) if self.by_seed else None

    @property
    def deviation(self) -> float | None:
        """Sample standard deviation; None with fewer than two values."""
        return statistics.stdev(self.values) if self.n > 1 else None

    @property
    def failures(self) -> list[Run]:
        """Its failed runs."""
        return [run for run in self.runs if run.status is RunStatus.FAILED]

    @property
    def name(self) -> str:
        """As prompts show it."""
        return f"{self.label} (code of {self.code})" if self.code else self.label

    @property
    def score(self) -> str:
        """`0.971 ± 0.003 (n=3)`."""
        if self.mean is None:
            return "-"
        spread = f" ± {self.deviation:.2g}" if self.deviation is not None else ""
        return f"{self.mean:.5g}{spread} (n={self.n})"

    def add(self, run: Run, metric: str | None) -> None:
        """Take in a further run; runs come in the order of their creation."""
        self.runs.append(run)
        value = value_of(run, metric) if metric else None
        if value is not None:
            seed = seed_of(run)
            self.by_seed[f"run {run.id}" if seed is None else seed] = (run, value)


def configurations(
    runs: Sequence[Run], metric: str | None, code_of: CodeOf | None = None
) -> list[Configuration]:
    """The configurations of these runs, in order of their first run.

    Two runs belong together if they ran the same program of the same code with the same settings,
    whatever the seed.

    Args:
        runs: any runs.
        metric: name of the primary metric; None leaves the values empty.
        code_of: what tells apart the code of runs: `declared_code`, or a digest of the files. Where
            it is None, or says None, runs of one working directory have one code.
    """
    found: dict[tuple[str | None, str], Configuration] = {}
    for run in sorted(runs, key=lambda run: run.created_at):
        code = code_of(run) if code_of is not None else None
        # Where the code is known, it tells more than the folder, which may be a snapshot's.
        key = (run.workdir if code is None else f"code {code}", identity(run))
        if key not in found:
            found[key] = Configuration(label_of(run), settings_of(run), code)
        found[key].add(run, metric)
    return list(found.values())


def declared_code(records: Sequence[IterationRecord]) -> CodeOf:
    """The code of runs by what the agent has declared.

    Args:
        records: the session's records in their order.

    Returns:
        A function that gives the label of the last iteration before a run that declared a change
        of code and changed files, and whose change was not taken back by then; empty if there was
        none.
    """
    changed = [
        it
        for it in records
        if it.change is not None and it.change.kind not in _SAME_CODE and it.files_changed
    ]

    def code_of(run: Run) -> str:
        labels = [
            f"iteration-{it.index:02d}"
            for it in changed
            if it.started_at <= run.created_at
            and (it.taken_back_at is None or run.created_at < it.taken_back_at)
        ]
        return labels[-1] if labels else ""

    return code_of


def ranked(found: Sequence[Configuration], direction: str) -> list[Configuration]:
    """Those with values, the best mean first; of equal ones the one with more values."""
    sign = -1.0 if direction == "max" else 1.0
    scored = [(one.mean, one) for one in found if one.mean is not None]
    return [one for _, one in sorted(scored, key=lambda pair: (sign * pair[0], -pair[1].n))]


def baseline_of(found: Sequence[Configuration]) -> Configuration | None:
    """The first with `baseline` in a run's name, else the first with values."""
    scored = [one for one in found if one.values]
    named = (one for one in scored if any("baseline" in run.name.lower() for run in one.runs))
    return next(named, scored[0] if scored else None)


def pooled_deviation(found: Sequence[Configuration]) -> float | None:
    """Standard deviation over seeds, pooled over all configurations; None without a repeat."""
    squares, freedom = 0.0, 0
    for one in found:
        if one.deviation is not None:
            squares += one.deviation**2 * (one.n - 1)
            freedom += one.n - 1
    return math.sqrt(squares / freedom) if freedom else None
