"""CSV files that loggers write: Lightning, Keras, ultralytics, and any results.csv of a script."""

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, ClassVar

from wildloop.flows.metrics.jsonl import TIME_KEYS
from wildloop.flows.metrics.lines.words import AXES, Sort, sort_of
from wildloop.flows.metrics.reader import FileReader
from wildloop.flows.metrics.series import Sample, is_name, number
from wildloop.flows.models.metrics import SourceKind

HEADER_BYTES = 64 * 1024
LINE_BYTES = 1024 * 1024
COLUMNS = 10_000
_FILE = re.compile(
    r"(?:.*[_.-])?(?:metrics?|results?|history|progress|training|train|log|logs|scores?|eval|losses)"
    r"\.csv|training\.log",
    re.IGNORECASE,
)
_TIMES = frozenset((*TIME_KEYS, "wall_time", "walltime", "datetime", "date"))


def is_table_file(name: str) -> bool:
    """Whether a file is a logger's table, by its name."""
    return _FILE.fullmatch(name) is not None


class TableReader(FileReader):
    """The rows of a table with a header; a column of steps or epochs tells where a row stands.

    Other columns are metrics, as far as their cells are numbers. A file whose first line is no
    header of such a table has no metrics.
    """

    kind: ClassVar[SourceKind] = SourceKind.CSV

    def __init__(self, path: Path, tail_bytes: int | None = None) -> None:
        super().__init__(path, tail_bytes)
        self._columns: list[str] = []
        self._header = b""
        self._sign = ","

    def _reset(self) -> None:
        self._columns, self._header = [], b""

    def _start_after(self, file: BinaryIO, offset: int, size: int) -> int:
        self._read_header(file)
        file.seek(offset - 1)
        file.readline(LINE_BYTES)
        return file.tell()

    def _read_header(self, file: BinaryIO) -> None:
        file.seek(0)
        line = file.readline(HEADER_BYTES)
        if not line.endswith(b"\n") or line == self._header:
            return
        if self._header:
            # Lightning writes its file anew when a column has come.
            self.restarts += 1
            self.position, self.broken = 0, 0
        self._header = line
        text = line.decode("utf-8-sig", "replace").strip()
        self._sign = next((sign for sign in ",\t;" if sign in text), ",")
        columns = [cell.strip() for cell in _cells(text, self._sign)]
        self._columns = columns if _is_header(columns) else []
        self.position = max(self.position, file.tell())

    def _samples(self, file: BinaryIO, size: int) -> Iterator[Sample]:
        self._read_header(file)
        if not self._columns:
            return
        file.seek(self.position)
        while (line := file.readline(LINE_BYTES)).endswith(b"\n"):
            self.position += len(line)
            yield from self._row(line)
        if line and self.is_ended:
            self.position += len(line)
            yield from self._row(line)

    def _row(self, line: bytes) -> list[Sample]:
        cells = _cells(line.decode("utf-8", "replace").strip("\r\n"), self._sign)
        columns = self._columns
        if len(cells) != len(columns):
            self.broken += bool(line.strip())
            return []
        if cells == columns:
            return []
        values = {name: _number(cell) for name, cell in zip(columns, cells, strict=True)}
        axes = {AXES[name.lower()]: value for name, value in values.items() if name.lower() in AXES}
        step = axes.get("step")
        step = number(step if step is not None else axes.get("epoch"))
        time = next((number(values[name]) for name in values if name.lower() in TIME_KEYS), None)
        # A few seconds are a duration, not a date.
        time = time if time is not None and time > 1e9 else None
        return [
            Sample(name, number(value), step, time)
            for name, value in values.items()
            if value is not None and _is_metric(name) and is_name(name)
        ]


def _is_metric(name: str) -> bool:
    return name.lower() not in AXES and name.lower() not in _TIMES and name not in ("", "index")


def _cells(text: str, sign: str) -> list[str]:
    return next(csv.reader([text], delimiter=sign), [])


def _is_header(columns: Sequence[str]) -> bool:
    if not 2 <= len(columns) <= COLUMNS or any(_number(cell) is not None for cell in columns):
        return False
    sorts = [sort_of(column) for column in columns]
    has_axis = any(column.lower() in AXES for column in columns)
    return has_axis or sorts.count(Sort.METRIC) * 2 >= len(columns)


def _number(cell: str) -> float | None:
    """The number in a cell (NaN and infinity too); None for an empty one or a text."""
    try:
        return float(cell) if cell.strip() else None
    except ValueError:
        return None
