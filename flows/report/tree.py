"""The plot of the changes: means in their order, each joined to what it began with."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from wildloop.flows.models.tree import Outcome, TreeNode
from wildloop.flows.report.facts import ReportFacts
from wildloop.flows.report.tree_text import has_tree
from wildloop.flows.search.figure import (
    BEST,
    DOTS,
    FAINT,
    PAPER,
    Sheet,
    legend_below,
    mark_beyond,
    mark_lost,
    plain,
    save_picture,
    whole_steps,
)
from wildloop.flows.search.scale import robust_limits

Place = tuple[int, float]


def draw_tree(folder: Path, facts: ReportFacts) -> Path | None:
    """The picture; None where there are fewer than two changes, or no two have a value."""
    nodes, metric = facts.tree, facts.metric
    places = {
        one.id: (one.iteration, one.value.mean)
        for one in nodes
        if one.value is not None and one.value.mean is not None
    }
    if not has_tree(facts) or metric is None or len(places) < 2:
        return None
    name = plain(metric.name)

    def draw(sheet: Sheet) -> None:
        axes = sheet.axes(grid="y")
        means = [mean for _, mean in places.values()]
        best = [places[one.id][1] for one in nodes if one.is_best and one.id in places]
        axes.set_ylim(*robust_limits(means, best))
        axes.set_xlim(-0.6, max(one.iteration for one in nodes) + 0.6)
        _branches(axes, nodes, places)
        _changes(sheet, axes, nodes, places)
        mark_beyond(axes, [step for step, _ in places.values()], means)
        whole_steps(axes)
        axes.set_xlabel("iteration (0: what the session began with)")
        axes.set_ylabel(name)
        axes.set_title("Changes of code" if sheet.is_narrow else f"{name} of each change of code")
        legend_below(sheet, axes, 4)

    return save_picture(folder / "tree.png", draw, 4.0, 4.2)


def _branches(axes: Axes, nodes: Sequence[TreeNode], places: dict[str, Place]) -> None:
    """A line from each change to the nearest measured one that it began with."""
    by_id = {one.id: one for one in nodes}
    line = _line_of_best(nodes)
    for one in nodes:
        parent = by_id.get(one.parent or "")
        while parent is not None and parent.id not in places:
            parent = by_id.get(parent.parent or "")
        if one.id not in places or parent is None:
            continue
        (x, y), (until, end) = places[parent.id], places[one.id]
        is_line = one.id in line
        axes.plot(
            [x, until],
            [y, end],
            color=BEST if is_line else FAINT,
            linewidth=2 if is_line else 1,
            zorder=3 if is_line else 2,
        )


def _line_of_best(nodes: Sequence[TreeNode]) -> set[str]:
    """The changes that the best's code has come by."""
    by_id = {one.id: one for one in nodes}
    node = next((one for one in nodes if one.is_best), None)
    found = set[str]()
    while node is not None and node.id not in found:
        found.add(node.id)
        node = by_id.get(node.parent or "")
    return found


def _changes(sheet: Sheet, axes: Axes, nodes: Sequence[TreeNode], places: dict[str, Place]) -> None:
    """Filled: kept; hollow: not; crosses at the bottom: without a value."""
    for one in nodes:
        if one.id not in places:
            continue
        is_kept = one.outcome in (Outcome.KEPT, Outcome.ROOT)
        colour = BEST if one.is_best else DOTS
        (dot,) = axes.plot(
            [places[one.id][0]],
            [places[one.id][1]],
            "o",
            markersize=7,
            color=colour if is_kept else PAPER,
            markeredgecolor=colour,
            markeredgewidth=1.4,
            zorder=4,
        )
        value = one.value.text if one.value is not None else ""
        sheet.tip(dot, f"{one.id}, {one.outcome.value}: {value}; {one.title}")
    shown = (("best", BEST, BEST), ("kept", DOTS, DOTS), ("not kept", PAPER, DOTS))
    for label, face, edge in shown:
        axes.plot([], [], "o", color=face, markeredgecolor=edge, label=label)
    mark_lost(axes, [one.iteration for one in nodes if one.id not in places], "no value")
