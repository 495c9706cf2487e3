"""The one way a picture is made here: its size, its look, its texts, the course of a search."""

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

DOTS = "#4878a8"
BEST = "#c44e52"


def new_figure(width: float = 7.2, height: float = 4.2) -> Figure:
    """An empty figure of this size in inches, which no global state knows."""
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: Path, *, grid: bool = False) -> Path:
    """Write the figure to `path`, which is returned."""
    for axes in figure.axes:
        if grid:
            axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)
    return path


def draw_course(
    axes: Axes, steps: Sequence[int], values: Sequence[float], *, is_max: bool, label: str
) -> None:
    """Each value where it was reached, and the best single one so far.

    Args:
        axes: to draw on.
        steps: places on the x axis, ascending, one for each value.
        values: of the metric.
        is_max: whether more is better.
        label: what one dot is.
    """
    best = list(accumulate(values, max if is_max else min))
    axes.scatter(steps, values, s=28, color=DOTS, label=label, zorder=3)
    axes.step(steps, best, where="post", color=BEST, label="best single value so far, a candidate")
    whole_steps(axes)


def whole_steps(axes: Axes) -> None:
    """Whole numbers only along the x axis."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def plain(text: str) -> str:
    """Text that is not taken for a formula."""
    return text.replace("\\", "/").replace("$", r"\$")


def cut(text: str, length: int, end: str = "…") -> str:
    """Plain text of at most `length` characters."""
    return plain(text if len(text) <= length else text[: length - len(end)] + end)
