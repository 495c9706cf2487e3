"""What the runs say: means over seeds, the best, what is a gain."""

import statistics
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from blocks.agents.baseline.api import RunView
from blocks.agents.baseline.config import ProjectFile
from blocks.agents.baseline.search import key_of


class Group(BaseModel):
    """All finished runs of one configuration."""

    configuration: dict[str, Any]
    values: list[float]
    runs: list[RunView]

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return statistics.fmean(self.values)

    @property
    def spread(self) -> float | None:
        """Standard deviation over seeds; None for one seed."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    def text(self) -> str:
        """`0.9412 ± 0.004 (n=3)`"""
        spread = f" ± {self.spread:.4f}" if self.spread is not None else ""
        return f"{self.mean:.5g}{spread} (n={len(self.values)})"


def configuration_of(run: RunView, project: ProjectFile) -> dict[str, Any]:
    """The searched parameters of a run."""
    return {name: run.parameters[name] for name in project.search if name in run.parameters}


def groups(runs: Sequence[RunView], project: ProjectFile) -> list[Group]:
    """The finished runs with the metric, by configuration, best mean first."""
    found: dict[str, Group] = {}
    for run in runs:
        value = run.metrics.get(project.metric.name)
        if run.status != "finished" or value is None:
            continue
        configuration = configuration_of(run, project)
        group = found.setdefault(
            key_of(configuration), Group(configuration=configuration, values=[], runs=[])
        )
        group.values.append(value)
        group.runs.append(run)
    highest_first = project.metric.direction == "max"
    return sorted(found.values(), key=lambda group: group.mean, reverse=highest_first)


def baseline_group(found: Sequence[Group], project: ProjectFile) -> Group | None:
    """The baseline's runs."""
    wanted = key_of({name: project.baseline[name] for name in project.search})
    return next((group for group in found if key_of(group.configuration) == wanted), None)


def gain(best: Group, base: Group, project: ProjectFile) -> float:
    """How much better `best` is; above 0 is better in either direction."""
    difference = best.mean - base.mean
    return difference if project.metric.direction == "max" else -difference


def holds(best: Group, base: Group, project: ProjectFile) -> bool:
    """Whether the gain exceeds the spread of both."""
    return gain(best, base, project) > max(base.spread or 0.0, best.spread or 0.0)


def table(runs: Sequence[RunView], project: ProjectFile) -> str:
    """Runs as a Markdown table."""
    names = list(project.search)
    header = ["run", "id", "status", "seed", *names, project.metric.name]
    rows = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    for run in runs:
        value = run.metrics.get(project.metric.name)
        cells = [run.name, run.id, run.status, str(run.seed)]
        cells += [str(run.parameters.get(name, "")) for name in names]
        cells.append(f"{value:.5g}" if value is not None else (run.error or "")[:60])
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)
