"""Pictures of many runs as places in a drawing: parallel coordinates, scatter, importance. Pure.

The template makes SVG of them: the page's policy allows no style in the page itself, and what is a
text stays one. Reads no files; imports Optuna and matplotlib, so that it is imported late.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from wildloop.flows.evidence.settings import plain_value, settings_of
from wildloop.flows.models.evo import Choice, EvoSweepSpec, Range, Trial, TrialStatus
from wildloop.flows.models.run import Run
from wildloop.flows.report.plots import varied
from wildloop.flows.search.plots import colour_limits, importances, ticks, value_text
from wildloop.flows.search.scale import robust_limits
from wildloop.flows.search.space import Space

SHADES = 10
HEIGHT, TOP, BOTTOM = 340.0, 40.0, 320.0
NARROWEST, WIDEST, ABOUT, SIDE = 130.0, 260.0, 1040.0, 70.0
WIDTH, LEFT, RIGHT = 620.0, 70.0, 40.0
MOST_MARKS = 500
FOR_IMPORTANCE = 8
LABEL_LENGTH = 15
TOLD_LENGTH = 400
Direction = Literal["max", "min"]


@dataclass(frozen=True)
class Tick:
    """A value on an axis, and where it stands."""

    at: float
    text: str


@dataclass(frozen=True)
class Axis:
    """An axis with values that were tried."""

    name: str
    at: float
    ticks: list[Tick]
    is_log: bool = False

    @property
    def short(self) -> str:
        """Its name, cut for its place."""
        name = self.name
        return name if len(name) <= LABEL_LENGTH else f"{name[: LABEL_LENGTH - 1]}…"


@dataclass(frozen=True)
class Mark:
    """A run in a picture: a line or a dot."""

    run: str
    told: str
    shade: int
    points: list[tuple[float, float]]
    is_beyond: bool = False

    @property
    def path(self) -> str:
        """Its points as a polyline has them."""
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in self.points)


@dataclass(frozen=True)
class Drawing:
    """Axes and marks; better marks come later, so that they lie on top."""

    width: float
    axes: list[Axis]
    marks: list[Mark]
    left_out: int = 0
    beyond: int = 0


@dataclass(frozen=True)
class Pictures:
    """All pictures of a metric over the runs that have it."""

    metric: str
    direction: Direction
    shown: int
    low: float
    high: float
    parallel: Drawing | None
    scatters: list[tuple[str, Drawing]] = field(default_factory=list)
    importance: dict[str, float] = field(default_factory=dict)


def pictures(rows: Sequence[tuple[float, Run]], metric: str, direction: Direction) -> Pictures:
    """Draw runs by their values of a metric.

    Args:
        rows: value and run, in the order of creation; of very many the last ones are drawn.
        metric: its name.
        direction: which way is better.
    """
    rows = rows[-MOST_MARKS:]
    values = [value for value, _ in rows]
    settings = [settings_of(run) for _, run in rows]
    space = varied(settings)
    low, high = colour_limits(values)
    sheet = _Sheet(rows, settings, metric, direction, low, high)
    scatters = [("time", sheet.scatter(None, _time_places(rows)))]
    for name, kind in space.items():
        scatters.append((name, sheet.scatter(name, kind)))
    return Pictures(
        metric=metric,
        direction=direction,
        shown=len(rows),
        low=low,
        high=high,
        parallel=sheet.parallel(space) if space else None,
        scatters=scatters,
        importance=_importance(space, rows, settings, metric, direction),
    )


class _Sheet:
    """The runs of all pictures, with their colours."""

    def __init__(
        self,
        rows: Sequence[tuple[float, Run]],
        settings: Sequence[dict[str, Any]],
        metric: str,
        direction: Direction,
        low: float,
        high: float,
    ) -> None:
        self._rows, self._settings, self._metric = rows, settings, metric
        self._is_max, self._low, self._high = direction == "max", low, high
        values = [value for value, _ in rows]
        self._bottom, self._top = robust_limits(values)
        order = sorted(range(len(rows)), key=values.__getitem__, reverse=not self._is_max)
        self._order = order

    def parallel(self, space: dict[str, Choice | Range]) -> Drawing:
        """A line for each run across the settings that vary, to its value."""
        whole = Space(space)
        apart = min(WIDEST, max(NARROWEST, ABOUT / len(space)))
        places = [SIDE + apart * number for number in range(len(space) + 1)]
        marks = []
        for index in self._order:
            settings = self._settings[index]
            if any(name not in settings for name in space):
                continue
            try:
                shares = whole.encode({n: _value(settings[n], kind) for n, kind in space.items()})
            except (KeyError, ValueError):
                # A choice beyond those that an axis takes.
                continue
            heights = [_y(share) for share in shares]
            height, is_beyond = self._height(index)
            points = list(zip(places, [*heights, height], strict=True))
            marks.append(self._mark(index, points, is_beyond))
        axes = [
            Axis(name, at, self._ticks(name, kind), isinstance(kind, Range) and kind.log)
            for (name, kind), at in zip(space.items(), places, strict=False)
        ]
        axes.append(Axis(self._metric, places[-1], self._value_ticks()))
        return Drawing(
            places[-1] + SIDE,
            axes,
            marks,
            len(self._rows) - len(marks),
            sum(mark.is_beyond for mark in marks),
        )

    def scatter(self, name: str | None, kind: Choice | Range) -> Drawing:
        """A dot for each run: its value over one setting, or over time."""
        along = Space({"": kind})
        marks = []
        for index in self._order:
            run = self._rows[index][1]
            if name is not None and name not in self._settings[index]:
                continue
            given = _value(self._settings[index][name], kind) if name is not None else _time_of(run)
            try:
                share = along.encode({"": given})[0]
            except (KeyError, ValueError):
                continue
            height, is_beyond = self._height(index)
            x = LEFT + share * (WIDTH - LEFT - RIGHT)
            marks.append(self._mark(index, [(x, height)], is_beyond))
        tried = self._ticks(name, kind) if name is not None else []
        across = [
            Tick(LEFT + (1 - (one.at - TOP) / (BOTTOM - TOP)) * (WIDTH - LEFT - RIGHT), one.text)
            for one in tried
        ]
        axes = [
            Axis(name or "time", 0, across, isinstance(kind, Range) and kind.log),
            Axis(self._metric, LEFT, self._value_ticks()),
        ]
        beyond = sum(mark.is_beyond for mark in marks)
        return Drawing(WIDTH, axes, marks, len(self._rows) - len(marks), beyond)

    def _mark(self, index: int, points: list[tuple[float, float]], is_beyond: bool) -> Mark:
        value, run = self._rows[index]
        told = ", ".join(
            f"{name}={plain_value(one)}" for name, one in self._settings[index].items()
        )
        text = f"{run.name}: {self._metric} {value:.5g}; {told}"
        cut = text if len(text) <= TOLD_LENGTH else f"{text[: TOLD_LENGTH - 1]}…"
        return Mark(run.id, cut, self._shade(value), points, is_beyond)

    def _shade(self, value: float) -> int:
        """From 0, the worst, to 9; an outlier has the last colour."""
        share = (value - self._low) / (self._high - self._low)
        share = min(1.0, max(0.0, share if self._is_max else 1 - share))
        return min(SHADES - 1, int(share * SHADES))

    def _height(self, index: int) -> tuple[float, bool]:
        value = self._rows[index][0]
        share = (value - self._bottom) / (self._top - self._bottom)
        return _y(min(1.0, max(0.0, share))), not 0 <= share <= 1

    def _ticks(self, name: str, kind: Choice | Range) -> list[Tick]:
        tried = [_value(one[name], kind) for one in self._settings if name in one]
        if isinstance(kind, Choice):
            tried = [one for one in tried if one in kind.values]
        along = Space({"": kind})
        return [
            Tick(_y(along.encode({"": one})[0]), value_text(_number(one)))
            for one in ticks(kind, tried, 5)
        ]

    def _value_ticks(self) -> list[Tick]:
        found = np.linspace(self._bottom, self._top, 5)
        shares = (found - self._bottom) / (self._top - self._bottom)
        return [
            Tick(_y(float(share)), f"{value:.4g}")
            for share, value in zip(shares, found, strict=True)
        ]


def _importance(
    space: dict[str, Choice | Range],
    rows: Sequence[tuple[float, Run]],
    settings: Sequence[dict[str, Any]],
    metric: str,
    direction: Direction,
) -> dict[str, float]:
    """The share of each setting in what the metric came to; empty where too few were tried."""
    if not space:
        return {}
    spec = EvoSweepSpec(
        target_script="any", fitness_metric=metric, fitness_direction=direction, search_space=space
    )
    trials = [
        Trial(
            number=number,
            generation=0,
            parameters={name: _value(one[name], kind) for name, kind in space.items()},
            status=TrialStatus.FINISHED,
            value=value,
        )
        for number, ((value, _), one) in enumerate(zip(rows, settings, strict=True))
        if all(_is_on(one, name, kind) for name, kind in space.items())
    ]
    return importances(spec, trials) if len(trials) >= FOR_IMPORTANCE else {}


def _is_on(settings: dict[str, Any], name: str, kind: Choice | Range) -> bool:
    """Whether a run has a setting, and one that its axis shows."""
    if name not in settings:
        return False
    return isinstance(kind, Range) or _value(settings[name], kind) in kind.values


def _time_places(rows: Sequence[tuple[float, Run]]) -> Range:
    times = [_time_of(run) for _, run in rows]
    return Range(low=min(times), high=max(max(times), min(times) + 1.0))


def _time_of(run: Run) -> float:
    return float(run.finished_at or run.created_at)


def _value(given: Any, kind: Choice | Range) -> Any:
    return plain_value(given) if isinstance(kind, Choice) else float(given)


def _number(given: Any) -> Any:
    """Whole numbers as such."""
    return int(given) if isinstance(given, float) and given.is_integer() else given


def _y(share: float) -> float:
    return BOTTOM - share * (BOTTOM - TOP)
