"""Tables in a log: a header of names, and rows of numbers below it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from wildloop.flows.metrics.lines.tokens import NUMBER, is_whole
from wildloop.flows.metrics.lines.words import AXES, SPLITS, Sort, is_metric_word, sort_of

BORDERS = "│┃|║┆"
LEAST_COLUMNS = 2
MOST_COLUMNS = 64
_ONE_BORDER = str.maketrans(dict.fromkeys(BORDERS, "|"))
_BORDER = re.compile(f"[{BORDERS}]")
_RULE = re.compile(r"[-=+|:─━┄┅═┌┐└┘├┤┬┴┼╇╈┏┓┗┛┡┩┢┪╞╡╪╭╮╰╯┠┨│┃┆\s]*")
_CELL = re.compile(r"[-+]?(?:\d[\d,]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?%?|[-+]?(?:nan|inf)", re.I)
_OF = re.compile(r"(\d+)/\d+")
_NAME = re.compile(r"#|[^\W\d][\w./@()%:+-]*(?: [\w./@()%-]+){0,3}")
_OVERALL = frozenset({"all", "total", "overall", "mean", "average", "avg"})
_AVERAGES = {(one, "avg"): f"{one}_avg" for one in ("macro", "weighted", "micro")}
_BAR = re.compile(r":?\s+\d+%\|.*")
_COCO = re.compile(
    r"Average (?:Precision|Recall) +\((A[PR])\) @\[ IoU=([\d.]+)(:[\d.]+)? *\| area= *(\w+) *\|"
    r" maxDets= *(\d+) *\] = ([-\d.]+)"
)
_LONG = {"p": "precision", "r": "recall"}
_SPACYS = {"e": "epoch", "#": "step"}


@dataclass(frozen=True)
class Header:
    """The names of a table's columns and what stands between them; blanks if ''."""

    columns: tuple[str, ...]
    sign: str = ""


def is_rule(line: str) -> bool:
    """Whether a line is nothing but the lines of a table."""
    return _RULE.fullmatch(line) is not None


def two_cells(shape: str) -> tuple[str, str] | None:
    """Name and rest of `│ test_acc │ NUMBER │`; the rest is empty where the row is a section."""
    if not any(one in shape for one in BORDERS):
        return None
    cells = [cell.strip() for cell in _BORDER.split(shape)]
    if len(cells) != 4 or cells[0] or cells[3] or not cells[1] or NUMBER in cells[1]:
        return None
    name, value = cells[1], cells[2]
    if value and value not in (NUMBER, f"{NUMBER}%"):
        return None
    return (name, value) if _NAME.fullmatch(name) else None


def header_of(line: str) -> Header | None:
    """The header that a line is, if it is one: names, of which one is an axis or a metric."""
    line = line.translate(_ONE_BORDER)
    for sign in ("|", ",", "\t", ";", ""):
        if sign and line.count(sign) < LEAST_COLUMNS - 1:
            continue
        columns = _cells(line, sign)
        if (splits := _splits(columns)) and (sign or line[0].isspace()):
            return Header(splits, sign)
        # Two words of a table without lines may be a sentence.
        least = LEAST_COLUMNS if sign or _is_axis_and_metric(columns) else 3
        if not least <= len(columns) <= MOST_COLUMNS:
            continue
        if all(_NAME.fullmatch(one) for one in columns) and _is_told(columns):
            return Header(tuple(_column(one, columns) for one in columns), sign)
    return None


def _splits(columns: Sequence[str]) -> tuple[str, ...]:
    """The columns of a table with one for each part of the data: `Training | Validation`."""
    named = tuple(one.lower() for one in columns)
    found = named if named and named[0] in SPLITS else named[1:]
    return found if len(found) >= 2 and all(one in SPLITS for one in found) else ()


def without_bar(line: str) -> str:
    """A header without the progress bar that some libraries draw behind it."""
    return _BAR.sub("", line) if "%|" in line else line


def coco_value(line: str) -> tuple[str, str] | None:
    """Name and value of a line of COCO's summary: AP, AP50, AP_small, AR_100."""
    found = _COCO.search(line)
    if found is None:
        return None
    name, iou, to, area, most, value = found.groups()
    parts = "" if to else f"{float(iou) * 100:.0f}"
    sized = f"_{area}" if area != "all" else ""
    counted = f"_{most}" if name == "AR" and not sized else ""
    return f"{name}{parts}{sized}{counted}", value


def _is_axis_and_metric(columns: Sequence[str]) -> bool:
    return len(columns) == 2 and columns[0] in AXES and sort_of(columns[1]) is Sort.METRIC


def _is_told(columns: Sequence[str]) -> bool:
    # A sentence may have the word loss in it: one in four at least must be known.
    known = [
        one
        for one in columns
        if one.lower() in AXES or sort_of(one.strip("()")) in (Sort.METRIC, Sort.RESOURCE)
    ]
    return len(known) * 4 >= len(columns)


def _column(name: str, columns: Sequence[str]) -> str:
    plain = name.rpartition("(")[2].rstrip(")") if name.count("(") != name.count(")") else name
    if "#" in columns and plain.lower() in _SPACYS:
        return _SPACYS[plain.lower()]
    if plain.lower() in _LONG and any("map" in one.lower() for one in columns):
        return _LONG[plain.lower()]
    return plain


def _cells(line: str, sign: str) -> list[str]:
    if sign:
        return [cell.strip() for cell in line.strip().strip(sign).split(sign)]
    wide = [cell for cell in re.split(r"\s{2,}|\t", line.strip()) if cell]
    return wide if len(wide) >= 3 and any(" " in one for one in wide) else line.split()


def row_of(line: str, header: Header) -> list[tuple[str, str]] | None:
    """The values of a row by column; None if the line is no row of this table."""
    line = line.translate(_ONE_BORDER)
    cells = _cells(line, header.sign) if header.sign else line.split()
    columns = header.columns
    if all(one in SPLITS for one in columns):
        return _row_of_splits(_cells(line, header.sign), columns)
    if header.sign:
        return _plain_row(cells, columns) if len(cells) == len(columns) else None
    label = 0
    while label < min(len(cells), 3) and not _is_value(cells[label]):
        label += 1
    prefix = ""
    is_framed = len(cells) == len(columns) + 1 and any(one in AXES for one in columns)
    if not label and is_framed and is_whole(cells[0]):
        # The index of a data frame.
        return _plain_row(cells[1:], columns)
    if label:
        named = tuple(one.lower() for one in cells[:label])
        values = cells[label:]
        if label == 1 and is_metric_word(cells[0]) and len(values) < len(columns):
            # sklearn's report has one number and the support in this row.
            is_report = "support" in columns and len(values) == 2 and _is_value(values[0])
            return [(cells[0], values[0])] if is_report else None
        if named in _AVERAGES:
            prefix = f"{_AVERAGES[named]}/"
        elif label != 1 or named[0] not in _OVERALL:
            return [] if len(values) in (len(columns), len(columns) - 1) and label == 1 else None
        columns = columns[len(columns) - len(values) :] if len(values) <= len(columns) else columns
        cells = values
    found = _plain_row(_before_bar(cells, len(columns)), columns)
    return [(f"{prefix}{name}", value) for name, value in found] if found is not None else None


def _row_of_splits(cells: Sequence[str], columns: Sequence[str]) -> list[tuple[str, str]] | None:
    """`accuracy | 0.91 | 0.87`: a metric, and its value on each part of the data."""
    if len(cells) != len(columns) + 1 or not _NAME.fullmatch(cells[0]):
        return None
    values = [(f"{one}_{cells[0]}", cell) for one, cell in zip(columns, cells[1:], strict=True)]
    return [(name, cell) for name, cell in values if _CELL.fullmatch(cell)] or None


def _before_bar(cells: Sequence[str], count: int) -> list[str]:
    """The cells of a row that a progress bar follows."""
    if len(cells) > count and "%|" in cells[count]:
        kept = list(cells[:count])
        return [*kept[:-1], kept[-1].rstrip(":")]
    return list(cells)


def _plain_row(cells: Sequence[str], columns: Sequence[str]) -> list[tuple[str, str]] | None:
    if len(cells) != len(columns):
        return None
    found, odd = [], 0
    for name, cell in zip(columns, cells, strict=True):
        part = _OF.fullmatch(cell)
        if part is not None:
            found.append((name, part[1]))
        elif _CELL.fullmatch(cell):
            found.append((name, cell.rstrip("%")))
        elif cell not in ("", "-", "nan", "None"):
            odd += 1
    return found if found and odd <= len(columns) // 3 else None


def _is_value(cell: str) -> bool:
    return _CELL.fullmatch(cell) is not None or _OF.fullmatch(cell) is not None


def kept(name: str, value: str) -> bool:
    """Whether a cell's value is one of a metric."""
    sort = sort_of(name)
    return sort is Sort.METRIC or (sort is Sort.OTHER and not is_whole(value))
