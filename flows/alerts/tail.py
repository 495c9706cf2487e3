"""The new part of a run's metrics.jsonl, look by look, in bounded memory."""

import os
from pathlib import Path

from flows.metrics import parse_line
from flows.models.run import MetricPoint

CHUNK_BYTES = 1024 * 1024
# Further behind than this, the middle is skipped: the detectors only need the recent past.
BACKLOG_BYTES = 4 * 1024 * 1024


class MetricsTail:
    """Reads at most `CHUNK_BYTES` a look; `is_behind` tells that there is more to read now.

    An incomplete last line waits for the next look; a line longer than a chunk is passed over; a
    file that has become shorter is read from its start.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._skipping = False
        self.is_behind = False

    def read(self, size: int) -> list[MetricPoint]:
        """The points of the next lines of the file, which has `size` bytes."""
        self.is_behind = False
        if size < self._offset:
            self._offset, self._skipping = 0, False
        if size == self._offset:
            return []
        if size - self._offset > BACKLOG_BYTES:
            self._offset, self._skipping = size - BACKLOG_BYTES, True
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read(CHUNK_BYTES)
        except FileNotFoundError:
            return []
        self.is_behind = len(data) == CHUNK_BYTES
        whole, newline, _ = data.rpartition(b"\n")
        if not newline:
            if self.is_behind:
                self._offset, self._skipping = self._offset + len(data), True
            return []
        self._offset += len(whole) + 1
        lines = whole.split(b"\n")
        if self._skipping:
            del lines[0]
            self._skipping = False
        return [point for line in lines for point in parse_line(line)]


def stat_of(path: Path) -> os.stat_result | None:
    """A file's size and times; None where there is no such file."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None
