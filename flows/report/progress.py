"""The progress plot: the means of configurations in the order in which they were tried."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from matplotlib.axes import Axes

from wildloop.flows.evidence.configuration import Configuration
from wildloop.flows.evidence.ranked import standing_word
from wildloop.flows.report.facts import ReportFacts
from wildloop.flows.search.figure import (
    BEST,
    DOTS,
    FAINT,
    INK,
    Sheet,
    legend_below,
    mark_beyond,
    mark_lost,
    plain,
    save_picture,
    whole_steps,
)
from wildloop.flows.search.scale import robust_limits

MOST_STAGES = 12


def draw_progress(folder: Path, facts: ReportFacts) -> Path | None:
    """The picture; None where nothing has a value."""
    metric, account = facts.metric, facts.account
    found = [one for one in account.configurations if one.is_over or one.n]
    if metric is None or not any(one.n for one in found):
        return None
    name = plain(metric.name)

    def draw(sheet: Sheet) -> None:
        axes = sheet.axes(grid="y")
        _sides(axes, facts)
        _dots(sheet, axes, found, facts)
        _stages(sheet, axes, found, facts)
        axes.set_xlim(0.4, len(found) + 0.6)
        whole_steps(axes)
        axes.set_xlabel("configuration, in the order of the first run")
        axes.set_ylabel(name)
        axes.set_title(f"{name} over the session, mean of each configuration", pad=14)
        if sheet.is_narrow:
            axes.set_title(f"{name} by configuration", pad=14)
        legend_below(sheet, axes)

    return save_picture(folder / "progress.png", draw, 4.0, 4.2)


def _dots(sheet: Sheet, axes: Axes, found: Sequence[Configuration], facts: ReportFacts) -> None:
    """Filled: two seeds or more; hollow: one; crosses at the bottom: none."""
    account = facts.account
    valued = [(place, one) for place, one in enumerate(found, 1) if one.compared.mean is not None]
    means = [one.compared.mean or 0.0 for _, one in valued]
    sides = [one.compared for one in (account.best, account.baseline) if one is not None]
    keep = [end for side in sides for end in (side.mean, side.low, side.high) if end is not None]
    middle = [side.mean for side in sides if side.mean is not None]
    axes.set_ylim(*robust_limits(means, keep if _is_narrow_band(means, keep) else middle))
    for place, one in valued:
        mean, seeds = one.compared.mean or 0.0, one.compared.n
        colour = BEST if one is account.best and account.gain is not None else DOTS
        (dot,) = axes.plot(
            [place],
            [mean],
            "o",
            markersize=6,
            color=colour if seeds > 1 else "none",
            markeredgecolor=colour,
            markeredgewidth=1.3,
            zorder=4,
        )
        sheet.tip(dot, f"{one.name}: {one.compared.text}, {standing_word(account, one)}")
    for label, is_filled in (("two seeds or more", True), ("one seed", False)):
        if any((one.compared.n > 1) is is_filled for _, one in valued):
            face = DOTS if is_filled else "none"
            axes.plot([], [], "o", color=face, markeredgecolor=DOTS, label=label)
    mark_beyond(axes, [place for place, _ in valued], means)
    lost = [place for place, one in enumerate(found, 1) if one.compared.mean is None]
    mark_lost(axes, lost, "no value (failed)")


def _is_narrow_band(means: Sequence[float], keep: Sequence[float]) -> bool:
    """Whether the intervals of the two sides fit in: those of two seeds may be very wide."""
    return not keep or max(keep) - min(keep) <= 3 * ((max(means) - min(means)) or 1.0)


def _sides(axes: Axes, facts: ReportFacts) -> None:
    """The baseline and the best as lines, with their intervals."""
    account = facts.account
    word = "baseline" if account.has_true_baseline else "stands for the baseline"
    sides = [(word, account.baseline, INK)]
    if account.gain is not None:
        sides.append(("best", account.best, BEST))
    for name, one, colour in sides:
        if one is None or one.compared.mean is None:
            continue
        seen = one.compared
        style = "--" if colour == INK else "-"
        axes.axhline(
            one.compared.mean,
            color=colour,
            linewidth=1.2,
            linestyle=style,
            label=f"{name}: {seen.text}",
        )
        if seen.low is not None and seen.high is not None:
            axes.axhspan(seen.low, seen.high, color=colour, alpha=0.1, linewidth=0)


def _stages(sheet: Sheet, axes: Axes, found: Sequence[Configuration], facts: ReportFacts) -> None:
    """Where each of the agent's iterations begins."""
    labels = [_stage(one, facts) for one in found]
    begun = [
        (next(group)[0], label)
        for label, group in groupby(enumerate(labels, 1), key=lambda pair: pair[1])
        if label
    ]
    step = max(1, -(-len(begun) // (MOST_STAGES // 2 if sheet.is_narrow else MOST_STAGES)))
    for number, (place, label) in enumerate(begun):
        axes.axvline(place - 0.5, color=FAINT, linewidth=0.7, linestyle=":", zorder=1)
        if number % step == 0:
            told = axes.text(
                place - 0.45,
                1.01,
                label,
                transform=axes.get_xaxis_transform(),
                fontsize=7.5,
                va="bottom",
            )
            sheet.halo(told)


def _stage(one: Configuration, facts: ReportFacts) -> str:
    """The iteration that made its first run: `it 3`."""
    label = facts.label_of(one.runs[0])
    number = (label or "").partition("iteration-")[2].partition(".")[0]
    return f"it {int(number)}" if number.isdigit() else ""
