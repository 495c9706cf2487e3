"""What the runs say: means over seeds, the best, what counts as a gain, why runs failed."""

import statistics
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from wildloop.blocks.agents.baseline.api import EvidenceView, RunView
from wildloop.blocks.agents.baseline.config import ProjectFile
from wildloop.blocks.agents.baseline.search import Configuration, key_of

SEARCH_SEED = 0
VARIED_FROM = 1000
"""From here on seeds are the search's too, which varies them where they are loud."""
CAUSE_LENGTH = 160
LASTING = 0.004
"""A p below this stays below its share of alpha when the ablation's rows are tested, too."""


class Group(BaseModel):
    """All finished runs of one configuration, by seed; of a seed that was run twice, the latest."""

    configuration: dict[str, Any]
    by_seed: dict[int, float]
    runs: list[RunView]

    @property
    def values(self) -> list[float]:
        """The metric of each seed."""
        return list(self.by_seed.values())

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return statistics.fmean(self.values)

    @property
    def spread(self) -> float | None:
        """Standard deviation over seeds; None for one seed."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    @property
    def fresh_seeds(self) -> list[int]:
        """The seeds that the search has not seen, so free of its luck."""
        return [seed for seed in self.by_seed if SEARCH_SEED < seed < VARIED_FROM]

    @property
    def unseen_mean(self) -> float | None:
        """Mean over the fresh seeds; None if there is none."""
        unseen = [self.by_seed[seed] for seed in self.fresh_seeds]
        return statistics.fmean(unseen) if unseen else None

    def text(self) -> str:
        """`0.9412 ± 0.0040 (n=3)`"""
        spread = f" ± {self.spread:.4f}" if self.spread is not None else ""
        return f"{self.mean:.5g}{spread} (n={len(self.values)})"


def configuration_of(run: RunView, project: ProjectFile) -> Configuration:
    """The searched parameters of a run."""
    return {name: run.parameters[name] for name in project.search if name in run.parameters}


def result_of(run: RunView, project: ProjectFile) -> float | None:
    """The run's metric; None unless it has finished with one."""
    return run.metrics.get(project.metric.name) if run.status == "finished" else None


def groups(runs: Sequence[RunView], project: ProjectFile) -> list[Group]:
    """The runs with a result, by configuration, best mean first."""
    found: dict[str, Group] = {}
    for run in sorted(runs, key=lambda run: run.created_at):
        value, configuration = result_of(run, project), configuration_of(run, project)
        if value is None or len(configuration) < len(project.search):
            continue
        empty = Group(configuration=configuration, by_seed={}, runs=[])
        group = found.setdefault(key_of(configuration), empty)
        group.by_seed[SEARCH_SEED if run.seed is None else run.seed] = value
        group.runs.append(run)
    highest_first = project.metric.direction == "max"
    return sorted(found.values(), key=lambda group: group.mean, reverse=highest_first)


def group_of(
    runs: Sequence[RunView], project: ProjectFile, configuration: Configuration
) -> Group | None:
    """The runs with a result of one configuration."""
    wanted = key_of(configuration)
    found = groups(runs, project)
    return next((group for group in found if key_of(group.configuration) == wanted), None)


def baseline_group(runs: Sequence[RunView], project: ProjectFile) -> Group | None:
    """The baseline's runs."""
    return group_of(runs, project, project.base())


def best_group(runs: Sequence[RunView], project: ProjectFile) -> Group | None:
    """The best configuration that is not the baseline; confirmed ones first.

    A single lucky seed must not outrank a mean: once a configuration has several seeds, only
    those with as many count.
    """
    base = key_of(project.base())
    rivals = [group for group in groups(runs, project) if key_of(group.configuration) != base]
    most = max((len(group.values) for group in rivals), default=0)
    return next((group for group in rivals if len(group.values) == most), None)


def failures(runs: Sequence[RunView], project: ProjectFile) -> dict[str, list[RunView]]:
    """The runs that have ended without a result, by cause."""
    found: dict[str, list[RunView]] = {}
    for run in runs:
        if not run.ended or result_of(run, project) is not None:
            continue
        if run.status == "finished":
            cause = f"finished without a value of {project.metric.name}"
        elif run.status == "stopped":
            cause = "stopped"
        elif run.error:
            cause = " ".join(run.error.split())[:CAUSE_LENGTH]
        else:
            cause = f"exit code {run.exit_code}"
        found.setdefault(cause, []).append(run)
    return found


def shown_configurations(
    project: ProjectFile, runs: Sequence[RunView], evidence: EvidenceView, below: float = 1.0
) -> list[Configuration]:
    """Those that the account shows to be better than the baseline, its best first.

    Args:
        project: space and baseline.
        runs: of the session.
        evidence: the account.
        below: what p has to be below beside.
    """
    by_id = {run.id: configuration_of(run, project) for run in runs}
    shown = [
        one
        for one in evidence.configurations
        if one.comparison and one.comparison.established and (one.comparison.p or 0.0) < below
    ]
    shown.sort(key=lambda one: one.id != evidence.best)
    found = [by_id[one.runs[0].run_id] for one in shown if one.runs and one.runs[0].run_id in by_id]
    return [one for one in found if len(one) == len(project.search)]
