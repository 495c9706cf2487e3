"""The metrics of a run from all its sources, and how to follow them."""

import time
from collections.abc import Sequence
from pathlib import Path

from wildloop.flows.errors import InvalidRequest
from wildloop.flows.files.manifest import read_manifest
from wildloop.flows.files.paths import RunPaths
from wildloop.flows.metrics.assembly import Assembly, Source, labels_of
from wildloop.flows.metrics.jsonl import JsonlReader
from wildloop.flows.metrics.lines import LineReader
from wildloop.flows.metrics.log import LogReader
from wildloop.flows.metrics.names import plain_name
from wildloop.flows.metrics.owner import Term, term_of
from wildloop.flows.metrics.readers import KINDS, reader_of
from wildloop.flows.metrics.sources import Sources, find_sources
from wildloop.flows.metrics.walk import Located
from wildloop.flows.models.metrics import RunMetrics, SourceKind
from wildloop.flows.project import MetricConfig, load_project

TAIL_BYTES = 4 * 1024 * 1024
SEARCH_SECONDS = 5.0


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
        wanted: Sequence[str] = (),
    ) -> None:
        """Follow the run of `run_dir`.

        Args:
            run_dir: the run's folder.
            workdir: where it worked; None: only its folder is searched.
            tail_bytes: read no more than about the end of each file.
            search_seconds: how long to wait before new files are looked for again.
            wanted: metrics that are asked for, beside the one of the project's wildloop.toml.
        """
        self._paths = RunPaths(run_dir)
        self._workdir = workdir
        self._tail_bytes = tail_bytes
        self._search_seconds = search_seconds
        self._searched: float | None = None
        self._found = Sources()
        metric = project_metric(workdir)
        named = [*([metric.name] if metric is not None else []), *wanted]
        self._wanted = tuple(dict.fromkeys(named))
        self._pattern = metric.pattern if metric is not None else None
        self._plain = frozenset(plain_name(name) for name in self._wanted)
        lines = LineReader(self._wanted, self._pattern, named[0] if named else None)
        self._jsonl = Source(JsonlReader(self._paths.metrics, tail_bytes), self._plain)
        self._log = Source(LogReader(self._paths.log, tail_bytes, lines), self._plain)
        self._lines = lines
        self._located: dict[Located, Source] = {}

    def read(self, started_at: float | None = None, finished_at: float | None = None) -> RunMetrics:
        """The metrics as they stand.

        Args:
            started_at: when the run began (Unix seconds); None: only its folder is searched.
            finished_at: when it ended; None while it goes on.
        """
        self._search(started_at, finished_at)
        is_ended = finished_at is not None or started_at is None
        for source in [self._jsonl, self._log, *self._located.values()]:
            source.reader.is_ended = is_ended
        found = Assembly(self._found.notes)
        self._take(found, [self._jsonl])
        for kind in KINDS:
            self._take(found, [s for one, s in self._located.items() if one.kind is kind])
        if not found.metrics.series or not found.has(self._wanted):
            # A log's lines are a guess: they count where nothing better is to be had.
            self._take(found, [self._log])
            found.metrics.units = dict(self._lines.units)
            if not found.metrics.series or not found.has(self._wanted):
                logs = [s for one, s in self._located.items() if one.kind is SourceKind.LOG]
                self._take(found, logs)
        return found.name(self._wanted)

    def _take(self, found: Assembly, sources: Sequence[Source]) -> None:
        for source in sources:
            source.advance()
        found.take(sources)

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
        located = _newest_states(
            [one for one in self._found.located if one.path != self._paths.log]
        )
        labels = labels_of(located)
        self._located = {one: self._located.get(one) or self._source(one) for one in located}
        for one, source in self._located.items():
            source.label = labels[one]

    def _source(self, located: Located) -> Source:
        reader = reader_of(located, self._tail_bytes)
        if isinstance(reader, LogReader):
            name = self._wanted[0] if self._wanted else None
            reader.lines = LineReader(self._wanted, self._pattern, name)
        return Source(reader, self._plain)


def _newest_states(located: Sequence[Located]) -> list[Located]:
    """Of the trainer's states, one for each checkpoint, the last: it has all that went before."""
    states = [one for one in located if one.kind is SourceKind.TRAINER and one.path.exists()]
    newest = max(states, key=lambda one: one.path.stat().st_mtime_ns, default=None)
    return [one for one in located if one.kind is not SourceKind.TRAINER or one == newest]


def project_metric(workdir: Path | None) -> MetricConfig | None:
    """The [metric] of a project; None where it names none, or cannot be read."""
    if workdir is None:
        return None
    try:
        project = load_project(workdir)
    except InvalidRequest:
        # A broken wildloop.toml must not hide what a run has measured.
        return None
    return project.metric if project is not None else None


def read_all(
    run_dir: Path,
    workdir: Path | None = None,
    started_at: float | None = None,
    finished_at: float | None = None,
) -> RunMetrics:
    """All metrics of a run: metrics.jsonl, W&B, TensorBoard, MLflow, CSV, JSON, else its log.

    Files count that lie in the run's folder, or that were made in `workdir` between
    `started_at` and `finished_at` (Unix seconds; None: not begun, not ended) and can be no other
    run's. Of a metric that several sources have, the first in this order counts. Nothing that a
    file holds raises an error: damage is counted in `broken`, gaps are told in `notes`.
    """
    return MetricsFollower(run_dir, workdir).read(started_at, finished_at)


def run_metrics(run_dir: Path) -> dict[str, float]:
    """The last values of a run, see `final_metrics`."""
    return final_metrics(run_dir).last


def final_metrics(run_dir: Path, wanted: Sequence[str] = ()) -> RunMetrics:
    """The metrics of a run, as `read_all` finds them; where it worked is in its manifest.

    Of a file over 4 MiB only the end is read. See `MetricsFollower` for `wanted`.
    """
    workdir = workdir_of(run_dir)
    follower = MetricsFollower(run_dir, workdir, tail_bytes=TAIL_BYTES, wanted=wanted)
    term = term_of(run_dir)
    if term is None:
        return follower.read()
    return follower.read(term.started_at, term.finished_at)


def workdir_of(run_dir: Path) -> Path | None:
    """Where a run worked, by its manifest; None where there is none, or the folder is gone."""
    try:
        workdir = Path(read_manifest(RunPaths(run_dir)).workdir)
    except (OSError, ValueError):
        return None
    return workdir if workdir.is_dir() else None
