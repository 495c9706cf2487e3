"""The tasks that create runs: what each stage tries, in batches."""

import zlib
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from wildloop.blocks.agents.baseline.analysis import (
    SEARCH_SEED,
    Group,
    baseline_group,
    best_group,
    configuration_of,
    gain,
    groups,
    result_of,
)
from wildloop.blocks.agents.baseline.api import Api, RunView
from wildloop.blocks.agents.baseline.config import ProjectFile, Surroundings, runnable
from wildloop.blocks.agents.baseline.ledger import Ledger, Trial, write_ledger
from wildloop.blocks.agents.baseline.search import (
    Configuration,
    key_of,
    near_configurations,
    random_configurations,
)

SMALLEST_BATCH = 2
POPULATION = 4
EVOLVED = 0.6
MOST_BROAD = 16


class Stage(BaseModel):
    """A task's runs: they are named `<prefix>-00`, `<prefix>-01`..."""

    model_config = ConfigDict(frozen=True)

    prefix: str
    goal: str
    kind: Literal["baseline", "broad", "near", "evolve", "confirm", "ablate"]


ABLATION = "p4-ablate"
STAGES = {
    "P1-T2": Stage(prefix="p1-baseline", goal="How good is the baseline?", kind="baseline"),
    "P2-T1": Stage(prefix="p2-broad", goal="Where in the space is it good?", kind="broad"),
    "P3-T1": Stage(prefix="p3-near", goal="What is near the best?", kind="near"),
    "P3-T2": Stage(prefix="p3-evo", goal="What do the best breed?", kind="evolve"),
    "P4-T1": Stage(prefix="p4-confirm", goal="Does the best hold over seeds?", kind="confirm"),
    "P4-T2": Stage(
        prefix=ABLATION, goal="Ablation: which change of the best matters?", kind="ablate"
    ),
}


class RunShares(BaseModel):
    """How the budget of runs is divided."""

    baseline: int
    broad: int
    guided: tuple[int, int]
    confirm: int
    ablation: int

    def of(self, task_id: str) -> int:
        """How many runs a task may create."""
        return {
            "P1-T2": self.baseline,
            "P2-T1": self.broad,
            "P3-T1": self.guided[0],
            "P3-T2": self.guided[1],
            "P4-T1": self.confirm,
            "P4-T2": self.ablation,
        }[task_id]


def shares(project: ProjectFile) -> RunShares:
    """Divide the budget: seeds of the baseline and of the best, ablation, and search the rest."""
    runs = project.budget.runs
    seeds = min(project.budget.seeds, max(2, (runs - 4) // 3))
    most = max(1, runs // 4)
    # As many seeds for each change as there is room for, at least one.
    each = min(seeds, max(1, most // max(1, len(project.search))))
    ablation = min(each * len(project.search), most, runs - 2 * seeds - 3)
    broad, near, evolved = search_shares(runs - seeds - (seeds - 1) - ablation)
    return RunShares(
        baseline=seeds,
        broad=broad,
        guided=(near, evolved),
        confirm=seeds - 1,
        ablation=ablation,
    )


def search_shares(runs: int) -> tuple[int, int, int]:
    """How many of `runs` (4 or more) search broadly, near the best, and by evolution."""
    broad = max(2, min(runs // 2, MOST_BROAD))
    left = runs - broad
    evolved = POPULATION * round(EVOLVED * left / POPULATION)
    if not 0 < evolved < left:
        evolved = left // 2
    return broad, left - evolved, evolved


class Sights(BaseModel):
    """What a stage decides upon."""

    project: ProjectFile
    runs: list[RunView]
    session_id: str
    slots: int
    has_evolution: bool = False


def next_batch(task_id: str, ledger: Ledger, sights: Sights) -> Ledger:
    """The ledger with the stage's next batch of trials added; `complete` if it was the last."""
    stage, project, runs = STAGES[task_id], sights.project, sights.runs
    count, start = shares(project).of(task_id), len(ledger.trials)
    wanted: list[tuple[Configuration, int]] = []
    reference, complete = ledger.reference, True
    match stage.kind:
        case "baseline":
            wanted = [(project.base(), seed) for seed in range(count)]
        case "broad":
            seen = [project.base()]
            # Two sessions of one project look at different points of the space.
            draw = zlib.crc32(sights.session_id.encode())
            wanted = [
                (one, SEARCH_SEED) for one in random_configurations(project, seen, count, draw)
            ]
        case "near" | "evolve":
            batch = project.budget.parallel or max(SMALLEST_BATCH, sights.slots)
            ranked = [one.configuration for one in groups(runs, project)]
            # Where nothing has a result yet, more of the same would spend the budget for nothing.
            asked = min(batch, count - start) if ranked else 0
            found = near_configurations(project, ranked, _tried(runs, project), asked, len(runs))
            wanted = [(one, SEARCH_SEED) for one in found]
            complete = len(found) < max(1, asked) or start + len(found) == count
        case "confirm":
            best = promising(runs, project)
            seeds = [seed for seed in range(count + 1) if best and seed not in best.by_seed]
            wanted = [(best.configuration, seed) for seed in seeds[:count]] if best else []
        case "ablate":
            best = promising(runs, project)
            reference = best.configuration if best else None
            undone = _undone(reference or {}, project)
            each = min(project.budget.seeds, max(1, count // max(1, len(undone))))
            wanted = [(one, seed) for one in undone for seed in range(each)][:count]
    made = {_identity(run, project): run.name for run in runs if _worth_reuse(run, project)}
    if stage.kind == "ablate":
        # Its runs are told by their names: one of another stage would not be seen as an ablation.
        made = {}
    trials = [
        Trial(
            name=made.get((key_of(configuration), seed), f"{stage.prefix}-{number:02d}"),
            configuration=configuration,
            seed=seed,
        )
        for number, (configuration, seed) in enumerate(wanted, start=start)
    ]
    return Ledger(trials=[*ledger.trials, *trials], reference=reference, complete=complete)


def promising(runs: Sequence[RunView], project: ProjectFile) -> Group | None:
    """The best, if it is better than the baseline by what is known so far."""
    best, base = best_group(runs, project), baseline_group(runs, project)
    if best is None or base is None:
        return best
    return best if gain(best, base, project) > 0 else None


def _tried(runs: Sequence[RunView], project: ProjectFile) -> list[Configuration]:
    """Every configuration so far, with or without a result."""
    return [one for one in (configuration_of(run, project) for run in runs) if one]


def _undone(best: Configuration, project: ProjectFile) -> list[Configuration]:
    """`best` with one change taken back to the baseline's value, for each change."""
    base = project.base()
    return [best | {name: base[name]} for name in best if best[name] != base[name]]


def _identity(run: RunView, project: ProjectFile) -> tuple[str, int | None]:
    return key_of(configuration_of(run, project)), run.seed


def _worth_reuse(run: RunView, project: ProjectFile) -> bool:
    return result_of(run, project) is not None


def create_missing(
    api: Api,
    task_id: str,
    ledger: Ledger,
    sights: Sights,
    where: Surroundings,
) -> tuple[list[RunView], int]:
    """Create the runs of a ledger that are not there yet, as far as the budget goes.

    Returns:
        the runs created, and how many trials were dropped for want of budget (they are taken
        off the ledger, which is then complete).
    """
    stage, project = STAGES[task_id], sights.project
    there = {run.name for run in sights.runs}
    missing = [trial for trial in ledger.trials if trial.name not in there]
    room = max(0, project.budget.runs - len(sights.runs))
    kept, dropped = missing[:room], missing[room:]
    if dropped:
        names = {trial.name for trial in dropped}
        ledger.trials = [trial for trial in ledger.trials if trial.name not in names]
        ledger.complete = True
        write_ledger(where, stage.prefix, ledger)
    if not kept:
        return [], len(dropped)
    sweep = api.sweep(f"{task_id} {stage.prefix}", stage.goal)
    gpus = {} if project.train.gpus is None else {"gpus": project.train.gpus}
    made = [
        api.create_run(
            name=trial.name,
            command=command_line(project, trial),
            workdir=str((where.project / project.train.workdir).resolve()),
            sweep_id=sweep,
            parameters=project.baseline | trial.configuration,
            seed=trial.seed,
            timeout_seconds=project.train.timeout_seconds,
            **gpus,
        )
        for trial in kept
    ]
    return made, len(dropped)


def command_line(project: ProjectFile, trial: Trial) -> str:
    """The training command with this trial's flags."""
    given = project.train.given(project.baseline | trial.configuration, trial.seed)
    return " ".join([runnable(project.train.command), *given])


def runs_of(ledger: Ledger, runs: Sequence[RunView]) -> list[RunView]:
    """The runs of a ledger that are there; of two with one name, the newer."""
    by_name = {run.name: run for run in sorted(runs, key=lambda run: run.created_at)}
    return [by_name[trial.name] for trial in ledger.trials if trial.name in by_name]
