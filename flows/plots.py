"""The report's pictures."""

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from flows.metrics import downsample, read_all
from flows.metrics.read import workdir_of
from flows.models.run import Run
from flows.project import MetricConfig
from flows.results import scored

CURVES = 8
POINTS = 400


def draw_plots(folder: Path, runs: Sequence[Run], metric: MetricConfig | None) -> list[Path]:
    """Draw what can be drawn into `folder`; return the pictures' paths."""
    if metric is None:
        return []
    found = scored(runs, metric.name)
    if not found:
        return []
    drawn = [_progress(folder, found, metric)]
    curves = _curves(folder, found, metric)
    return drawn + ([curves] if curves else [])


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
    axes.set_ylabel(metric.name)
    axes.set_title(f"{metric.name} over the session")
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
            if point.value is not None
        ]
        if len(line) < 2:
            continue
        count += 1
        steps = [point.step if point.step is not None else i for i, point in enumerate(line)]
        axes.plot(steps, [point.value or 0.0 for point in line], label=run.name, linewidth=1.4)
    if not count:
        return None
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("step")
    axes.set_ylabel(metric.name)
    axes.set_title(f"Learning curves: the first run and the best {count - 1 or ''}".strip())
    axes.legend(fontsize=8)
    return _save(figure, folder / "learning_curves.png")


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
