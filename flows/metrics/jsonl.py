"""metrics.jsonl: one JSON object a line, appended by the run or posted to the API."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from wildloop.flows.metrics.reader import FileReader
from wildloop.flows.metrics.series import Sample, is_name, is_number, number
from wildloop.flows.models.metrics import SourceKind
from wildloop.flows.models.run import MetricPoint

STEP_KEYS = ("step", "global_step", "epoch", "iteration")
TIME_KEYS = ("time", "timestamp", "_timestamp")
LINE_BYTES = 1024 * 1024


class Reading(NamedTuple):
    """What was read of a metrics.jsonl.

    `next_byte` is where to read on; `broken` counts the lines that hold no JSON object.
    """

    points: list[MetricPoint]
    next_byte: int
    broken: int


class JsonlReader(FileReader):
    """A line is {"name", "value", "step"?, "time"?} or the wide form {"step": 1, "loss": 0.3}.

    An incomplete last line is left for the next call; a line that is no JSON object, or one
    longer than 1 MiB, is passed over and counted.
    """

    kind = SourceKind.JSONL

    def __init__(self, path: Path, tail_bytes: int | None = None) -> None:
        super().__init__(path, tail_bytes)
        self._in_long_line = False

    def _reset(self) -> None:
        self._in_long_line = False

    def _start_after(self, file: BinaryIO, offset: int, size: int) -> int:
        file.seek(offset - 1)
        self._in_long_line = not file.readline(LINE_BYTES).endswith(b"\n")
        return file.tell()

    def _samples(self, file: BinaryIO, size: int) -> Iterator[Sample]:
        file.seek(self.position)
        while line := file.readline(LINE_BYTES):
            ended = line.endswith(b"\n")
            if self._in_long_line or (not ended and len(line) == LINE_BYTES):
                self.broken += not self._in_long_line
                self._in_long_line = not ended
                self.position += len(line)
                continue
            found = samples(line)
            if found is None and not ended:
                return
            self.position += len(line)
            if found is not None:
                yield from found
            elif line.strip():
                self.broken += 1


def read_points(path: Path, since_byte: int = 0) -> tuple[list[MetricPoint], int]:
    """The points of a metrics.jsonl from `since_byte` on, and the byte to read on from.

    See `read_series`, which also counts broken lines.
    """
    reading = read_series(path, since_byte)
    return reading.points, reading.next_byte


def read_series(path: Path, since_byte: int = 0) -> Reading:
    """Read a metrics.jsonl from `since_byte` on; nothing where there is no such file.

    See `JsonlReader` for the forms of a line. A file that has become shorter is read from its
    start.
    """
    reader = JsonlReader(path)
    reader.position = max(0, since_byte)
    points = [_point(sample) for sample in reader.read()]
    return Reading(points, reader.position, reader.broken)


def parse_line(line: bytes | str) -> list[MetricPoint]:
    """The points of one line; none if it is no JSON object, or one without numbers."""
    return [_point(sample) for sample in samples(line) or ()]


def samples(line: bytes | str) -> list[Sample] | None:
    """The samples of one line; None if it is no JSON object."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    if isinstance(found.get("name"), str) and "value" in found:
        named = {found["name"]: found["value"]}
    else:
        named = {
            key: value
            for key, value in found.items()
            if key not in STEP_KEYS and key not in TIME_KEYS
        }
    step, time = _axis(found, STEP_KEYS), _axis(found, TIME_KEYS)
    return [
        Sample(name, number(value), step, time)
        for name, value in named.items()
        if is_number(value) and is_name(name)
    ]


def _axis(entry: dict[str, Any], keys: Sequence[str]) -> float | None:
    values = (number(entry[key]) for key in keys if key in entry)
    return next((value for value in values if value is not None), None)


def _point(sample: Sample) -> MetricPoint:
    return MetricPoint(**sample._asdict())
