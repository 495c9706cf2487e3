"""The forest plot: gains on the baseline with their intervals, and what each part is worth."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap

from wildloop.flows.evidence.ablation import ablation
from wildloop.flows.evidence.ranked import RankedRow
from wildloop.flows.models.evidence import AblationRow, Comparison, Estimate
from wildloop.flows.report.facts import ReportFacts
from wildloop.flows.report.ranking import gain_text, rows_of
from wildloop.flows.search.figure import (
    BEST,
    DOTS,
    FAINT,
    INK,
    Sheet,
    cut,
    plain,
    save_picture,
)

SHOWN = 6
SHOWN_PARTS = 6
REACH = 1.6
LENGTH, NARROW_LENGTH = 40, 22


@dataclass(frozen=True)
class Mark:
    """One line of the plot; `low` and `high` are the 95 % interval."""

    label: str
    gain: float
    low: float | None
    high: float | None
    is_shown: bool
    tip: str
    of_ablation: bool = False


def marks_of(facts: ReportFacts) -> list[Mark]:
    """The best few against the baseline, then the ablation's rows against their reference."""
    rows = [row for row in rows_of(facts) if row.comparison is not None][:SHOWN]
    found = [_of_row(row) for row in rows]
    record = ablation(facts.account)
    for one in record.rows if record is not None else ():
        mark = _of_part(one, record.estimate) if record is not None and one.comparison else None
        if mark is not None and sum(other.of_ablation for other in found) < SHOWN_PARTS:
            found.append(mark)
    return found


def _of_row(row: RankedRow) -> Mark:
    test = row.comparison
    assert test is not None
    tip = f"{row.what}: {gain_text(row)}, n={row.estimate.n}, {row.standing}"
    return Mark(row.what, test.gain, test.low, test.high, test.established, tip)


def _of_part(one: AblationRow, reference: Estimate) -> Mark | None:
    """What is without a part against what has it: below 0, it is worse without."""
    test = one.comparison
    if test is None:
        return None
    gain, low, high = _against(test, reference)
    tip = f"{one.removed}: {gain:+.4g} without it, {one.verdict}"
    return Mark(f"undone: {one.removed}", gain, low, high, test.established, tip, True)


def _against(test: Comparison, reference: Estimate) -> tuple[float, float | None, float | None]:
    """The gain of what is without: the test may be of the reference against it."""
    if test.ours.values != reference.values:
        return test.gain, test.low, test.high
    low = -test.high if test.high is not None else None
    high = -test.low if test.low is not None else None
    return -test.gain, low, high


def draw_forest(folder: Path, facts: ReportFacts) -> Path | None:
    """The picture; None where nothing is compared."""
    marks = marks_of(facts)
    if not marks or facts.metric is None:
        return None
    metric = plain(facts.metric.name)
    base = "the baseline" if facts.account.has_true_baseline else "what stands for the baseline"
    groups = 1 + any(one.of_ablation for one in marks) * any(not m.of_ablation for m in marks)

    def draw(sheet: Sheet) -> None:
        axes = sheet.axes(grid="x")
        limits = _limits(marks)
        axes.set_xlim(*limits)
        places = _places(marks)
        for place, mark in zip(places, marks, strict=True):
            _line(sheet, place, mark, limits)
        axes.axvline(0, color=INK, linewidth=1, zorder=1)
        axes.set_yticks(places, [_wrapped(one.label, sheet.is_narrow) for one in marks])
        axes.set_ylim(max(places) + 0.7, min(places) - 0.7)
        axes.tick_params(axis="y", length=0)
        if groups > 1:
            middle = next(p for p, one in zip(places, marks, strict=True) if one.of_ablation) - 0.75
            axes.axhline(middle, color=FAINT, linewidth=0.8, linestyle=":")
            axes.annotate(
                "ablation: against what has it",
                (1, middle),
                xycoords=("axes fraction", "data"),
                xytext=(0, -3),
                textcoords="offset points",
                ha="right",
                va="top",
                fontsize=7.5,
            )
        better = "above 0: better" if sheet.is_narrow else "right of 0 is better"
        axes.set_xlabel(f"gain in {cut(metric, 20)} ({better})")
        sheet.figure.suptitle(
            f"Gain on {base}, with 95 % intervals", x=0.01, ha="left", fontsize=10, weight="bold"
        )

    height = 1.3 + 0.34 * len(marks) + 0.2 * groups
    return save_picture(folder / "forest.png", draw, height, height)


def _wrapped(label: str, is_narrow: bool) -> str:
    """A label in two lines at most."""
    width = NARROW_LENGTH if is_narrow else LENGTH
    return plain("\n".join(wrap(label, width, max_lines=2, placeholder=" …")))


def _places(marks: Sequence[Mark]) -> list[float]:
    """A line for each, and half a line between what is against the baseline and the ablation."""
    return [place + 0.5 * mark.of_ablation for place, mark in enumerate(marks)]


def _limits(marks: Sequence[Mark]) -> tuple[float, float]:
    """Both ends of the axis: all gains are inside, very wide intervals run out of it."""
    gains = [0.0, *(one.gain for one in marks)]
    span = max(gains) - min(gains) or max(map(abs, gains)) or 1.0
    ends = [end for one in marks for end in (one.low, one.high) if end is not None]
    low = max(min([*gains, *ends]), min(gains) - REACH * span)
    high = min(max([*gains, *ends]), max(gains) + REACH * span)
    pad = 0.06 * (high - low) or 1.0
    return low - pad, high + pad


def _line(sheet: Sheet, place: float, mark: Mark, limits: tuple[float, float]) -> None:
    """One gain: filled where it is shown, hollow where it is not."""
    axes = sheet.figure.axes[0]
    colour = DOTS if mark.of_ablation else BEST if mark.is_shown and mark.gain > 0 else DOTS
    if mark.low is not None and mark.high is not None and mark.low < mark.high:
        ends = max(mark.low, limits[0]), min(mark.high, limits[1])
        axes.plot(ends, [place, place], color=colour, linewidth=2, solid_capstyle="butt")
        for end, edge, arrow in ((mark.low, limits[0], "<"), (mark.high, limits[1], ">")):
            if (end < edge) if arrow == "<" else (end > edge):
                axes.plot([edge], [place], arrow, color=colour, markersize=6, clip_on=False)
    (dot,) = axes.plot(
        [mark.gain],
        [place],
        "s" if mark.of_ablation else "o",
        markersize=7,
        markeredgecolor=colour,
        markeredgewidth=1.6,
        color=colour if mark.is_shown else "none",
        zorder=4,
    )
    sheet.tip(dot, mark.tip)
