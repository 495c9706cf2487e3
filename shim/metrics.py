"""Keeps readers of the metric files that are looked at again and again."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wildloop.flows.metrics import MetricsFollower, downsample
from wildloop.flows.metrics.read import workdir_of
from wildloop.flows.metrics.sealed import sealed
from wildloop.flows.models.metrics import RunMetrics
from wildloop.flows.models.run import Run

MOST_RUNS = 32


@dataclass
class _Kept:
    follower: MetricsFollower
    lock: threading.Lock = field(default_factory=threading.Lock)


class MetricsReader:
    """A follower for each of the runs looked at last; each reads only what is new."""

    def __init__(self, most_runs: int = MOST_RUNS) -> None:
        self._most_runs = most_runs
        self._kept: OrderedDict[tuple[Path, Path | None], _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, run: Run) -> RunMetrics:
        """The metrics of a run as they stand, or stood at its end; reads files, so use a thread."""
        known = sealed(run)
        if known is not None:
            return known
        run_dir = Path(run.run_dir)
        kept = self._of(run_dir, workdir_of(run_dir))
        with kept.lock:
            return kept.follower.read(run.started_at, run.finished_at)

    def with_series(self, run: Run, names: Sequence[str], points: int) -> Run:
        """The run with series of these metrics, of at most about so many points each."""
        found = self.read(run).series
        short = {name: downsample(found[name], points) for name in names if name in found}
        return run.model_copy(update={"series": short})

    def _of(self, run_dir: Path, workdir: Path | None) -> _Kept:
        # Where it works is known once its manifest is written: then another follower begins.
        key = (run_dir, workdir)
        with self._lock:
            kept = self._kept.get(key)
            if kept is None:
                kept = self._kept[key] = _Kept(MetricsFollower(run_dir, workdir))
            self._kept.move_to_end(key)
            while len(self._kept) > self._most_runs:
                self._kept.popitem(last=False)
            return kept
