"""Faults of metric series: NaN or infinite values, and losses that jump.

A jump is judged by the median and the median absolute deviation (MAD) of the last values, which a
few outliers do not move; 1.4826 * MAD estimates the standard deviation of normal noise. Three
floors keep healthy curves quiet: a jump is also a multiple of the median, a part of the level at
the start, and, for positive series, far out in the logarithm, since the noise of many losses is
multiplicative. A smaller jump counts if it lasts.
"""

import math
import re
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from wildloop.flows.metrics.series import Sample
from wildloop.flows.models.alert import CONTINUE, RERUN, STOP, AlertKind, Finding, Severity
from wildloop.flows.project import AlertsConfig, MetricConfig

WINDOW = 50
LEAST_POINTS = 10
LEAST_RECENT = 8
MAX_SERIES = 200
SIGMA_OF_MAD = 1.4826
LASTING_OF = 5
LASTING_POINTS = 3
_PARTS = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])")
_LOSSES = frozenset({"nll", "ppl", "perplexity", "bpb", "bpc", "xent", "mse", "rmse", "mae"})
_NOT_LOSSES = frozenset({"scale", "scaler", "weight", "weights", "coef", "coeff", "ratio"})


def is_loss(name: str) -> bool:
    """Whether a metric is named like a loss: `train/loss`, `valLoss`, `nll`, `ppl`."""
    parts = [part.lower() for part in _PARTS.split(name) if part]
    if _NOT_LOSSES.intersection(parts):
        return False
    joined = "".join(parts)
    return "crossentropy" in joined or any(
        part in _LOSSES or part.rstrip("0123456789").endswith(("loss", "losses")) for part in parts
    )


class SeriesWatch:
    """Looks at metric points as they come.

    Args:
        config: the project's `[alerts]`.
        primary: the project's primary metric, if it has one.
    """

    def __init__(self, config: AlertsConfig, primary: MetricConfig | None = None) -> None:
        self._config = config
        self._primary = primary
        self._series: dict[str, _Series] = {}

    def see(self, points: Iterable[Sample]) -> list[Finding]:
        """What is wrong with these points, given all before them."""
        found = []
        for point in points:
            series = self._of(point.name)
            if series is not None and (finding := series.see(point)) is not None:
                found.append(finding)
        return found

    def _of(self, name: str) -> "_Series | None":
        series = self._series.get(name)
        if series is None and len(self._series) < MAX_SERIES:
            loss = is_loss(name)
            primary = self._primary if self._primary and self._primary.name == name else None
            if loss or primary is not None:
                falls = loss or (primary is not None and primary.direction == "min")
                series = _Series(name, self._config.spike_factor if falls else None)
                self._series[name] = series
        return series


class _Bar(NamedTuple):
    """How high a jump must be: in sigmas (a share of the factor), medians, start levels, and
    sigmas of the logarithm."""

    share: float
    level: float
    start: float
    logs: float


_AT_ONCE = _Bar(share=1.0, level=2.0, start=0.4, logs=5.5)
_LASTING = _Bar(share=0.4, level=1.2, start=0.25, logs=3.0)


class _Series:
    """One series. `factor` is None where a jump upwards is no fault."""

    def __init__(self, name: str, factor: float | None) -> None:
        self._name = name
        self._factor = factor
        self._window: deque[float] = deque(maxlen=WINDOW)
        self._sorted: list[float] = []
        self._start: float | None = None
        self._high: deque[bool] = deque(maxlen=LASTING_OF)
        self._count = 0
        self._quiet_until = 0
        self._nan_told = False
        self._last: Sample | None = None

    def see(self, point: Sample) -> Finding | None:
        self._count += 1
        if point.value is None:
            return self._nan(point)
        found = None
        if self._factor is not None and len(self._window) >= LEAST_POINTS:
            found = self._spike(point, point.value, self._factor)
        self._add(point.value)
        self._last = point
        return found

    def _nan(self, point: Sample) -> Finding | None:
        if self._nan_told:
            return None
        self._nan_told = True
        last = ""
        if self._last is not None and self._last.value is not None:
            last = f" (last finite value: {self._last.value:.4g}{_at(self._last)})"
        return Finding(
            kind=AlertKind.NAN,
            severity=Severity.CRITICAL,
            message=f"{self._name} is NaN or infinite{_at(point)}{last}",
            choices=(CONTINUE, STOP, RERUN),
            key=f"nan:{self._name}",
        )

    def _spike(self, point: Sample, value: float, factor: float) -> Finding | None:
        start = self._start or 0.0
        middle = _middle(self._sorted)
        if value - middle <= max(_LASTING.level * abs(middle), _LASTING.start * start):
            self._high.append(False)
            return None
        usual, drifts = self._usual()
        middle = median(usual)
        # Around zero neither the level nor the logarithm tells what is usual.
        sigmas = factor * _sigma(usual, drifts) * (1.0 if min(usual) > 0 else 2.0)
        logs = _log_sigmas(usual, drifts, value)

        def above(bar: _Bar) -> bool:
            least = max(bar.share * sigmas, bar.level * abs(middle), bar.start * start)
            return value - middle > least and logs > bar.logs

        self._high.append(above(_LASTING))
        jumped = above(_AT_ONCE) or sum(self._high) >= LASTING_POINTS
        if not jumped or self._count < self._quiet_until:
            return None
        self._quiet_until = self._count + WINDOW
        return Finding(
            kind=AlertKind.SPIKE,
            severity=Severity.WARNING,
            message=f"{self._name} jumped to {value:.4g}{_at(point)}; its running median is "
            f"{middle:.4g}",
            choices=(CONTINUE, STOP, RERUN),
            key=f"spike:{self._name}:{self._count}",
        )

    def _usual(self) -> tuple[list[float], bool]:
        """The last values in order; of a series that drifts steeply (True) the later half."""
        values = list(self._window)
        recent, middle = values[len(values) // 2 :], _middle(self._sorted)
        if len(recent) >= LEAST_RECENT and (max(recent) < middle or min(recent) > middle):
            return recent, True
        return values, False

    def _add(self, value: float) -> None:
        if len(self._window) == WINDOW:
            del self._sorted[bisect_left(self._sorted, self._window[0])]
        self._window.append(value)
        insort(self._sorted, value)
        if self._start is None and len(self._window) == LEAST_POINTS:
            self._start = abs(_middle(self._sorted))


def _middle(ordered: Sequence[float]) -> float:
    half = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[half]
    # Halved first: the sum of two huge values overflows.
    return ordered[half - 1] / 2 + ordered[half] / 2


def _sigma(values: Sequence[float], drifts: bool) -> float:
    """The noise of values: around their median, or from one to the next where they drift."""
    if drifts:
        return SIGMA_OF_MAD / math.sqrt(2) * median(abs(b - a) for a, b in pairwise(values))
    middle = median(values)
    return SIGMA_OF_MAD * median(abs(value - middle) for value in values)


def _log_sigmas(values: Sequence[float], drifts: bool, value: float) -> float:
    """How far a value lies above the median in the logarithm; infinite where there is none."""
    if min(values) <= 0:
        return math.inf
    logs = [math.log(other) for other in values]
    sigma = _sigma(logs, drifts)
    return (math.log(value) - median(logs)) / sigma if sigma > 0 else math.inf


def _at(point: Sample) -> str:
    return f" at step {point.step:g}" if point.step is not None else ""
