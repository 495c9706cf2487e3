"""The evolutionary sweep of the guided search: asked for by a tag, carried out by Wildloop."""

import json
from collections.abc import Sequence
from typing import Any

from wildloop.blocks.agents.baseline.analysis import SEARCH_SEED, groups
from wildloop.blocks.agents.baseline.api import EvoSweepView, RunView
from wildloop.blocks.agents.baseline.config import Dimension, ProjectFile, runnable
from wildloop.blocks.agents.baseline.ledger import Ledger, Trial
from wildloop.blocks.agents.baseline.search import narrowed
from wildloop.blocks.agents.baseline.shares import POPULATION

# As the prompt's section on sweeps begins, which is there only where the session allows them.
_HEADING = "\n## Evolutionary sweeps\n"
ASKS = 2


def is_enabled(prompt: str) -> bool:
    """Whether the session takes an `<evo_sweep>`."""
    return _HEADING in prompt


def sweep_block(name: str, count: int, project: ProjectFile, runs: Sequence[RunView]) -> str:
    """The JSON of `<evo_sweep>`: `count` trials where the best configurations lie."""
    near = narrowed(project, [one.configuration for one in groups(runs, project)])
    fixed = {key: one for key, one in project.baseline.items() if key not in project.search}
    flags = project.train.given(fixed, SEARCH_SEED)
    population = min(POPULATION, count)
    block: dict[str, Any] = {
        "sweep_name": name,
        "target_script": " ".join([runnable(project.train.command), *flags]),
        "workdir": project.train.workdir,
        "fitness_metric": project.metric.name,
        "fitness_direction": project.metric.direction,
        "search_space": {key: _dimension(one) for key, one in near.search.items()},
        "population_size": population,
        "generations": max(1, count // population),
        "timeout_per_run": project.train.timeout_seconds,
    }
    if project.train.gpus is not None:
        block["gpus"] = project.train.gpus
    return json.dumps(block, indent=1)


def _dimension(dimension: Dimension) -> Any:
    if dimension.values is not None:
        return dimension.values
    low, high = dimension.range
    return {"low": low, "high": high, "log": dimension.log, "int": dimension.int}


def told(ledger: Ledger, sweep: EvoSweepView, runs: Sequence[RunView]) -> Ledger:
    """The ledger with the trials of the sweep, which has ended."""
    by_id = {run.id: run for run in runs}
    trials = [
        Trial(name=by_id[one.run_id].name, configuration=one.parameters, seed=SEARCH_SEED)
        for one in sweep.trials
        if one.run_id in by_id
    ]
    return ledger.model_copy(update={"trials": trials, "complete": True})
