"""Keeps readers of the metric files that are looked at again and again."""

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from flows.metrics import MetricsFollower
from flows.metrics.read import workdir_of
from flows.models.metrics import RunMetrics
from flows.models.run import Run

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
        """The metrics of a run as they stand; call it in a thread, it reads files."""
        run_dir = Path(run.run_dir)
        kept = self._of(run_dir, workdir_of(run_dir))
        with kept.lock:
            return kept.follower.read(run.started_at, run.finished_at)

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
