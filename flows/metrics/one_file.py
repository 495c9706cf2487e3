"""The metrics of a single file, whatever wrote it: to see what a run that writes it would have."""

import os
from contextlib import suppress
from pathlib import Path

from wildloop.blocks.launchers.record import open_to_read
from wildloop.flows.metrics.assembly import Assembly, Source
from wildloop.flows.metrics.jsonl import JsonlReader
from wildloop.flows.metrics.lines import LineReader
from wildloop.flows.metrics.log import LogReader
from wildloop.flows.metrics.names import plain_name
from wildloop.flows.metrics.reader import MetricReader
from wildloop.flows.metrics.readers import reader_of
from wildloop.flows.metrics.trackio import TrackioReader, is_database
from wildloop.flows.metrics.walk import Located, kind_of, walk
from wildloop.flows.models.metrics import RunMetrics, SourceKind
from wildloop.flows.project import MetricConfig


def read_path(path: Path, metric: MetricConfig | None = None) -> RunMetrics:
    """The metrics of a file, or of all that are found below a folder.

    Args:
        path: a log, or any file that a run's metrics are read from.
        metric: what is looked for among them.
    """
    wanted = [metric.name] if metric is not None else []
    plain = frozenset(plain_name(name) for name in wanted)
    if path.is_dir():
        readers = [_reader(one, metric) for one in sorted(walk(path).located, key=_rank)]
        readers += [_log(path / name, metric) for name in ("run.log",) if (path / name).is_file()]
    else:
        kind = kind_of(path.name)
        readers = [_reader(Located(kind, path), metric) if kind else _by_content(path, metric)]
    found, lines = Assembly(), dict[str, str]()
    for reader in readers:
        source = Source(reader, plain)
        source.advance()
        found.take([source])
        if isinstance(reader, LogReader):
            lines |= reader.lines.units
    found.metrics.units = lines
    return found.name(wanted)


def _rank(located: Located) -> tuple[int, float]:
    """As of a run: the kind that is believed first, and of these the newest."""
    written = located.path.stat().st_mtime if located.path.exists() else 0.0
    return list(SourceKind).index(located.kind), -written


def _reader(located: Located, metric: MetricConfig | None) -> MetricReader:
    reader = reader_of(located)
    if isinstance(reader, LogReader):
        return _log(located.path, metric)
    return reader


def _by_content(path: Path, metric: MetricConfig | None) -> MetricReader:
    if path.suffix == ".jsonl":
        return JsonlReader(path)
    return TrackioReader(path) if _is_database(path) else _log(path, metric)


def _is_database(path: Path) -> bool:
    with suppress(OSError), open_to_read(path) as file:
        return is_database(file)
    return False


def _log(path: Path, metric: MetricConfig | None) -> LogReader:
    name = metric.name if metric is not None else None
    pattern = metric.pattern if metric is not None else None
    return LogReader(path, None, LineReader([name] if name else [], pattern, name))


def shown_path(path: str) -> str:
    """A path as it is shown from where one stands."""
    relative = os.path.relpath(path) if path else ""
    return relative if not relative.startswith("..") else path
