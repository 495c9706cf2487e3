"""Curves in the terminal, beside what is told of a session: its runs so far, and those at work."""

import math
import time
from collections.abc import Mapping, Sequence
from itertools import accumulate

import plotext
from rich.columns import Columns
from rich.console import RenderableType
from rich.text import Text

from wildloop.flows.evidence.values import value_of
from wildloop.flows.models.evidence import Direction
from wildloop.flows.models.run import Run
from wildloop.flows.models.session import Session
from wildloop.flows.search.scale import robust_limits
from wildloop.shim.client.api import ApiClient

EVERY_S = 5.0
MOST_AT_WORK = 3
MOST_POINTS = 400
WIDEST, NARROWEST, HEIGHT = 70, 36, 12
MARKS = ("braille", "dot", "x")
Line = Sequence[tuple[float, float]]
Scale = tuple[float, float]


class Curves:
    """Reads what is drawn, at most every five seconds."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._due = 0.0
        self._values: list[float] = []
        self._at_work: dict[str, Line] = {}

    def picture(self, session: Session, width: int) -> RenderableType | None:
        """The curves of a session; None as long as nothing was measured.

        Args:
            session: as it stands.
            width: columns that there are.
        """
        metric = session.contract.metric
        if metric is None:
            return None
        if time.monotonic() >= self._due:
            self._read(session.session_id, metric)
            self._due = time.monotonic() + EVERY_S
        drawn = [drawn_runs(self._values, metric, session.contract.direction or "max", width)]
        drawn.append(drawn_series(self._at_work, metric, width))
        shown = [Text.from_ansi(one) for one in drawn if one]
        return Columns(shown, padding=(0, 2)) if shown else None

    def _read(self, session_id: str, metric: str) -> None:
        runs = self._client.every_run(chat_session_id=session_id)
        runs.sort(key=lambda run: run.finished_at or run.created_at)
        self._values = [value for run in runs if (value := value_of(run, metric)) is not None]
        at_work = [run for run in runs if run.status.is_active][-MOST_AT_WORK:]
        self._at_work = {run.name: self._series(run, metric) for run in at_work}

    def _series(self, run: Run, metric: str) -> Line:
        points = self._client.metrics(run.id).series.get(metric, [])
        return [
            (float(number if point.step is None else point.step), point.value)
            for number, point in enumerate(points)
            if point.value is not None and math.isfinite(point.value)
        ][-MOST_POINTS:]


def drawn_runs(values: Sequence[float], metric: str, direction: Direction, width: int) -> str:
    """Each finished run's value in order, and the best single one so far; empty of fewer than two.

    A single run's best is a candidate: what is shown to be better stands in the line above.
    """
    if len(values) < 2:
        return ""
    best = list(accumulate(values, max if direction == "max" else min))
    scale = robust_limits(values, best[-1:])
    places = list(range(1, len(values) + 1))
    _sheet(width, f"{metric} by run, line: best single one", [values], scale)
    plotext.plot(places, [_within(one, scale) for one in best], marker="braille")
    _scatter(places, values, scale)
    return _built()


def drawn_series(series: Mapping[str, Line], metric: str, width: int) -> str:
    """The curves of the runs at work; empty where none has two points."""
    lines = {name: line for name, line in series.items() if len(line) > 1}
    if not lines:
        return ""
    heights = [[value for _, value in line] for line in lines.values()]
    scale = robust_limits([one for some in heights for one in some], [one[-1] for one in heights])
    _sheet(width, f"{metric} by step: {', '.join(one[:20] for one in lines)}", heights, scale)
    for mark, line in zip(MARKS, lines.values(), strict=False):
        plotext.plot([at for at, _ in line], [_within(one, scale) for _, one in line], marker=mark)
    return _built()


def _scatter(places: Sequence[int], values: Sequence[float], scale: Scale) -> None:
    """A dot for each value; what lies beyond the scale is an arrow at its edge."""
    low, high = scale
    for mark, lower, upper in (("dot", low, high), ("^", high, math.inf), ("v", -math.inf, low)):
        shown = [
            (at, _within(one, scale))
            for at, one in zip(places, values, strict=True)
            if (lower <= one <= upper if mark == "dot" else lower < one < upper)
        ]
        if shown:
            plotext.scatter([at for at, _ in shown], [one for _, one in shown], marker=mark)


def _within(value: float, scale: Scale) -> float:
    return min(max(value, scale[0]), scale[1])


def _sheet(width: int, title: str, lines: Sequence[Sequence[float]], scale: Scale) -> None:
    plotext.clear_figure()
    plotext.theme("clear")
    size = max(NARROWEST, min(WIDEST, width))
    plotext.plot_size(size, HEIGHT)
    beyond = sum(_within(one, scale) != one for line in lines for one in line)
    if beyond:
        plotext.ylim(*scale)
    told = f" ({beyond} beyond)" if beyond else ""
    plotext.title(title[: size - 10 - len(told)] + told)


def _built() -> str:
    return str(plotext.build()).rstrip("\n")
