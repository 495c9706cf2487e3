"""The one way a picture is made here: its sizes, its look, its texts, the scale of its axes.

Each is drawn three times: a PNG for Markdown and e-mail, and two SVG for the page, one for wide
windows and one for phones, whose texts are texts and whose ink is that of the page around it.
"""

import html
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import ceil, floor
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from wildloop.flows.search.scale import robust_limits

DOTS = "#3f7fc1"
BEST = "#d1605e"
FAILED = "#a8792a"
LINES = (DOTS, BEST, "#3a9270", "#9467bd", FAILED, "#7f8894")
"""Told apart on white and on black paper."""
INK = "#1c2024"
FAINT = "#8a939d"
PAPER = "#fefefe"
WIDE, NARROW = 7.2, 3.9
PNG_DPI, SVG_DPI = 130, 72
FONT = 9
NARROW_SUFFIX = ".narrow.svg"
MOST_TIPS = 300
FEW_STEPS = 4
# Ink, lines and paper are the page's own: it may be dark.
_OF_PAGE = {INK: "currentColor", FAINT: "var(--faint, #8a939d)", PAPER: "var(--paper, #fff)"}
_REFERENCE = re.compile(r'(?:href="#|url\(#)([^")]+)')
_FONT = re.compile(r"(font: (?:[a-z]+ )*[\d.]+px )[^;\"]*")
_HALO = "paint-order: stroke; stroke: var(--paper, #fff); stroke-width: 3px"
_LOOK: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "wildloop",
    "font.size": FONT,
    "axes.titlesize": FONT + 1,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "legend.fontsize": FONT - 1,
    "legend.frameon": False,
    "text.color": INK,
    "legend.labelcolor": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": FAINT,
    "grid.alpha": 0.25,
}


@dataclass
class Sheet:
    """What a picture is drawn on.

    Args:
        figure: empty at first.
        is_narrow: whether it is for a phone: fewer words, smaller legends.
        is_vector: whether it becomes an SVG.
        tips: what a pointer is told, by the id of what it is on.
    """

    figure: Figure
    is_narrow: bool
    is_vector: bool = False
    tips: dict[str, str] = field(default_factory=dict)

    def halo(self, text: Text) -> None:
        """Put paper around a text that lies on lines."""
        if self.is_vector:
            # A path effect would make outlines of the letters.
            text.set_gid("halo")
        else:
            text.set_path_effects([withStroke(linewidth=2.5, foreground=PAPER)])

    def axes(self, *, grid: str | None = None) -> Axes:
        """The one pair of axes; `grid`: x, y or both."""
        found = self.figure.subplots()
        found.spines[["top", "right"]].set_visible(False)
        if grid is not None:
            found.grid(axis=grid)  # type: ignore[arg-type]
            found.set_axisbelow(True)
        return found

    def tip(self, artist: Artist, text: str) -> None:
        """Show `text` where a pointer rests on `artist`."""
        if len(self.tips) < MOST_TIPS:
            name = f"tip{len(self.tips)}"
            artist.set_gid(name)
            self.tips[name] = text


Draw = Callable[[Sheet], None]


def save_picture(
    path: Path, draw: Draw, height: float = 4.0, narrow_height: float | None = None
) -> Path:
    """Draw to `path`, a PNG that is returned, and beside it to SVG files of the same name.

    Args:
        path: of the PNG.
        draw: what draws it; it is called three times.
        height: in inches, of what is 7.2 wide.
        narrow_height: of what is 3.9 wide.
    """
    narrow = narrow_height or height
    with mpl.rc_context(_LOOK):
        _sheet(draw, height, False, False).figure.savefig(path, dpi=PNG_DPI)
        for suffix, is_narrow in ((".svg", False), (NARROW_SUFFIX, True)):
            sheet = _sheet(draw, narrow if is_narrow else height, is_narrow, True)
            text = io.StringIO()
            sheet.figure.savefig(
                text, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
            )
            name = path.stem + ("-n" if is_narrow else "")
            path.with_suffix(suffix).write_text(
                _inline(text.getvalue(), name, sheet.tips), encoding="utf-8"
            )
    return path


def _sheet(draw: Draw, height: float, is_narrow: bool, is_vector: bool) -> Sheet:
    figure = Figure(
        figsize=(NARROW if is_narrow else WIDE, height),
        dpi=SVG_DPI if is_vector else PNG_DPI,
        layout="constrained",
    )
    FigureCanvasSVG(figure) if is_vector else FigureCanvasAgg(figure)
    sheet = Sheet(figure, is_narrow, is_vector)
    draw(sheet)
    # Left to `savefig`, the layout is made by a drawing of its own: a quarter of all the work.
    layout = figure.get_layout_engine()
    assert layout is not None
    layout.execute(figure)
    figure.set_layout_engine("none")
    return sheet


def _inline(svg: str, name: str, tips: dict[str, str]) -> str:
    """An SVG file's text as part of a page: its ids are its own, its ink is the page's."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<svg[^>]*viewBox=\"([^\"]*)\"[^>]*>", r'<svg viewBox="\1">', svg, count=1)
    svg = svg.replace("xlink:href", "href")
    for gid, text in tips.items():
        told = f"<title>{html.escape(text)}</title>"
        svg = svg.replace(f'<g id="{gid}">', f'<g class="tip">{told}', 1)
    svg = svg.replace('<g id="halo">', f'<g style="{_HALO}">')
    kept = set(_REFERENCE.findall(svg))
    svg = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in kept else "", svg)
    for one in kept:
        svg = re.sub(rf'(id="|href="#|url\(#){re.escape(one)}(?=["\)])', rf"\g<1>{name}-{one}", svg)
    svg = _FONT.sub(r"\1system-ui, sans-serif", svg)
    for colour, of_page in _OF_PAGE.items():
        svg = svg.replace(colour, of_page)
    return re.sub(r"\n\s*", "\n", svg)


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
    low, high = robust_limits(values, best[-1:])
    axes.set_ylim(low, high)
    mark_beyond(axes, steps, values)


def mark_beyond(axes: Axes, places: Sequence[float], values: Sequence[float]) -> None:
    """Mark at the edge what lies beyond the scale, and say how many there are."""
    low, high = axes.get_ylim()
    count = 0
    for is_beyond, mark, share in (
        ([one > high for one in values], "^", 0.98),
        ([one < low for one in values], "v", 0.02),
    ):
        there = [place for place, beyond in zip(places, is_beyond, strict=True) if beyond]
        count += len(there)
        axes.scatter(
            there,
            [share] * len(there),
            marker=mark,
            s=26,
            color=FAILED,
            transform=axes.get_xaxis_transform(),
            zorder=4,
        )
    if count:
        axes.scatter([], [], marker="^", s=26, color=FAILED, label=f"{count} beyond the scale")


def mark_lost(axes: Axes, places: Sequence[float], label: str, mark: str = "x") -> None:
    """Mark at the bottom what has no value; nothing where all have one."""
    if places:
        axes.scatter(
            places,
            [0.03] * len(places),
            marker=mark,
            color=FAILED,
            label=label,
            transform=axes.get_xaxis_transform(),
            zorder=4,
        )


def legend_below(sheet: Sheet, axes: Axes, columns: int = 3) -> None:
    """The legend under the axes, where it hides nothing."""
    handles, _ = axes.get_legend_handles_labels()
    if handles:
        sheet.figure.legend(
            handles=handles,
            loc="outside lower left",
            ncols=1 if sheet.is_narrow else min(columns, len(handles)),
        )


def whole_steps(axes: Axes) -> None:
    """Whole numbers only along the x axis."""
    low, high = axes.get_xlim()
    if high - low < FEW_STEPS:
        axes.set_xticks(range(ceil(low), floor(high) + 1))
        return
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))


def plain(text: str) -> str:
    """Text that is not taken for a formula."""
    return text.replace("\\", "/").replace("$", r"\$")


def cut(text: str, length: int, end: str = "…") -> str:
    """Plain text of at most `length` characters."""
    return plain(text if len(text) <= length else text[: length - len(end)] + end)
