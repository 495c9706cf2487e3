"""Runs grouped by configuration: what was run, whatever the seed, with mean and spread."""

import math
import re
import statistics
from collections.abc import Sequence

from pydantic import BaseModel, Field

from flows.models.change import ChangeKind
from flows.models.run import Run, RunStatus
from flows.models.session import IterationRecord

SEEDS = frozenset({"seed", "random_seed", "random_state", "rng_seed"})
LABEL_LENGTH = 120
# These change numbers by arguments alone, or nothing.
_SAME_CODE = (ChangeKind.HYPER_PARAMETER, ChangeKind.NONE)
_SEED_ARGUMENT = re.compile(
    r"(?<!\S)(?:--?)?(?:random[_-]|rng[_-])?(?:seed|state)(?:=|[ \t]+)\S+", re.IGNORECASE
)


class Configuration(BaseModel):
    """Runs that differ in nothing but the seed."""

    label: str
    code: str = Field(default="", description="The iteration whose change of code it ran with.")
    runs: list[Run]
    values: list[float] = Field(description="Metric of its finished runs, where it is a number.")

    @property
    def n(self) -> int:
        """How many values there are."""
        return len(self.values)

    @property
    def mean(self) -> float | None:
        """Mean of the values."""
        return statistics.fmean(self.values) if self.values else None

    @property
    def deviation(self) -> float | None:
        """Sample standard deviation; None with fewer than two values."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    @property
    def failures(self) -> list[Run]:
        """Its failed runs."""
        return [run for run in self.runs if run.status is RunStatus.FAILED]

    @property
    def name(self) -> str:
        """As tables show it."""
        return f"{self.label} (code of {self.code})" if self.code else self.label

    @property
    def score(self) -> str:
        """`0.971 ± 0.003 (n=3)`."""
        if self.mean is None:
            return "-"
        spread = f" ± {self.deviation:.2g}" if self.deviation is not None else ""
        return f"{self.mean:.5g}{spread} (n={self.n})"


def configurations(
    runs: Sequence[Run], metric: str | None, records: Sequence[IterationRecord] = ()
) -> list[Configuration]:
    """The configurations of these runs, in order of their first run.

    Two runs belong together if their parameters, or without parameters their commands, are the
    same but for the seed, and no iteration that declared a change of code lies between them.

    Args:
        runs: any runs.
        metric: the primary metric; None leaves `values` empty.
        records: the session's records, for the changes of code.
    """
    found: dict[tuple[str, str], Configuration] = {}
    for run in sorted(runs, key=lambda run: run.created_at):
        code = _code_of(run, records)
        one = found.setdefault(
            (identity(run), code), Configuration(label=label_of(run), code=code, runs=[], values=[])
        )
        one.runs.append(run)
        value = run.metrics.get(metric) if metric else None
        if run.status is RunStatus.FINISHED and value is not None and math.isfinite(value):
            one.values.append(value)
    return list(found.values())


def identity(run: Run) -> str:
    """What a run ran, but for its seed."""
    rest = {name: value for name, value in run.parameters.items() if name.lower() not in SEEDS}
    return str(sorted(rest.items())) if rest else _without_seed(run.command)


def label_of(run: Run) -> str:
    """A configuration in one line."""
    rest = {name: value for name, value in run.parameters.items() if name.lower() not in SEEDS}
    text = ", ".join(f"{name}={value}" for name, value in rest.items())
    text = " ".join((text or _without_seed(run.command)).split())
    return text if len(text) <= LABEL_LENGTH else text[: LABEL_LENGTH - 3] + "..."


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


def _without_seed(command: str) -> str:
    return " ".join(_SEED_ARGUMENT.sub("", command).split())


def _code_of(run: Run, records: Sequence[IterationRecord]) -> str:
    changed = [
        f"iteration-{it.index:02d}"
        for it in records
        if it.change is not None
        and it.change.kind not in _SAME_CODE
        and it.files_changed
        and it.started_at <= run.created_at
        and (it.taken_back_at is None or run.created_at < it.taken_back_at)
    ]
    return changed[-1] if changed else ""
