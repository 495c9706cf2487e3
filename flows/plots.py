"""The report's pictures."""

from collections.abc import Sequence
from itertools import accumulate
from math import isfinite
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from flows.configurations.settings import plain_value, settings_of
from flows.metrics import downsample, read_all
from flows.metrics.read import workdir_of
from flows.models.evo import Choice, EvoSweepSpec, Range, Trial, TrialStatus
from flows.models.run import Run
from flows.project import MetricConfig
from flows.results import scored

CURVES = 8
POINTS = 400
AXES = 12
NAME_LENGTH = 40
LEAST_SHARE = 0.5


def draw_plots(folder: Path, runs: Sequence[Run], metric: MetricConfig | None) -> list[Path]:
    """Draw what can be drawn into `folder`; return the pictures' paths."""
    if metric is None:
        return []
    found = scored(runs, metric.name)
    if not found:
        return []
    drawn = [
        _progress(folder, found, metric),
        _curves(folder, found, metric),
        _parallel(folder, found, metric),
    ]
    return [path for path in drawn if path is not None]


def _progress(folder: Path, found: Sequence[tuple[float, Run]], metric: MetricConfig) -> Path:
    """The metric run by run, and the best so far."""
    figure, values = _figure(), [value for value, _ in found]
    axes = figure.subplots()
    steps = range(1, len(values) + 1)
    best = list(accumulate(values, max if metric.direction == "max" else min))
    axes.scatter(steps, values, s=28, color="#4878a8", label="run", zorder=3)
    axes.step(steps, best, where="post", color="#c44e52", label="best so far")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("run, in order of creation")
    axes.set_ylabel(_plain(metric.name))
    axes.set_title(f"{_plain(metric.name)} over the session")
    axes.legend(loc="lower right" if metric.direction == "max" else "upper right")
    return _save(figure, folder / "progress.png")


def _curves(folder: Path, found: Sequence[tuple[float, Run]], metric: MetricConfig) -> Path | None:
    """Learning curves of the first run and of the best ones."""
    ranked = sorted(found, key=lambda pair: pair[0], reverse=metric.direction == "max")
    chosen = {run.id: run for _, run in [found[0], *ranked[: CURVES - 1]]}
    figure = _figure()
    axes = figure.subplots()
    count = 0
    for run in chosen.values():
        folder_of_run = Path(run.run_dir)
        measured = read_all(
            folder_of_run, workdir_of(folder_of_run), run.started_at, run.finished_at
        )
        line = [
            point
            for point in downsample(measured.series.get(metric.name, []), POINTS)
            if point.value is not None and isfinite(point.value)
        ]
        if len(line) < 2:
            continue
        count += 1
        steps = [point.step if point.step is not None else i for i, point in enumerate(line)]
        values = [point.value or 0.0 for point in line]
        axes.plot(steps, values, label=_label(run.name), linewidth=1.4)
    if not count:
        return None
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("step")
    axes.set_ylabel(_plain(metric.name))
    axes.set_title(f"Learning curves: the first run and the best {count - 1 or ''}".strip())
    axes.legend(fontsize=8)
    return _save(figure, folder / "learning_curves.png")


def _parallel(
    folder: Path, found: Sequence[tuple[float, Run]], metric: MetricConfig
) -> Path | None:
    """Every run across the settings that vary; None where fewer than two do."""
    settings = [settings_of(run) for _, run in found]
    space = varied(settings)
    if len(space) < 2:
        return None
    # SciPy and Optuna come along, which reports without such a picture need not pay for.
    from flows.search.plots import draw_parallel

    spec = EvoSweepSpec(
        target_script="any",
        fitness_metric=metric.name,
        fitness_direction=metric.direction,
        search_space=space,
    )
    trials = []
    for number, ((value, _), given) in enumerate(zip(found, settings, strict=True)):
        if not all(name in given for name in space):
            continue
        parameters = {name: _value(given[name], one) for name, one in space.items()}
        trial = Trial(
            number=number,
            generation=0,
            parameters=parameters,
            status=TrialStatus.FINISHED,
            value=value,
        )
        trials.append((trial, value))
    return draw_parallel(folder, spec, trials) if len(trials) > 1 else None


def varied(settings: Sequence[dict[str, Any]]) -> dict[str, Choice | Range]:
    """The settings that most runs have and that vary, as dimensions of what was tried.

    Numbers make a range from the lowest to the highest; its axis is logarithmic where all are
    above 0 and the highest is 20 times the lowest or more.
    """
    found: dict[str, Choice | Range] = {}
    for name in dict.fromkeys(name for one in settings for name in one):
        values = [one[name] for one in settings if name in one]
        distinct = {plain_value(value) for value in values}
        if len(values) < LEAST_SHARE * len(settings) or len(distinct) < 2:
            continue
        numbers = [number for number in map(_number, values) if number is not None]
        if len(numbers) < len(values):
            found[name] = Choice(values=sorted(distinct)[:AXES])
            continue
        low, high = min(numbers), max(numbers)
        found[name] = Range(low=low, high=high, log=low > 0 and high >= 20 * low)
    kept = list(found.items())[:AXES]
    return {name: one for name, one in kept if name.replace("-", "a").isidentifier()}


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if isfinite(number) else None


def _value(value: Any, dimension: Choice | Range) -> Any:
    return plain_value(value) if isinstance(dimension, Choice) else float(value)


def _label(name: str) -> str:
    """A run's name for a legend; one that begins with `_` would be left out of it."""
    cut = name if len(name) <= NAME_LENGTH else name[: NAME_LENGTH - 1] + "…"
    return f" {_plain(cut)}" if cut.startswith("_") else _plain(cut)


def _plain(text: str) -> str:
    """Text that is not taken for a formula."""
    return text.replace("$", r"\$")


def _figure() -> Figure:
    figure = Figure(figsize=(7.2, 4.2), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: Path) -> Path:
    for axes in figure.axes:
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)
    return path
