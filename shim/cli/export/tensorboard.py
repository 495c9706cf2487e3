"""Runs as event files of TensorBoard."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wildloop.shim.cli.export.gathered import ExportedRun, whole_steps
from wildloop.shim.cli.export.library import library


def to_tensorboard(runs: Sequence[ExportedRun], out: Path) -> str:
    """Write a folder a run below `out/tensorboard`; what was done, in a line.

    Scalars are the series, hyperparameters the parameters with level and status; the text
    `wildloop` has the rest. A folder that was exported before is written anew.
    """
    tensorboardx = library("tensorboardX")
    place = out / "tensorboard"
    for one in runs:
        folder = place / one.title
        shutil.rmtree(folder, ignore_errors=True)
        with tensorboardx.SummaryWriter(str(folder)) as writer:
            _write(writer, one)
    return f"{place} ({len(runs)} runs: `tensorboard --logdir {place}`)"


def _write(writer: Any, one: ExportedRun) -> None:
    summary = library("tensorboardX.summary")
    settings = {name: _plain(value) for name, value in one.settings.items()}
    settings |= {"wildloop.level": one.level, "wildloop.status": one.run.status.value}
    for part in summary.hparams(settings, dict(one.run.metrics)):
        writer.file_writer.add_summary(part)
    writer.add_text("wildloop", json.dumps(one.facts, indent=2), 0)
    last = one.run.finished_at or one.run.created_at
    for name, points in one.series.items():
        for step, point in zip(whole_steps(points), points, strict=True):
            value = float("nan") if point.value is None else point.value
            # Not by `add_scalar`, which writes `mAP@0.5` as `mAP_0.5`.
            scalar = summary.Summary.Value(tag=name, simple_value=value)
            whole = summary.Summary(value=[scalar])
            writer.file_writer.add_summary(whole, step, point.time or last)


def _plain(value: Any) -> bool | float | str:
    """What a hyperparameter may be."""
    return value if isinstance(value, bool | int | float | str) else json.dumps(value)
