"""The new values of a run's metrics, look by look: metrics.jsonl and what trackers write."""

from pathlib import Path

from wildloop.flows.alerts.series import SeriesWatch
from wildloop.flows.files.paths import RunPaths
from wildloop.flows.metrics.jsonl import JsonlReader
from wildloop.flows.metrics.owner import term_of
from wildloop.flows.metrics.reader import MetricReader
from wildloop.flows.metrics.readers import reader_of
from wildloop.flows.metrics.sources import find_sources
from wildloop.flows.metrics.walk import Located
from wildloop.flows.models.alert import Finding
from wildloop.flows.project import AlertsConfig, MetricConfig

# A run that is taken up again has its past judged anew, but no more of it than this.
TAIL_BYTES = 4 * 1024 * 1024
TRACKER_SECONDS = 15.0
SEARCH_SECONDS = 60.0


class MetricsWatch:
    """Judges the values that have come since the last look; `seen` counts them.

    metrics.jsonl is opened only when it has grown. Trackers' files are read now and then, and
    looked for more seldom still, since that walks through the working directory.
    """

    def __init__(
        self, paths: RunPaths, workdir: Path, config: AlertsConfig, primary: MetricConfig | None
    ) -> None:
        self._paths = paths
        self._workdir = workdir
        self._config = config
        self._primary = primary
        self._jsonl = self._source(JsonlReader(paths.metrics, TAIL_BYTES))
        self._trackers: dict[Located, _Source] = {}
        self._size = 0
        self._read_at: float | None = None
        self._searched_at: float | None = None

    @property
    def seen(self) -> int:
        """How many values there have been."""
        return sum(source.seen for source in (self._jsonl, *self._trackers.values()))

    def look(self, now: float, size: int, last: bool = False) -> list[Finding]:
        """What is wrong with the new values.

        Args:
            now: seconds of any clock.
            size: of metrics.jsonl, in bytes.
            last: read the trackers too, however short a time ago they were read.
        """
        found: list[Finding] = []
        if size != self._size:
            self._size = size
            found += self._jsonl.look()
        if last or _is_due(self._read_at, TRACKER_SECONDS, now):
            self._read_at = now
            if _is_due(self._searched_at, SEARCH_SECONDS, now):
                self._search(now)
            for source in self._trackers.values():
                found += source.look()
        return found

    def _search(self, now: float) -> None:
        term = term_of(self._paths.root)
        if term is None:
            return
        self._searched_at = now
        for located in find_sources(term, self._workdir).located:
            if located not in self._trackers:
                self._trackers[located] = self._source(reader_of(located, TAIL_BYTES))

    def _source(self, reader: MetricReader) -> "_Source":
        return _Source(reader, self._config, self._primary)


class _Source:
    """One file or folder of metrics; series of the same name in two of them are never mixed."""

    def __init__(
        self, reader: MetricReader, config: AlertsConfig, primary: MetricConfig | None
    ) -> None:
        self._reader = reader
        self._config = config
        self._primary = primary
        self._series = SeriesWatch(config, primary)
        self._restarts = 0
        self.seen = 0

    def look(self) -> list[Finding]:
        found: list[Finding] = []
        for sample in self._reader.read():
            if self._reader.restarts != self._restarts:
                self._restarts = self._reader.restarts
                self._series = SeriesWatch(self._config, self._primary)
            self.seen += 1
            found += self._series.see([sample])
        return found


def _is_due(last: float | None, every: float, now: float) -> bool:
    return last is None or now - last >= every
