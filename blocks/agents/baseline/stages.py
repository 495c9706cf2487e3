"""The tasks that create runs: what each stage tries."""

import shlex
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from blocks.agents.baseline.analysis import (
    Group,
    baseline_group,
    configuration_of,
    groups,
)
from blocks.agents.baseline.api import Api, RunView
from blocks.agents.baseline.config import ProjectFile, Surroundings, runnable
from blocks.agents.baseline.plan import shares
from blocks.agents.baseline.search import (
    Configuration,
    key_of,
    random_configurations,
    tpe_configurations,
)

BROAD_SEED = 11


class Trial(BaseModel):
    """One run to be made."""

    model_config = ConfigDict(frozen=True)

    configuration: dict[str, Any]
    seed: int
    note: str = ""


class Stage(BaseModel):
    """A task's runs: they are named `<prefix>-00`, `<prefix>-01`..."""

    task_id: str
    prefix: str
    goal: str


STAGES = {
    "P1-T2": Stage(task_id="P1-T2", prefix="p1-baseline", goal="How good is the baseline?"),
    "P2-T1": Stage(task_id="P2-T1", prefix="p2-broad", goal="Where in the space is it good?"),
    "P3-T1": Stage(task_id="P3-T1", prefix="p3-tpe-a", goal="What does TPE find?"),
    "P3-T2": Stage(task_id="P3-T2", prefix="p3-tpe-b", goal="What does TPE find, told of all?"),
    "P4-T1": Stage(task_id="P4-T1", prefix="p4-confirm", goal="Does the best hold over seeds?"),
    "P4-T2": Stage(task_id="P4-T2", prefix="p4-ablate", goal="Which change of the best matters?"),
}


def trials(stage: Stage, project: ProjectFile, runs: Sequence[RunView]) -> list[Trial]:
    """What a stage tries, given the session's earlier runs."""
    share = shares(project)
    makers: dict[str, Callable[[], list[Trial]]] = {
        "P1-T2": lambda: [
            Trial(configuration=base(project), seed=seed) for seed in range(share.baseline)
        ],
        "P2-T1": lambda: [
            Trial(configuration=one, seed=0)
            for one in random_configurations(project, share.broad, BROAD_SEED)
        ],
        "P3-T1": lambda: _guided(project, runs, share.guided[0], 1),
        "P3-T2": lambda: _guided(project, runs, share.guided[1], 2),
        "P4-T1": lambda: _confirm(project, runs, share.confirm),
        "P4-T2": lambda: _ablate(project, runs, share.ablation),
    }
    return makers[stage.task_id]()


def base(project: ProjectFile) -> Configuration:
    """The baseline's values of the searched parameters."""
    return {name: project.baseline[name] for name in project.search}


def best_group(project: ProjectFile, runs: Sequence[RunView]) -> Group | None:
    """The best configuration that is not the baseline; confirmed ones first.

    A single lucky seed must not outrank a mean: once a configuration has several seeds, only
    those with as many count.
    """
    found = groups(runs, project)
    base_runs = baseline_group(found, project)
    rivals = [group for group in found if group is not base_runs]
    if not rivals:
        return None
    most = max(len(group.values) for group in rivals)
    return next(group for group in rivals if len(group.values) == most)


def _guided(project: ProjectFile, runs: Sequence[RunView], count: int, seed: int) -> list[Trial]:
    by_configuration: dict[str, tuple[Configuration, list[float]]] = {}
    for run in runs:
        configuration = configuration_of(run, project)
        values = by_configuration.setdefault(key_of(configuration), (configuration, []))[1]
        value = run.metrics.get(project.metric.name)
        if run.status == "finished" and value is not None:
            values.append(value)
    tried = [
        (configuration, sum(values) / len(values) if values else None)
        for configuration, values in by_configuration.values()
        if _in_space(configuration, project)
    ]
    return [
        Trial(configuration=one, seed=0) for one in tpe_configurations(project, tried, count, seed)
    ]


def _in_space(configuration: Configuration, project: ProjectFile) -> bool:
    """Whether Optuna takes it: the baseline may lie outside the searched ranges."""
    for name, dimension in project.search.items():
        value = configuration.get(name)
        if dimension.values:
            if value not in dimension.values:
                return False
        elif value is None or not (dimension.low or 0) <= value <= (dimension.high or 0):
            return False
    return True


def _confirm(project: ProjectFile, runs: Sequence[RunView], count: int) -> list[Trial]:
    best = best_group(project, runs)
    if best is None:
        return []
    return [Trial(configuration=best.configuration, seed=seed) for seed in range(1, count + 1)]


def _ablate(project: ProjectFile, runs: Sequence[RunView], count: int) -> list[Trial]:
    best = best_group(project, runs)
    if best is None:
        return []
    changed = [
        name for name in project.search if best.configuration.get(name) != project.baseline[name]
    ]
    return [
        Trial(
            configuration=best.configuration | {name: project.baseline[name]},
            seed=0,
            note=f"{name} back to {project.baseline[name]}",
        )
        for name in changed[:count]
    ]


def create_missing(
    api: Api, stage: Stage, project: ProjectFile, where: Surroundings, wanted: Sequence[Trial]
) -> list[RunView]:
    """Create the runs of a stage that are not there yet; return all of them."""
    sweep = api.sweep(f"{stage.task_id} {stage.prefix}", stage.goal)
    there = {run.name: run for run in api.runs()}
    made = []
    for number, trial in enumerate(wanted):
        name = f"{stage.prefix}-{number:02d}"
        run = there.get(name) or api.create_run(
            name=name,
            command=command_line(project, trial),
            workdir=str(where.project / (project.train.workdir or ".")),
            sweep_id=sweep,
            parameters=trial.configuration,
            seed=trial.seed,
            timeout_seconds=project.train.timeout_seconds,
        )
        made.append(run)
    return made


def command_line(project: ProjectFile, trial: Trial) -> str:
    """The training command with this trial's flags."""
    values = project.baseline | trial.configuration | {"seed": trial.seed}
    flags = [shlex.quote(f"--{name}={value}") for name, value in values.items()]
    return " ".join([runnable(project.train.command), *flags])
