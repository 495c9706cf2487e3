"""What is exported: each run of a session with its series and its level of evidence."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from wildloop.flows.models.evidence import AccountView, Level
from wildloop.flows.models.run import MetricPoint, Run
from wildloop.shim.client.api import ApiClient


@dataclass(frozen=True)
class ExportedRun:
    """A run, its series (at most about 500 values of each), and what stands behind its value."""

    run: Run
    series: Mapping[str, list[MetricPoint]]
    level: str

    @property
    def title(self) -> str:
        """A name that no other run has, fit for a folder: `baseline-1a2b3c4d`."""
        plain = "".join(one if one.isalnum() or one in "-_." else "-" for one in self.run.name)
        return f"{plain.strip('-.')[:60] or 'run'}-{self.run.id[:8]}"

    @property
    def settings(self) -> dict[str, Any]:
        """The parameters, and the seed under its own name where none of them has it."""
        seed = {} if self.run.seed is None else {"seed": self.run.seed}
        return seed | dict(self.run.parameters)

    @property
    def facts(self) -> dict[str, str]:
        """What is known of the run beside parameters and metrics, as texts."""
        found = {
            "run_id": self.run.id,
            "session_id": self.run.chat_session_id,
            "sweep_id": self.run.sweep_id,
            "status": self.run.status.value,
            "level": self.level,
            "command": self.run.command,
            "git_commit": self.run.git_commit,
            "error": self.run.error,
        }
        return {name: value for name, value in found.items() if value}


def gather(client: ApiClient, session_id: str) -> list[ExportedRun]:
    """The runs of a session, the oldest first."""
    answer = client.request("GET", f"/wild/v2/evidence/{session_id}")
    account = AccountView.model_validate(answer)
    levels = {run.run_id: run.level.value for one in account.configurations for run in one.runs}
    runs = client.every_run(chat_session_id=session_id, archived="all")
    return [
        ExportedRun(run, client.metrics(run.id).series, levels.get(run.id, Level.CLAIMED.value))
        for run in reversed(runs)
    ]


def whole_steps(points: list[MetricPoint]) -> list[int]:
    """Steps for tools that count in whole numbers: the points' own, else 0, 1, 2, ..."""
    steps = [point.step for point in points if point.step is not None]
    if len(steps) == len(points) and all(step.is_integer() for step in steps):
        return [int(step) for step in steps]
    return list(range(len(points)))


def by_step(series: Mapping[str, list[MetricPoint]]) -> Iterator[tuple[float, dict[str, float]]]:
    """Step by step, the values of all series that have one there; those without step by index."""
    found = [
        (float(index if point.step is None else point.step), name, point.value)
        for name, points in series.items()
        for index, point in enumerate(points)
    ]
    found.sort(key=lambda one: one[0])
    for step, values in groupby(found, key=lambda one: one[0]):
        yield step, {name: float("nan") if value is None else value for _, name, value in values}
