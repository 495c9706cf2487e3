"""Pieces of Markdown as Prefect's pages show it: tables, code, links, small curves; no HTML."""

import base64
import re
from collections.abc import Sequence

_FENCE = re.compile(r"`{3,}")
_TICKS = re.compile(r"`+")
CUT = "\n... (cut)"
WIDTH, HEIGHT, MARGIN = 640, 160, 6
LINE, GREY = "#4878a8", "#888888"


def row(cells: Sequence[str]) -> str:
    """A table row; line breaks and bars inside a cell do not end it."""
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; empty where it has no rows."""
    if not rows:
        return ""
    return "\n".join([row(header), row(["---"] * len(header)), *map(row, rows)])


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """What is known, a line each, those without a value left out."""
    return table(["", ""], [(f"**{name}**", value) for name, value in pairs if value])


def link(text: str, url: str | None) -> str:
    """A link; the text alone where there is no place to link to."""
    shown = " ".join(text.split()).replace("[", "(").replace("]", ")")
    return f"[{shown}]({url})" if url else shown


def code(text: str) -> str:
    """Code within a line."""
    said = " ".join(text.split())
    if not said:
        return ""
    ticks = "`" * (1 + max((len(found) for found in _TICKS.findall(said)), default=0))
    pad = " " if "`" in said else ""
    return f"{ticks}{pad}{said}{pad}{ticks}"


def block(text: str, language: str = "") -> str:
    """A block of code, whatever stands in it."""
    fence = "`" * max(3, 1 + max((len(found) for found in _FENCE.findall(text)), default=0))
    body = text.strip("\n")
    return f"{fence}{language}\n{body}\n{fence}" if body else ""


def head(text: str, most: int) -> str:
    """The text, or its first `most` characters and a word that it was cut."""
    return text if len(text) <= most else text[:most].rstrip() + CUT


def section(title: str, *parts: str) -> str:
    """A heading and what stands below it; empty where that is nothing."""
    said = [part for part in parts if part.strip()]
    return "\n\n".join([f"### {title}", *said]) if said else ""


def page(*parts: str) -> str:
    """The parts that are not empty, apart from each other."""
    return "\n\n".join(part for part in parts if part.strip())


def curve(name: str, points: Sequence[tuple[float, float]]) -> str:
    """A picture of a series within the text itself; empty where fewer than two places differ.

    Args:
        name: of what is drawn.
        points: place and value, in order, all finite.
    """
    places, values = [x for x, _ in points], [y for _, y in points]
    if len(set(places)) < 2:
        return ""
    drawn = [
        (
            MARGIN + (WIDTH - 2 * MARGIN) * _share(x, places),
            HEIGHT - 20 - (HEIGHT - 40) * _share(y, values),
        )
        for x, y in points
    ]
    line = " ".join(f"{x:.0f},{y:.0f}" for x, y in drawn)
    texts = [
        (12, "start", f"{max(values):.5g}"),
        (HEIGHT - 5, "start", f"{min(values):.5g}"),
        (HEIGHT - 5, "end", f"{max(places):.5g}"),
    ]
    told = "".join(
        f'<text x="{MARGIN if side == "start" else WIDTH - MARGIN}" y="{y}" fill="{GREY}" '
        f'font-family="sans-serif" font-size="11" text-anchor="{side}">{said}</text>'
        for y, side, said in texts
    )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}">{told}'
        f'<polyline fill="none" stroke="{LINE}" stroke-width="2" points="{line}"/></svg>'
    )
    return f"![{name}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def _share(value: float, among: Sequence[float]) -> float:
    """Where a value lies between the lowest and the highest, from 0 to 1."""
    low, high = min(among) / 2, max(among) / 2
    # Halved, since their distance may be more than a float holds.
    return (value / 2 - low) / (high - low) if high > low else 0.5
