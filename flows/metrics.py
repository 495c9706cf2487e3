"""Metrics of a run, read from its files."""

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flows.models.run import MetricPoint
from flows.paths import RunPaths

STEP_KEYS = ("step", "global_step", "epoch", "iteration")
TIME_KEYS = ("time", "timestamp", "_timestamp")
LOG_TAIL_BYTES = 64 * 1024
SUMMARY_LINES = 40
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_SUMMARY = re.compile(
    r"^\s*([A-Za-z_][\w./-]{0,63})\s*[:=]\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*%?\s*$"
)


def read_points(path: Path, since_byte: int = 0) -> tuple[list[MetricPoint], int]:
    """The points of a metrics.jsonl from `since_byte` on, and the byte after the last whole line.

    A line is {"name", "value", "step"?, "time"?} or the wide form {"step": 1, "loss": 0.3, ...}.
    A partial last line is left for the next call; a line that is no JSON object is passed over.
    """
    try:
        with path.open("rb") as file:
            file.seek(since_byte)
            data = file.read()
    except FileNotFoundError:
        return [], since_byte
    end = data.rfind(b"\n") + 1
    points: list[MetricPoint] = []
    for line in data[:end].splitlines():
        points += parse_line(line)
    return points, since_byte + end


def parse_line(line: bytes | str) -> list[MetricPoint]:
    """The points of one line; none if it is no JSON object."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return []
    if not isinstance(entry, dict):
        return []
    step = next((number(entry[key]) for key in STEP_KEYS if key in entry), None)
    time = next((number(entry[key]) for key in TIME_KEYS if key in entry), None)
    if isinstance(entry.get("name"), str) and "value" in entry:
        named = {entry["name"]: entry["value"]}
    else:
        named = {
            str(key): value
            for key, value in entry.items()
            if key not in STEP_KEYS and key not in TIME_KEYS
        }
    return [
        MetricPoint(name=name, value=number(value), step=step, time=time)
        for name, value in named.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]


def number(value: Any) -> float | None:
    """A finite float, or None for all else (NaN and infinity included)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
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
    """At most about `n` points: the first, the last, and the lowest and highest of each bucket."""
    if n < 2 or len(points) <= n:
        return list(points)
    size = max(1, math.ceil(2 * len(points) / n))
    kept = {0, len(points) - 1}
    for start in range(0, len(points), size):
        finite = [
            index
            for index in range(start, min(start + size, len(points)))
            if points[index].value is not None
        ]
        if finite:
            kept.add(min(finite, key=lambda index: points[index].value or 0.0))
            kept.add(max(finite, key=lambda index: points[index].value or 0.0))
    return [points[index] for index in sorted(kept)]


def summary_from_log(tail: str) -> dict[str, float]:
    """Final `name: value` or `name=value` lines of a log."""
    found: dict[str, float] = {}
    for line in _ANSI.sub("", tail).splitlines()[-SUMMARY_LINES:]:
        if match := _SUMMARY.match(line):
            value = number(float(match[2]))
            if value is not None:
                found[match[1]] = value
    return found


def run_metrics(run_dir: Path) -> dict[str, float]:
    """The last values of a run: of metrics.jsonl, else of the summary at its log's end."""
    paths = RunPaths(run_dir)
    points, _ = read_points(paths.metrics)
    if points:
        return last_values(points)
    try:
        with paths.log.open("rb") as file:
            file.seek(max(0, paths.log.stat().st_size - LOG_TAIL_BYTES))
            return summary_from_log(file.read().decode("utf-8", "replace"))
    except FileNotFoundError:
        return {}
