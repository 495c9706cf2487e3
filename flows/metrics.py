"""Metrics of a run, read from its files."""

import json
import math
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from flows.models.run import MetricPoint
from flows.paths import RunPaths

STEP_KEYS = ("step", "global_step", "epoch", "iteration")
TIME_KEYS = ("time", "timestamp", "_timestamp")
NAME_LENGTH = 200
LOG_TAIL_BYTES = 64 * 1024
SERIES_TAIL_BYTES = 16 * 1024 * 1024
SUMMARY_LINES = 40
SUMMARY_LINE_LENGTH = 500
_ANSI = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\))")
_PAIR = re.compile(
    r"([A-Za-z_][A-Za-z0-9_./@-]{0,63})[ \t]*[:=][ \t]*"
    r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf(?:inity)?))(?![\w.])(?:[ \t]*%)?",
    re.IGNORECASE | re.ASCII,
)
_SEPARATORS = frozenset(" \t,;|")


class Reading(NamedTuple):
    """What was read of a metrics.jsonl.

    `next_byte` is where to read on; `broken` counts the lines that hold no JSON object.
    """

    points: list[MetricPoint]
    next_byte: int
    broken: int


class _Entry(NamedTuple):
    """One line of a metrics.jsonl."""

    values: dict[str, float | None]
    step: float | None
    time: float | None


def read_points(path: Path, since_byte: int = 0) -> tuple[list[MetricPoint], int]:
    """The points of a metrics.jsonl from `since_byte` on, and the byte to read on from.

    See `read_series`, which also counts broken lines.
    """
    reading = read_series(path, since_byte)
    return reading.points, reading.next_byte


def read_series(path: Path, since_byte: int = 0) -> Reading:
    """Read a metrics.jsonl from `since_byte` on; nothing where there is no such file.

    A line is {"name", "value", "step"?, "time"?} or the wide form {"step": 1, "loss": 0.3, ...}.
    An incomplete last line is left for the next call; a line that is no JSON object is passed
    over and counted. A file that has become shorter is read from its start.
    """
    points: list[MetricPoint] = []
    broken = 0
    try:
        with path.open("rb") as file:
            start = _seek(file, since_byte)
            end = start
            for line in file:
                entry = _entry(line)
                if entry is None and not line.endswith(b"\n"):
                    break
                end += len(line)
                if entry is not None:
                    points += _points(entry)
                elif line.strip():
                    broken += 1
    except FileNotFoundError:
        return Reading([], since_byte, 0)
    return Reading(points, end, broken)


def _seek(file: BinaryIO, since_byte: int) -> int:
    size = file.seek(0, 2)
    return file.seek(since_byte if 0 <= since_byte <= size else 0)


def parse_line(line: bytes | str) -> list[MetricPoint]:
    """The points of one line; none if it is no JSON object, or one without numbers."""
    entry = _entry(line)
    return _points(entry) if entry is not None else []


def _points(entry: _Entry) -> list[MetricPoint]:
    return [
        MetricPoint(name=name, value=value, step=entry.step, time=entry.time)
        for name, value in entry.values.items()
    ]


def _entry(line: bytes | str) -> _Entry | None:
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
    return _Entry(
        values={
            name: number(value)
            for name, value in named.items()
            if _is_number(value) and _is_name(name)
        },
        step=_axis(found, STEP_KEYS),
        time=_axis(found, TIME_KEYS),
    )


def _axis(entry: dict[str, Any], keys: Sequence[str]) -> float | None:
    values = (number(entry[key]) for key in keys if key in entry)
    return next((value for value in values if value is not None), None)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_name(name: str) -> bool:
    # Control characters and half characters can be neither stored nor shown.
    return 0 < len(name) <= NAME_LENGTH and name.isprintable()


def number(value: Any) -> float | None:
    """A finite float, or None for all else (NaN and infinity included)."""
    if not _is_number(value):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def series(points: Sequence[MetricPoint]) -> dict[str, list[MetricPoint]]:
    """The points by metric name, in order."""
    found: dict[str, list[MetricPoint]] = {}
    for point in points:
        found.setdefault(point.name, []).append(point)
    return found


def last_values(points: Sequence[MetricPoint]) -> dict[str, float]:
    """The last finite value of each metric."""
    return {point.name: point.value for point in points if point.value is not None}


def best_value(points: Sequence[MetricPoint], name: str, direction: str) -> float | None:
    """The highest (`max`) or lowest (`min`) value of a metric; None where there is none."""
    values = [p.value for p in points if p.name == name and p.value is not None]
    if not values:
        return None
    return max(values) if direction == "max" else min(values)


def downsample(points: Sequence[MetricPoint], n: int) -> list[MetricPoint]:
    """At most `n` points, in order: the lowest and highest of each bucket, the first, the last.

    For `n` below 4 the ends give way to the extremes; of a bucket without a value, one point
    stays, so that the gap shows. An `n` below 1 gives none.
    """
    if len(points) <= n:
        return list(points)
    if n < 2:
        return list(points[-1:]) if n == 1 else []
    kept = {0, len(points) - 1} if n >= 4 else set()
    buckets = max(1, (n - len(kept)) // 2)
    edges = [len(points) * bucket // buckets for bucket in range(buckets + 1)]
    for start, end in pairwise(edges):
        finite = [(points[i].value or 0.0, i) for i in range(start, end) if _has_value(points[i])]
        # Of equal values the first is kept.
        kept |= {min(finite)[1], max(finite, key=lambda pair: pair[0])[1]} if finite else {start}
    return [points[index] for index in sorted(kept)]


def _has_value(point: MetricPoint) -> bool:
    return point.value is not None


def summary_from_log(tail: str) -> dict[str, float]:
    """The finite values of the `name: value` and `name=value` lines at a log's end.

    A line counts if it holds nothing but such pairs. Steps, epochs and times are no metrics.
    """
    found: dict[str, float] = {}
    for line in _ANSI.sub("", tail).splitlines()[-SUMMARY_LINES:]:
        for name, text in _pairs(line):
            value = number(float(text))
            if value is not None and name.lower() not in STEP_KEYS + TIME_KEYS:
                found[name] = value
    return found


def _pairs(line: str) -> list[tuple[str, str]]:
    """The pairs of a line; none if it holds anything else."""
    if len(line) > SUMMARY_LINE_LENGTH:
        return []
    pairs: list[tuple[str, str]] = []
    end = 0
    for match in _PAIR.finditer(line):
        between = line[end : match.start()]
        if not _SEPARATORS.issuperset(between) or (pairs and not between):
            return []
        pairs.append((match[1], match[2]))
        end = match.end()
    return pairs if _SEPARATORS.issuperset(line[end:]) else []


def run_metrics(run_dir: Path) -> dict[str, float]:
    """The last values of a run: of metrics.jsonl, else of the summary at its log's end.

    Of a metrics.jsonl over 16 MiB and of run.log over 64 KiB only the end is read.
    """
    paths = RunPaths(run_dir)
    found: dict[str, float | None] = {}
    for line in _tail(paths.metrics, SERIES_TAIL_BYTES):
        if (entry := _entry(line)) is not None:
            found |= {
                name: value
                for name, value in entry.values.items()
                if value is not None or name not in found
            }
    if found:
        return {name: value for name, value in found.items() if value is not None}
    log = b"".join(_tail(paths.log, LOG_TAIL_BYTES))
    return summary_from_log(log.decode("utf-8", "replace"))


def _tail(path: Path, size: int) -> Iterator[bytes]:
    """The lines of a file's last `size` bytes; one that was cut is left out."""
    try:
        with path.open("rb") as file:
            start = max(0, file.seek(0, 2) - size)
            file.seek(max(0, start - 1))
            if start:
                file.readline(size)
            yield from file
    except FileNotFoundError:
        return
