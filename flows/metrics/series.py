"""Metric series in memory: their last and best values, and how they are thinned."""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from wildloop.flows.models.run import MetricPoint

NAME_LENGTH = 200


class Sample(NamedTuple):
    """One value of one metric, as the readers give it. None stands for NaN or infinite.

    `time` is in Unix seconds.
    """

    name: str
    value: float | None
    step: float | None = None
    time: float | None = None


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number (true and false are none)."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_name(name: str) -> bool:
    """Whether a metric can bear this name."""
    # Control characters and half characters can be neither stored nor shown.
    return 0 < len(name) <= NAME_LENGTH and name.isprintable()


def number(value: Any) -> float | None:
    """A finite float, or None for all else (NaN and infinity included)."""
    if not is_number(value):
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


class GrowingSeries:
    """A series of any length in bounded memory: at most about `limit` samples stay.

    Up to `limit` samples all are kept. Beyond, neighbours are merged into buckets of equal
    length, of which the lowest and the highest stay; the very first and last always do.
    """

    def __init__(self, limit: int) -> None:
        self._limit = max(4, limit)
        self._span = 1
        self._filled = 0
        self._buckets: list[tuple[Sample, ...]] = []
        self._first: Sample | None = None
        self._newest: Sample | None = None
        self.count = 0
        self.last: float | None = None
        self.lowest: float | None = None
        self.highest: float | None = None

    def add(self, sample: Sample) -> None:
        """Append one sample."""
        self.count += 1
        self._newest = sample
        if self._first is None:
            self._first = sample
        value = sample.value
        if value is not None:
            self.last = value
            self.lowest = value if self.lowest is None else min(self.lowest, value)
            self.highest = value if self.highest is None else max(self.highest, value)
        if self._filled == 0 or self._filled == self._span:
            self._buckets.append((sample,))
            self._filled = 1
            self._fit()
        else:
            self._buckets[-1] = _extremes((*self._buckets[-1], sample))
            self._filled += 1

    @property
    def ends_finite(self) -> bool:
        """Whether the last sample is a number: what ends as NaN or infinite has diverged."""
        return self._newest is not None and self._newest.value is not None

    def shrink(self, limit: int) -> None:
        """Keep fewer samples from now on."""
        self._limit = min(self._limit, max(4, limit))
        self._fit()

    def samples(self) -> list[Sample]:
        """What is kept, in order."""
        kept = [sample for bucket in self._buckets for sample in bucket]
        if self._first is not None and kept[0] is not self._first:
            kept.insert(0, self._first)
        if self._newest is not None and kept[-1] is not self._newest:
            kept.append(self._newest)
        return kept

    def _fit(self) -> None:
        while len(self._buckets) > (self._limit if self._span == 1 else self._limit // 2):
            self._merge()

    def _merge(self) -> None:
        # The first time, buckets of one become buckets of four: pairs would save nothing.
        size = 4 if self._span == 1 else 2
        rest = (len(self._buckets) - 1) % size
        self._filled += rest * self._span
        self._span *= size
        self._buckets = [
            _extremes(sum(self._buckets[start : start + size], ()))
            for start in range(0, len(self._buckets), size)
        ]


def _extremes(samples: Iterable[Sample]) -> tuple[Sample, ...]:
    """The lowest and the highest of some samples, in order; without a value, the first."""
    ordered = list(samples)
    low = high = -1
    lowest, highest = math.inf, -math.inf
    for index, sample in enumerate(ordered):
        if sample.value is None:
            continue
        if low < 0 or sample.value < lowest:
            low, lowest = index, sample.value
        if high < 0 or sample.value > highest:
            high, highest = index, sample.value
    if low < 0:
        return (ordered[0],)
    return tuple(ordered[index] for index in sorted({low, high}))
