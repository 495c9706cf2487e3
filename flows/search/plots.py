"""A sweep's pictures: history, parallel coordinates, importance."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import optuna
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.ticker import MaxNLocator
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from pydantic import JsonValue

from wildloop.flows.models.evo import Choice, EvoSweepSpec, Range, Trial, TrialStatus, key_of
from wildloop.flows.search.figure import (
    DOTS,
    FAINT,
    Sheet,
    cut,
    draw_course,
    legend_below,
    mark_lost,
    plain,
    save_picture,
)
from wildloop.flows.search.samplers import optuna_study
from wildloop.flows.search.scale import robust_limits
from wildloop.flows.search.space import Space

MIN_FOR_IMPORTANCE = 4
LABEL_LENGTH = 18
TICKS = 5
# From bad to good; each is told from light and from dark paper.
COLOURS = ("#8a939d", "#3f7fc1", "#3a9270", "#b3852d", "#d1605e")


def draw_sweep_plots(folder: Path, spec: EvoSweepSpec, trials: Sequence[Trial]) -> list[Path]:
    """Draw what can be drawn into `folder` (made if need be); return the pictures' paths."""
    finished = _finished(trials)
    if not finished:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    pick = max if spec.fitness_direction == "max" else min
    best = pick(finished, key=lambda pair: pair[1])[0]
    drawn = [
        _history(folder, spec, trials),
        draw_parallel(folder, spec, finished, best.number, "the best single run"),
    ]
    weights = importances(spec, trials)
    return drawn + ([draw_importance(folder, spec, weights, len(finished))] if weights else [])


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
    finished = _finished(trials)
    numbers, values = [one.number for one, _ in finished], [value for _, value in finished]

    def draw(sheet: Sheet) -> None:
        axes = sheet.axes(grid="y")
        draw_course(axes, numbers, values, is_max=spec.fitness_direction == "max", label="trial")
        for status, mark in ((TrialStatus.PRUNED, "v"), (TrialStatus.FAILED, "x")):
            there = [one.number for one in trials if one.status is status]
            mark_lost(axes, there, status.value, mark)
        for number in range(spec.population_size, len(trials), spec.population_size):
            axes.axvline(number - 0.5, color=FAINT, linewidth=0.8, linestyle=":")
        axes.set_xlabel("trial (dotted: generations)")
        axes.set_ylabel(plain(spec.fitness_metric))
        axes.set_title(f"{plain(spec.fitness_metric)} over the sweep")
        legend_below(sheet, axes)

    return save_picture(folder / "history.png", draw)


def draw_parallel(
    folder: Path,
    spec: EvoSweepSpec,
    finished: Sequence[tuple[Trial, float]],
    thick: int | None = None,
    what: str = "the best",
) -> Path:
    """A line for each finished trial across all dimensions, coloured by its fitness.

    The axes show values that were tried. The scale of colours leaves outliers out.

    Args:
        folder: for the picture.
        spec: the dimensions, and which way is better.
        finished: trials with their values.
        thick: number of the trial whose line stands out; None: no line does.
        what: that trial, in words.
    """
    space = Space(spec.search_space)
    values = [value for _, value in finished]
    is_max = spec.fitness_direction == "max"
    low, high = colour_limits(values)

    def draw(sheet: Sheet) -> None:
        axes = sheet.axes()
        colours = ScalarMappable(Normalize(low, high, clip=True), _colours(is_max))
        shades = colours.to_rgba(np.array(values))
        # Better ones later, so that they lie on top.
        order = sorted(range(len(values)), key=values.__getitem__, reverse=not is_max)
        for index in sorted(order, key=lambda index: finished[index][0].number == thick):
            trial, value = finished[index]
            (line,) = axes.plot(
                range(len(space.dimensions)),
                space.encode(trial.parameters),
                color=shades[index],
                linewidth=3.0 if trial.number == thick else 1.1,
                alpha=1.0 if trial.number == thick else 0.7,
                marker="o",
                markersize=3,
            )
            sheet.tip(line, f"{_told(trial)}: {value:.5g}")
        _axes_of(sheet, axes, space, [trial for trial, _ in finished])
        extend = {(False, False): "neither", (True, False): "min", (False, True): "max"}.get(
            (min(values) < low, max(values) > high), "both"
        )
        bar = sheet.figure.colorbar(
            colours,
            ax=axes,
            label=plain(spec.fitness_metric),
            location="bottom",
            extend=extend,
            aspect=40,
            pad=0.04,
        )
        bar.outline.set_visible(False)
        bar.ax.xaxis.set_major_locator(MaxNLocator(4 if sheet.is_narrow else 7))
        word = "Settings" if sheet.is_narrow else "Settings and what they gave"
        axes.set_title(word + (f" (thick: {what})" if thick is not None else ""), pad=12)

    return save_picture(folder / "parallel_coordinates.png", draw, 4.4, 4.6)


def _colours(is_max: bool) -> LinearSegmentedColormap:
    # Of more shades matplotlib would make an image.
    shades = COLOURS if is_max else COLOURS[::-1]
    return LinearSegmentedColormap.from_list("quality", shades, N=40)


def _told(trial: Trial) -> str:
    return ", ".join(f"{name}={value_text(value)}" for name, value in trial.parameters.items())


def colour_limits(values: Sequence[float]) -> tuple[float, float]:
    """Between which values colours differ: an outlier has the last colour."""
    low, high = robust_limits(values)
    low, high = max(low, min(values)), min(high, max(values))
    return (low, high) if low < high else (low, low + max(1.0, abs(low)))


def _axes_of(sheet: Sheet, axes: Axes, space: Space, trials: Sequence[Trial]) -> None:
    """The vertical axes, each with its name and with values that were tried."""
    count = len(space.dimensions)
    is_crowded = sheet.is_narrow or count > 7
    length = max(6, (40 if sheet.is_narrow else 84) // count)
    for place, (name, dimension) in enumerate(space.dimensions.items()):
        axes.axvline(place, color=FAINT, linewidth=0.8, zorder=0)
        tried = [trial.parameters[name] for trial in trials]
        for value in ticks(dimension, tried, 4 if sheet.is_narrow else TICKS):
            label = axes.annotate(
                cut(value_text(value), length),
                (place, Space({name: dimension}).encode({name: value})[0]),
                xytext=(-3 if place == count - 1 else 3, 0),
                textcoords="offset points",
                fontsize=8,
                va="center",
                ha="right" if place == count - 1 else "left",
                zorder=5,
            )
            sheet.halo(label)
    names = [cut(name, length + 4) for name in space.dimensions]
    axes.set_xticks(range(count), names, rotation=25 if is_crowded else 0)
    axes.tick_params(axis="x", length=0)
    axes.set_yticks([])
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.set_xlim(-0.1, count - 0.9)
    axes.set_ylim(-0.05, 1.05)


def ticks(dimension: Choice | Range, tried: Sequence[JsonValue], most: int) -> list[JsonValue]:
    """Values that were tried, spread over the axis; both ends are among them."""
    known = list({key_of(value): value for value in tried}.values())
    space = Space({"": dimension})
    ordered = sorted(known, key=lambda value: space.encode({"": value})[0])
    if len(ordered) <= most:
        return ordered
    shares = [space.encode({"": value})[0] for value in ordered]
    found = [int(np.argmin([abs(s - aim) for s in shares])) for aim in np.linspace(0, 1, most)]
    return [ordered[index] for index in dict.fromkeys(found)]


def value_text(value: JsonValue) -> str:
    """A value as it was given: whole numbers as such."""
    return f"{value:.4g}" if isinstance(value, float) and abs(value) < 1e4 else str(value)


def draw_importance(
    folder: Path, spec: EvoSweepSpec, weights: dict[str, float], count: int
) -> Path:
    """A bar for each dimension; `count`: of how many configurations it is an estimate."""
    names = list(weights)[::-1]

    def draw(sheet: Sheet) -> None:
        axes = sheet.axes(grid="x")
        axes.barh(range(len(names)), [weights[name] for name in names], color=DOTS, height=0.6)
        axes.set_yticks(range(len(names)), [_short(name) for name in names])
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(f"share of importance, estimated from {count} (PED-ANOVA)")
        axes.set_title(f"What mattered for {plain(spec.fitness_metric)}")

    height = max(1.8, 0.34 * len(weights) + 1.2)
    return save_picture(folder / "importance.png", draw, height)


def _short(text: str) -> str:
    return cut(text, LABEL_LENGTH, "...")
