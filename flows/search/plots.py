"""A sweep's pictures: history, parallel coordinates, importance."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import optuna
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from wildloop.flows.models.evo import Choice, EvoSweepSpec, Range, Trial, TrialStatus
from wildloop.flows.search.figure import (
    DOTS,
    cut,
    draw_course,
    new_figure,
    plain,
    save_figure,
)
from wildloop.flows.search.samplers import optuna_study
from wildloop.flows.search.space import Space

MIN_FOR_IMPORTANCE = 4
LABEL_LENGTH = 18
TICKS = 5
WIDTH_LIMIT = 24


def draw_sweep_plots(folder: Path, spec: EvoSweepSpec, trials: Sequence[Trial]) -> list[Path]:
    """Draw what can be drawn into `folder` (made if need be); return the pictures' paths."""
    finished = _finished(trials)
    if not finished:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    drawn = [_history(folder, spec, trials), draw_parallel(folder, spec, finished)]
    weights = importances(spec, trials)
    return drawn + ([_importance(folder, spec, weights)] if weights else [])


def importances(spec: EvoSweepSpec, trials: Sequence[Trial]) -> dict[str, float]:
    """Importance of each dimension for the fitness, summing to 1, greatest first.

    By PED-ANOVA (Watanabe et al. 2023). Empty with fewer than four finished trials, or where all
    have the same value.
    """
    finished = _finished(trials)
    if len(finished) < MIN_FOR_IMPORTANCE or len({value for _, value in finished}) < 2:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        found = get_param_importances(
            optuna_study(spec, [trial for trial, _ in finished]),
            evaluator=PedAnovaImportanceEvaluator(),
        )
    return {name: float(weight) for name, weight in found.items()}


def _finished(trials: Sequence[Trial]) -> list[tuple[Trial, float]]:
    return [
        (one, one.value)
        for one in trials
        if one.status is TrialStatus.FINISHED and one.value is not None
    ]


def _history(folder: Path, spec: EvoSweepSpec, trials: Sequence[Trial]) -> Path:
    """Fitness by trial, the best so far, and what failed or was stopped."""
    figure = new_figure()
    axes = figure.subplots()
    finished = _finished(trials)
    numbers, values = [one.number for one, _ in finished], [value for _, value in finished]
    draw_course(axes, numbers, values, is_max=spec.fitness_direction == "max", label="trial")
    for status, mark in ((TrialStatus.PRUNED, "v"), (TrialStatus.FAILED, "x")):
        there = [one.number for one in trials if one.status is status]
        if there:
            axes.scatter(
                there,
                [0.03] * len(there),
                marker=mark,
                color="#777777",
                label=status.value,
                transform=axes.get_xaxis_transform(),
            )
    for number in range(spec.population_size, len(trials), spec.population_size):
        axes.axvline(number - 0.5, color="#bbbbbb", linewidth=0.8, linestyle=":")
    axes.set_xlabel("trial (dotted: generations)")
    axes.set_ylabel(plain(spec.fitness_metric))
    axes.set_title(f"{plain(spec.fitness_metric)} over the sweep")
    axes.legend(fontsize=8)
    return save_figure(figure, folder / "history.png")


def draw_parallel(
    folder: Path, spec: EvoSweepSpec, finished: Sequence[tuple[Trial, float]]
) -> Path:
    """A line for each finished trial across all dimensions, coloured by its fitness."""
    space = Space(spec.search_space)
    count = len(space.dimensions)
    figure = new_figure(min(WIDTH_LIMIT, max(7.2, 1.5 * count)))
    axes = figure.subplots()
    values = [value for _, value in finished]
    colours = ScalarMappable(Normalize(min(values), max(values)), colormaps["viridis"])
    shades = colours.to_rgba(np.array(values))
    is_max = spec.fitness_direction == "max"
    # The best last, so that it lies on top.
    order = sorted(range(len(values)), key=values.__getitem__, reverse=not is_max)
    for index in order:
        trial, value = finished[index]
        is_best = value == (max(values) if is_max else min(values))
        axes.plot(
            range(count),
            space.encode(trial.parameters),
            color=shades[index],
            linewidth=2.4 if is_best else 1.0,
            alpha=1.0 if is_best else 0.6,
            marker="o",
            markersize=3,
        )
    for place, dimension in enumerate(space.dimensions.values()):
        _axis(axes, place, dimension)
    axes.set_xticks(range(count), [_short(name) for name in space.dimensions])
    axes.set_yticks([])
    axes.set_xlim(-0.3, count - 0.4)
    axes.set_ylim(-0.05, 1.05)
    axes.set_title("Parallel coordinates (thick: the best)")
    figure.colorbar(colours, ax=axes, label=plain(spec.fitness_metric))
    return save_figure(figure, folder / "parallel_coordinates.png")


def _axis(axes: Axes, place: int, dimension: Choice | Range) -> None:
    """One vertical axis with its values."""
    axes.axvline(place, color="#999999", linewidth=0.8, zorder=0)
    space = Space({"": dimension})
    if isinstance(dimension, Choice):
        step = max(1, len(dimension.values) // TICKS)
        values = dimension.values[::step]
    else:
        values = [space.decode([float(share)])[""] for share in np.linspace(0, 1, TICKS)]
    for value in values:
        share = space.encode({"": value})[0]
        label = f"{value:.3g}" if isinstance(value, float) else _short(str(value))
        axes.annotate(
            label,
            (place, share),
            xytext=(3, 0),
            textcoords="offset points",
            fontsize=7,
            va="center",
        )


def _importance(folder: Path, spec: EvoSweepSpec, weights: dict[str, float]) -> Path:
    """A bar for each dimension."""
    figure = new_figure(height=max(2.4, 0.4 * len(weights) + 1.2))
    axes = figure.subplots()
    names = list(weights)[::-1]
    axes.barh(range(len(names)), [weights[name] for name in names], color=DOTS)
    axes.set_yticks(range(len(names)), [_short(name) for name in names])
    axes.set_xlabel("share of importance (PED-ANOVA)")
    axes.set_title(f"What mattered for {plain(spec.fitness_metric)}")
    return save_figure(figure, folder / "importance.png")


def _short(text: str) -> str:
    return cut(text, LABEL_LENGTH, "...")
