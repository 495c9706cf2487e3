"""Markdown of texts that others have written: names, goals, errors, lessons."""

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime

# An underscore inside a word marks nothing, and names are full of them.
_MARKS = re.compile(r"([\\`*\[\]<#|~&]|(?<![^\W_])_|_(?![^\W_]))")
# Marks that only count at the beginning of a line.
_BEGINNING = re.compile(r"^(\d{0,9})(?=[.)](?:\s|$))|^(?=[-+=>])")
CUT = 300


def plain(text: object, length: int = CUT) -> str:
    """Any text as one line in which Markdown finds nothing to mark up."""
    line = " ".join(str(text).split())
    if len(line) > length:
        line = line[: length - 1].rstrip() + "…"
    line = _MARKS.sub(r"\\\1", line)
    return _BEGINNING.sub(lambda match: f"{match[1] or ''}\\", line)


def quote(text: str, length: int = 4000) -> str:
    """A longer text, paragraph by paragraph, as a quotation."""
    cut = text.strip()
    if len(cut) > length:
        cut = cut[:length].rstrip() + " …"
    return "\n".join(f"> {plain(line, length)}".rstrip() for line in cut.splitlines()) or "> (none)"


def code(text: object) -> str:
    """Text as inline code, whatever backticks it has; a bar would end a table's cell."""
    line = " ".join(str(text).split()) or " "
    longest = max((len(run) for run in re.findall(r"`+", line)), default=0)
    fence, pad = "`" * (longest + 1), " " if longest else ""
    return f"{fence}{pad}{line}{pad}{fence}".replace("|", "\\|")


def fenced(lines: Sequence[str], language: str = "bash") -> str:
    """Lines as a code block, whatever backticks they have."""
    text = "\n".join(lines)
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], right: int = 0, after: int = 0
) -> str:
    """A Markdown table of ready cells; `right` columns are numbers, the last but for `after`."""
    marks = ["---"] * (len(header) - right - after) + ["---:"] * right + ["---"] * after
    return "\n".join(_row(cells) for cells in [header, marks, *rows])


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def link(label: str, target: str) -> str:
    """A link to one of Wildloop's own pages or places; `label` is untrusted, `target` is not."""
    return f"[{plain(label, 80)}](<{target}>)"


def call_link(label: str) -> str:
    """A link to what the report tells of one call of the agent."""
    return link(label, "#" + label.replace(".", ""))


def number(value: float | None, digits: int = 6) -> str:
    """A number with so many significant digits; `-` for none."""
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:.{digits}g}"


def signed(value: float) -> str:
    """A difference."""
    return f"{value:+.4g}"


def span(seconds: float) -> str:
    """`42 s`, `3.5 min`, `2.1 h`"""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def moment(seconds: float | None) -> str:
    """A time in UTC."""
    if seconds is None:
        return "-"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
