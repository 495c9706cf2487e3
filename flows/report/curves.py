"""The learning curves: the mean of each of a few configurations, with a band over its seeds."""

from collections.abc import Sequence
from math import isfinite
from pathlib import Path

import numpy as np

from wildloop.flows.evidence.configuration import Configuration
from wildloop.flows.evidence.ranked import RankedRow, short_list
from wildloop.flows.metrics import downsample
from wildloop.flows.metrics.sealed import measured
from wildloop.flows.models.run import Run
from wildloop.flows.report.facts import ReportFacts
from wildloop.flows.report.ranking import rows_of
from wildloop.flows.search.figure import (
    LINES,
    Sheet,
    cut,
    legend_below,
    plain,
    save_picture,
    whole_steps,
)
from wildloop.flows.search.scale import robust_limits

SHOWN = 5
SEEDS = 8
POINTS = 300
LENGTH = 40
LEAST_SHARE = 0.5
Band = tuple[list[float], list[float], list[float], list[float]]
"""Steps, means, lowest and highest values."""


def draw_curves(folder: Path, facts: ReportFacts) -> Path | None:
    """The picture: the best few and the baseline; None where no run has a series."""
    metric = facts.metric
    if metric is None:
        return None
    rows = short_list([row for row in rows_of(facts) if row.one.n], SHOWN)
    found = [
        (row, band) for row in rows if (band := _band(_runs(row.one), metric.name)) is not None
    ]
    if not found:
        return None
    name = plain(metric.name)

    def draw(sheet: Sheet) -> None:
        axes = sheet.axes(grid="y")
        for number, (row, (steps, means, lows, highs)) in enumerate(found):
            colour = LINES[number % len(LINES)]
            style = "--" if row.one is facts.account.baseline else "-"
            label = _label(row, 32 if sheet.is_narrow else LENGTH)
            (line,) = axes.plot(steps, means, style, color=colour, linewidth=1.6, label=label)
            axes.fill_between(steps, lows, highs, color=colour, alpha=0.15, linewidth=0)
            sheet.tip(line, label)
        values = [value for _, (_, means, _, _) in found for value in means]
        ends = [means[-1] for _, (_, means, _, _) in found]
        axes.set_ylim(*robust_limits(values, ends))
        whole_steps(axes)
        axes.set_xlabel("step")
        axes.set_ylabel(name)
        word = "mean and range" if sheet.is_narrow else "mean, and range over the seeds"
        axes.set_title(f"Learning curves: {word}")
        legend_below(sheet, axes, 2)

    return save_picture(folder / "learning_curves.png", draw, 4.0, 4.4)


def _runs(one: Configuration) -> list[Run]:
    """The runs behind what it is compared by."""
    return one.behind[:SEEDS]


def _label(row: RankedRow, length: int) -> str:
    seeds = f"{row.estimate.n} seed{'s' * (row.estimate.n != 1)}"
    what = "baseline" if row.standing == "baseline" else row.what
    # matplotlib leaves out of a legend what begins with an underscore.
    return f"{cut(what, length).lstrip('_')} ({seeds})"


def _band(runs: Sequence[Run], metric: str) -> Band | None:
    """Mean, lowest and highest at each step that half of the runs have."""
    at: dict[float, list[float]] = {}
    count = 0
    for run in runs:
        points = [
            (float(point.step if point.step is not None else place), point.value)
            for place, point in enumerate(downsample(measured(run).series.get(metric, []), POINTS))
            if point.value is not None and isfinite(point.value)
        ]
        if len(points) < 2:
            continue
        count += 1
        for step, value in points:
            at.setdefault(step, []).append(value)
    steps = sorted(step for step, values in at.items() if len(values) >= LEAST_SHARE * count)
    if len(steps) < 2:
        return None
    return (
        steps,
        [float(np.mean(at[step])) for step in steps],
        [min(at[step]) for step in steps],
        [max(at[step]) for step in steps],
    )
