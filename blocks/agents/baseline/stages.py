"""The tasks that create runs: what each stage tries, in batches."""

import zlib
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from wildloop.blocks.agents.baseline.analysis import SEARCH_SEED, configuration_of, result_of
from wildloop.blocks.agents.baseline.api import Api, RunView
from wildloop.blocks.agents.baseline.config import ProjectFile, Surroundings, runnable
from wildloop.blocks.agents.baseline.ledger import Ledger, Trial, write_ledger
from wildloop.blocks.agents.baseline.search import Configuration, first_configurations, key_of
from wildloop.blocks.agents.baseline.shares import FEWEST_FRESH, Step, Wanted, search_budget, shares
from wildloop.blocks.agents.baseline.warm import known_good

SMALLEST_BATCH = 2


class Stage(BaseModel):
    """A task's runs: they are named `<prefix>-00`, `<prefix>-01`..."""

    model_config = ConfigDict(frozen=True)

    prefix: str
    goal: str
    kind: Literal["baseline", "broad", "near", "evolve", "race", "ablate"]


ABLATION = "p4-ablate"
STAGES = {
    "P1-T2": Stage(prefix="p1-baseline", goal="How good is the baseline?", kind="baseline"),
    "P2-T1": Stage(prefix="p2-broad", goal="Where in the space is it good?", kind="broad"),
    "P3-T1": Stage(prefix="p3-near", goal="Where is most to be expected?", kind="near"),
    "P3-T2": Stage(prefix="p3-evo", goal="What do the best breed?", kind="evolve"),
    "P4-T1": Stage(prefix="p4-race", goal="Which holds over fresh seeds?", kind="race"),
    "P4-T2": Stage(
        prefix=ABLATION, goal="Ablation: which change of the best matters?", kind="ablate"
    ),
}


class Sights(BaseModel):
    """What a stage decides upon.

    Args:
        shown: keys of what is shown to be better than the baseline.
        earlier: finished runs of other sessions, for the broad start.
    """

    project: ProjectFile
    runs: list[RunView]
    session_id: str
    slots: int
    shown: list[str] = []
    earlier: list[RunView] = []
    best: dict[str, Any] | None = None

    @property
    def draw(self) -> int:
        """A seed of its own for each session and number of runs: two sessions look elsewhere."""
        return zlib.crc32(self.session_id.encode()) + len(self.runs)

    @property
    def batch(self) -> int:
        """How many runs are created at once."""
        return self.project.budget.parallel or max(SMALLEST_BATCH, self.slots)

    def step(self) -> Step:
        """What the policy wants next."""
        # NumPy and SciPy take a second to load: most calls do without.
        from wildloop.blocks.agents.baseline.policy import next_step

        total = search_budget(self.project)
        return next_step(self.project, self.runs, total, self.batch, self.draw, self.shown)

    def last_step(self) -> Step:
        """What is raced with half of what was kept back for an ablation, while nothing is shown."""
        from wildloop.blocks.agents.baseline.policy import last_race

        return last_race(self.project, self.runs, self.batch, self.draw, self.shown)


def next_batch(task_id: str, ledger: Ledger, sights: Sights) -> Ledger:
    """The ledger with the stage's next batch of trials added; `complete` if it was the last."""
    stage, project, runs = STAGES[task_id], sights.project, sights.runs
    count, start = shares(project).of(task_id), len(ledger.trials)
    wanted: list[Wanted] = []
    reference, known, complete = ledger.reference, ledger.known, True
    match stage.kind:
        case "baseline":
            # The search's seed and the race's: what runs on them may be compared pair by pair.
            wanted = [(project.base(), seed) for seed in baseline_seeds(project)]
        case "broad":
            warm = known_good(project, runs, sights.earlier, count)
            known = len(warm)
            seen, left = [project.base(), *warm], count - known
            found = [*warm, *first_configurations(project, seen, left, sights.draw)]
            wanted = [(one, SEARCH_SEED) for one in found]
        case "near" | "evolve":
            step = sights.step()
            wanted = step.wanted if step.kind == "search" else []
            if stage.kind == "near":
                wanted = wanted[: count - start]
            complete = not wanted
        case "race":
            wanted = sights.step().wanted or sights.last_step().wanted
            complete = not wanted
        case "ablate":
            reference = sights.best
            room = project.budget.runs - len(runs)
            wanted = ablation_runs(reference or {}, project, room)
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
    return Ledger(
        trials=[*ledger.trials, *trials],
        reference=reference,
        asked=ledger.asked,
        known=known,
        complete=complete,
    )


def baseline_seeds(project: ProjectFile) -> range:
    """The seeds that the baseline is measured on first."""
    return range(SEARCH_SEED, SEARCH_SEED + shares(project).baseline)


def ablation_runs(best: Configuration, project: ProjectFile, room: int) -> list[Wanted]:
    """The runs of an ablation of `best`, at most `room`: seeds 1, 2, ... of each change undone.

    One seed shows nothing of a change: where there is little room, fewer changes are undone.
    """
    undone = _undone(best, project)
    least = min(project.budget.seeds, FEWEST_FRESH)
    each = min(project.budget.seeds, max(least, room // max(1, len(undone))))
    return [(one, seed) for one in undone[: room // each] for seed in range(1, each + 1)]


def _undone(best: Configuration, project: ProjectFile) -> list[Configuration]:
    """`best` with one change taken back to the baseline's value, for each change that matters."""
    base = project.base()
    found = {
        key_of(one): one
        for one in (project.plain(best | {n: base[n]}) for n in best if best[n] != base[n])
    }
    return [one for key, one in found.items() if key not in (key_of(best), key_of(base))]


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
