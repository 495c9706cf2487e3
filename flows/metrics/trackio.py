"""Trackio's databases: `$TRACKIO_DIR/<project>.db`, SQLite, a row a step.

The table `metrics` has `run_name`, `step`, `timestamp` (ISO 8601) and the values as one JSON
object, in which NaN and infinity are texts: https://huggingface.co/docs/trackio. Read as tables
alone: what a project wrote may hold anything.
"""

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

from wildloop.blocks.launchers.record import open_to_read
from wildloop.flows.metrics.reader import MetricReader
from wildloop.flows.metrics.series import Sample, is_name, is_number, number
from wildloop.flows.models.metrics import SourceKind

FOLDER = "trackio"
SUFFIX = ".db"
MAGIC = b"SQLite format 3\x00"
DEPTH = 5
BUSY_SECONDS = 0.5
QUERY_SECONDS = 20.0
_INSTRUCTIONS = 10_000
_NOT_FINITE = frozenset({"NaN", "Infinity", "-Infinity"})
_IS_TABLE = "SELECT 1 FROM sqlite_master WHERE name = 'metrics' AND type = 'table'"
_ROWS = "SELECT id, run_name, step, timestamp, metrics FROM metrics WHERE id > ? ORDER BY id"


class TrackioReader(MetricReader):
    """The metrics of all runs of one database; nested names are joined by slashes.

    Where it holds several runs, each name has its run's in front. A row that is not in the format
    is passed over and counted; texts and media are no metrics.
    """

    kind: ClassVar[SourceKind] = SourceKind.TRACKIO

    def __init__(self, path: Path, tail_bytes: int | None = None) -> None:
        super().__init__(path)
        self._tail_bytes = tail_bytes
        self._last = 0
        self._runs: set[str] = set()
        self._file: int | None = None

    def read(self) -> Iterator[Sample]:
        """The samples that have come since the last call."""
        try:
            status = self.path.stat()
            if self._file not in (None, status.st_ino):
                self._begin_anew()
                self._runs = set()
            self._file = status.st_ino
            with closing(_opened(self.path)) as database:
                if database.execute(_IS_TABLE).fetchone() is None:
                    return
                self._look_at_runs(database, status.st_size)
                yield from self._samples(database)
            self.problem = None
        except FileNotFoundError:
            return
        except sqlite3.OperationalError as error:
            # Locked, or too slow: the next look sees.
            self.problem = f"cannot be read: {error}"
        except (OSError, sqlite3.Error) as error:
            self.problem = f"is no database of Trackio: {error}"

    def _look_at_runs(self, database: sqlite3.Connection, size: int) -> None:
        """A second run changes all names: read again from the start."""
        runs = {str(name) for (name,) in database.execute("SELECT DISTINCT run_name FROM metrics")}
        if len(self._runs) == 1 and len(runs) > 1:
            self._begin_anew()
        self._runs = runs
        if self._tail_bytes is not None and size > self._tail_bytes and self._last == 0:
            (last,) = database.execute("SELECT max(id) FROM metrics").fetchone()
            if isinstance(last, int):
                self._last = last - last * self._tail_bytes // size

    def _begin_anew(self) -> None:
        self._last, self.broken = 0, 0
        self.restarts += 1

    def _samples(self, database: sqlite3.Connection) -> Iterator[Sample]:
        for row, run, step, moment, told in database.execute(_ROWS, (self._last,)):
            self._last = row
            try:
                values = json.loads(told)
            except (TypeError, ValueError, RecursionError):
                values = None
            if not isinstance(values, dict):
                self.broken += 1
                continue
            front = f"{run}/" if len(self._runs) > 1 else ""
            for name, value in _flat(values):
                if is_name(full := f"{front}{name}"):
                    yield Sample(full, value, number(step), _seconds(moment))


def is_trackio_file(path: Path) -> bool:
    """Whether a file is a database that Trackio keeps in a folder of its own name."""
    return path.suffix == SUFFIX and path.parent.name == FOLDER


def is_database(file: BinaryIO) -> bool:
    """Whether a file begins as a SQLite database does."""
    return file.read(len(MAGIC)) == MAGIC


def _opened(path: Path) -> sqlite3.Connection:
    """The database, to be read; a query that takes too long is given up."""
    with open_to_read(path) as file:
        if not is_database(file):
            raise sqlite3.DatabaseError("it does not begin as SQLite does")
    database = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)
    deadline = time.monotonic() + QUERY_SECONDS
    database.set_progress_handler(lambda: time.monotonic() > deadline, _INSTRUCTIONS)
    database.execute("PRAGMA trusted_schema = OFF")
    return database


def _flat(values: dict[str, Any], depth: int = DEPTH) -> Iterator[tuple[str, float | None]]:
    if "_type" in values:
        return
    for key, value in values.items():
        if isinstance(value, dict) and depth:
            yield from ((f"{key}/{name}", one) for name, one in _flat(value, depth - 1))
        elif isinstance(value, str) and value in _NOT_FINITE:
            yield key, None
        elif is_number(value):
            yield key, number(value)


def _seconds(moment: Any) -> float | None:
    try:
        return datetime.fromisoformat(moment).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
