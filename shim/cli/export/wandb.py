"""Runs as offline runs of Weights & Biases, which `wandb sync` uploads."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wildloop.shim.cli.export.gathered import ExportedRun, by_step
from wildloop.shim.cli.export.library import library

STEP = "step"


def to_wandb(runs: Sequence[ExportedRun], out: Path, project: str) -> str:
    """Write `wandb/offline-run-*` below `out`; nothing is sent. What was done, in a line.

    A run has its id of here, so that one that is synced twice is one there. W&B counts rows by
    itself: the run's own steps, which may be fractions of an epoch, are the column `step`.
    """
    wandb = library("wandb")
    for one in runs:
        _write(wandb, one, out, project)
    # A run may end before its file is on the disk; W&B's own process does not.
    wandb.teardown()
    return f"{out / 'wandb'} ({len(runs)} offline runs: `wandb sync {out / 'wandb'}/offline-run-*`)"


def _write(wandb: Any, one: ExportedRun, out: Path, project: str) -> None:
    quiet = wandb.Settings(
        console="off", silent=True, disable_git=True, disable_code=True, x_disable_stats=True
    )
    run = wandb.init(
        project=project,
        id=one.run.id,
        name=one.run.name,
        dir=str(out),
        mode="offline",
        config={**one.settings, "wildloop": one.facts},
        group=one.run.sweep_id or None,
        tags=[one.level, one.run.status.value],
        settings=quiet,
    )
    run.define_metric("*", step_metric=STEP)
    for step, values in by_step(one.series):
        run.log({STEP: step, **values})
    run.summary.update({**one.run.metrics, "level": one.level})
    run.finish(exit_code=one.run.exit_code or 0)
