"""The metrics of a run from all its sources, and how to follow them."""

import os
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from flows.manifest import read_manifest
from flows.metrics import mlflow
from flows.metrics.jsonl import JsonlReader
from flows.metrics.log import LogReader
from flows.metrics.mlflow import MlflowReader
from flows.metrics.owner import Term, term_of
from flows.metrics.reader import MetricReader
from flows.metrics.series import GrowingSeries, Sample
from flows.metrics.sources import Sources, find_sources
from flows.metrics.tensorboard import TensorboardReader
from flows.metrics.walk import Located
from flows.metrics.wandb import WandbReader
from flows.models.metrics import MetricSource, RunMetrics, SourceKind
from flows.models.run import MetricPoint
from flows.paths import RunPaths

SERIES_POINTS = 20_000
RUN_POINTS = 1_000_000
NAMES = 2_000
TAIL_BYTES = 4 * 1024 * 1024
SEARCH_SECONDS = 5.0
_READERS: dict[SourceKind, type[WandbReader | TensorboardReader | MlflowReader]] = {
    SourceKind.WANDB: WandbReader,
    SourceKind.TENSORBOARD: TensorboardReader,
    SourceKind.MLFLOW: MlflowReader,
}


class _Source:
    """One reader and what it has read so far."""

    def __init__(self, reader: MetricReader, label: str = "") -> None:
        self.reader = reader
        self.label = label
        self.series: dict[str, GrowingSeries] = {}
        self.points = 0
        self.dropped = 0
        self._restarts = 0
        self._limit = SERIES_POINTS

    def advance(self) -> None:
        """Read what has come since the last time."""
        for sample in self.reader.read():
            self._notice_restart()
            self.points += 1
            grown = self.series.get(sample.name)
            if grown is None:
                if len(self.series) >= NAMES:
                    self.dropped += 1
                    continue
                grown = self._new(sample.name)
            grown.add(sample)

        self._notice_restart()

    def _notice_restart(self) -> None:
        if self.reader.restarts != self._restarts:
            self._restarts = self.reader.restarts
            self.series, self.points, self.dropped = {}, 0, 0

    def _new(self, name: str) -> GrowingSeries:
        grown = self.series[name] = GrowingSeries(self._limit)
        if len(self.series) * self._limit > RUN_POINTS:
            self._limit //= 2
            for one in self.series.values():
                one.shrink(self._limit)
        return grown

    def names(self) -> list[str]:
        """The metrics of the source, each once."""
        return [*self.series, *(name for name in self.reader.finals if name not in self.series)]

    def has_anything(self) -> bool:
        """Whether there is anything to say of the source."""
        reader = self.reader
        return bool(self.points or reader.finals or reader.broken or reader.problem)

    def told(self) -> MetricSource:
        reader = self.reader
        return MetricSource(
            kind=reader.kind,
            path=str(reader.path),
            points=self.points,
            broken=reader.broken,
            problem=reader.problem,
        )


class MetricsFollower:
    """Follows the metrics of one run: each `read` takes in only what has come since the last.

    Keep one for a run that is looked at again and again; `read_all` does for a single look. At
    most 20,000 points of a series are kept, fewer if there are very many series.
    """

    def __init__(
        self,
        run_dir: Path,
        workdir: Path | None = None,
        *,
        tail_bytes: int | None = None,
        search_seconds: float = SEARCH_SECONDS,
    ) -> None:
        """Follow the run of `run_dir`.

        Args:
            run_dir: the run's folder.
            workdir: where it worked; None: only its folder is searched.
            tail_bytes: read no more than about the end of each file.
            search_seconds: how long to wait before new files are looked for again.
        """
        self._paths = RunPaths(run_dir)
        self._workdir = workdir
        self._tail_bytes = tail_bytes
        self._search_seconds = search_seconds
        self._searched: float | None = None
        self._found = Sources()
        self._jsonl = _Source(JsonlReader(self._paths.metrics, tail_bytes))
        self._log = _Source(LogReader(self._paths.log))
        self._trackers: dict[Located, _Source] = {}

    def read(self, started_at: float | None = None, finished_at: float | None = None) -> RunMetrics:
        """The metrics as they stand.

        Args:
            started_at: when the run began (Unix seconds); None: only its folder is searched.
            finished_at: when it ended; None while it goes on.
        """
        self._search(started_at, finished_at)
        for source in [self._jsonl, *self._trackers.values()]:
            source.advance()
        found = _Assembly(notes=list(self._found.notes))
        found.take([self._jsonl])
        for kind in _READERS:
            found.take([one for one in self._trackers.values() if one.reader.kind is kind])
        if not found.metrics.series:
            # A log's lines are a guess: they count where nothing better is to be had.
            self._log.advance()
            found.take([self._log])
        return found.metrics

    def _search(self, started_at: float | None, finished_at: float | None) -> None:
        now = time.monotonic()
        if self._searched is not None and now - self._searched < self._search_seconds:
            return
        self._searched = now
        known = term_of(self._paths.root)
        run = Term(
            folder=self._paths.root,
            started_at=started_at or 0,
            finished_at=finished_at,
            host=known.host if known is not None else None,
        )
        self._found = find_sources(run, self._workdir if started_at is not None else None)
        labels = _labels(self._found.located)
        self._trackers = {
            located: self._trackers.get(located)
            or _Source(_READERS[located.kind](located.path, self._tail_bytes))
            for located in self._found.located
        }
        for located, source in self._trackers.items():
            source.label = labels[located]


class _Assembly:
    """Puts the series of several sources together."""

    def __init__(self, notes: list[str]) -> None:
        self.metrics = RunMetrics(notes=notes)

    def take(self, sources: Sequence[_Source]) -> None:
        """Add the sources of one kind; a metric that is there already is passed over.

        A name that several labels have (`loss` in `train` and `val`) gets its label in front.
        """
        named = {(name, one.label) for one in sources for name in one.names()}
        labels = Counter(name for name, _ in named)
        taken = frozenset(self.metrics.series)
        for source in sources:
            if not source.has_anything():
                continue
            told = source.told()
            self.metrics.sources.append(told)
            self.metrics.broken += told.broken
            if source.dropped:
                self.metrics.notes.append(
                    f"'{told.path}' has more than {NAMES} metrics: the others are left out"
                )
            for name in source.names():
                full = f"{source.label}/{name}" if labels[name] > 1 and source.label else name
                if full not in taken:
                    self._add(full, source, name)

    def _add(self, full: str, source: _Source, name: str) -> None:
        grown = source.series.get(name)
        if grown is None:
            grown = GrowingSeries(1)
            grown.add(Sample(name, source.reader.finals[name]))
            if full in self.metrics.series:
                return
        found = self.metrics
        found.series.setdefault(full, []).extend(
            MetricPoint(name=full, value=one.value, step=one.step, time=one.time)
            for one in grown.samples()
        )
        if grown.last is not None and grown.lowest is not None and grown.highest is not None:
            found.last[full] = grown.last
            found.lowest[full] = min(found.lowest.get(full, grown.lowest), grown.lowest)
            found.highest[full] = max(found.highest.get(full, grown.highest), grown.highest)


def _labels(located: Sequence[Located]) -> dict[Located, str]:
    """What tells the sources of a kind apart: event folder, W&B run id, MLflow run name."""
    folders = [one.path.parent for one in located if one.kind is SourceKind.TENSORBOARD]
    top = os.path.commonpath(folders) if folders else ""
    found = {}
    for one in located:
        match one.kind:
            case SourceKind.TENSORBOARD:
                label = one.path.parent.relative_to(top).as_posix()
                found[one] = "" if label == "." else label
            case SourceKind.WANDB:
                found[one] = one.path.stem.removeprefix("run-")
            case _:
                found[one] = mlflow.run_name(one.path)
    return found


def read_all(
    run_dir: Path,
    workdir: Path | None = None,
    started_at: float | None = None,
    finished_at: float | None = None,
) -> RunMetrics:
    """All metrics of a run, from metrics.jsonl, W&B, TensorBoard, MLflow, and else its log.

    Trackers' files count that lie in the run's folder, or that were made in `workdir` between
    `started_at` and `finished_at` (Unix seconds; None: not begun, not ended) and can be no other
    run's. Of a metric that several sources have, the first in this order counts. Nothing that a
    file holds raises an error: damage is counted in `broken`, gaps are told in `notes`.
    """
    return MetricsFollower(run_dir, workdir).read(started_at, finished_at)


def run_metrics(run_dir: Path) -> dict[str, float]:
    """The last values of a run, as `read_all` finds them; where it worked is in its manifest.

    Of a file over 4 MiB, and of run.log over 64 KiB, only the end is read.
    """
    follower = MetricsFollower(run_dir, workdir_of(run_dir), tail_bytes=TAIL_BYTES)
    term = term_of(run_dir)
    if term is None:
        return follower.read().last
    return follower.read(term.started_at, term.finished_at).last


def workdir_of(run_dir: Path) -> Path | None:
    """Where a run worked, by its manifest; None where there is none, or the folder is gone."""
    try:
        workdir = Path(read_manifest(RunPaths(run_dir)).workdir)
    except (OSError, ValueError):
        return None
    return workdir if workdir.is_dir() else None
