"""A run that says nothing, and a disk that fills up. Time comes as an argument."""

from collections import deque
from statistics import median

from wildloop.flows.models.alert import CONTINUE, RERUN, STOP, AlertKind, Finding, Severity
from wildloop.flows.project import AlertsConfig

GAPS = 50
GB = 1e9
# After an alert the disk must be this much emptier before the next one.
RECOVERED = 1.5


class SilenceWatch:
    """Tells when neither the log nor the metrics have grown for too long.

    Too long is more than `silence_minutes`, than `silence_factor` times the usual (median) gap
    between two signs of life, and than twice the longest: a run that prints once an epoch is as
    healthy as one that prints every step.
    """

    def __init__(self, config: AlertsConfig) -> None:
        self._config = config
        self._sizes: tuple[int, int] | None = None
        self._last = 0.0
        self._gaps: deque[float] = deque(maxlen=GAPS)
        self._told = False

    @property
    def limit_seconds(self) -> float:
        """How long the run may be silent now."""
        limit = self._config.silence_minutes * 60.0
        if self._gaps:
            usual = self._config.silence_factor * median(self._gaps)
            limit = max(limit, usual, 2.0 * max(self._gaps))
        return limit

    def see(self, now: float, sizes: tuple[int, int], age: float = 0.0) -> Finding | None:
        """Look at a run that has been started.

        Args:
            now: seconds of a clock that stands still while the machine sleeps.
            sizes: bytes of the log and of the metrics.
            age: at the first look, how many seconds ago the last sign of life was.
        """
        if sizes != self._sizes:
            if self._sizes is None:
                self._last = now - max(0.0, age)
            else:
                self._gaps.append(now - self._last)
                self._last = now
            self._sizes = sizes
            self._told = False
        silent = now - self._last
        if self._told or silent <= self.limit_seconds:
            return None
        self._told = True
        usual = f" (usual gap: {_span(median(self._gaps))})" if self._gaps else ""
        return Finding(
            kind=AlertKind.SILENCE,
            severity=Severity.WARNING,
            message=f"no output and no metric for {_span(silent)}{usual}",
            choices=(CONTINUE, STOP, RERUN),
            key=f"silence:{sizes[0]}:{sizes[1]}",
        )


class DiskWatch:
    """Tells when the file system of a run's folder is nearly full: by share and by amount."""

    def __init__(self, config: AlertsConfig) -> None:
        self._config = config
        self._full = False
        self._times = 0

    def see(self, free_bytes: int, total_bytes: int) -> Finding | None:
        """Look at the free space, of which a file system without a size has none to tell."""
        share = self._config.disk_free_percent / 100.0 * total_bytes
        limit = min(share, self._config.disk_free_gb * GB)
        if free_bytes >= limit * RECOVERED:
            self._full = False
        if total_bytes <= 0 or self._full or free_bytes >= limit:
            return None
        self._full = True
        self._times += 1
        return Finding(
            kind=AlertKind.DISK,
            severity=Severity.CRITICAL,
            message=f"disk nearly full: {free_bytes / GB:.1f} GB "
            f"({100 * free_bytes / total_bytes:.1f} %) free where the run's folder lies",
            choices=(CONTINUE, STOP),
            key=f"disk:{self._times}",
        )


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
