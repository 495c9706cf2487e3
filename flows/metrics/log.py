"""A run's log, or another text log that it wrote: whatever metrics its lines tell."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, ClassVar

from wildloop.flows.metrics.lines import LineReader
from wildloop.flows.metrics.reader import FileReader
from wildloop.flows.metrics.series import Sample
from wildloop.flows.models.metrics import SourceKind

LOG_BYTES = 64 * 1024 * 1024
BLOCK_BYTES = 1024 * 1024
LINE_BYTES = 64 * 1024
# A bar that is drawn anew ends with a return, or goes back by backspaces.
_ENDS = re.compile(rb"[\r\n]+|\x08+")


class LogReader(FileReader):
    """The metrics in the lines of a log; of one over 64 MiB, those at its end."""

    kind: ClassVar[SourceKind] = SourceKind.LOG

    def __init__(
        self, path: Path, tail_bytes: int | None = None, lines: LineReader | None = None
    ) -> None:
        super().__init__(path, min(tail_bytes or LOG_BYTES, LOG_BYTES))
        self.lines = lines or LineReader()

    def _reset(self) -> None:
        self.lines.reset()

    def _start_after(self, file: BinaryIO, offset: int, size: int) -> int:
        file.seek(offset - 1)
        # A line that was cut by the tail does not count.
        file.readline(BLOCK_BYTES)
        return file.tell()

    def _samples(self, file: BinaryIO, size: int) -> Iterator[Sample]:
        file.seek(self.position)
        rest, idle = b"", None
        while block := file.read(BLOCK_BYTES):
            *lines, rest = _ENDS.split(rest + block)
            for line in lines:
                # A warning that comes a million times costs no more than once.
                if line != idle:
                    yield from self._of(line)
                    idle = line if self.lines.is_idle else None
            if len(rest) > LINE_BYTES:
                self.broken += 1
                rest = b""
        self.position = file.tell() - len(rest)
        if self.is_ended:
            yield from self._of(rest)
            self.position = file.tell()
            yield from self.lines.flush()

    def _of(self, line: bytes) -> Sequence[Sample]:
        return self.lines.feed(line.decode("utf-8", "replace"))


def summary_from_log(tail: str) -> dict[str, float]:
    """The last value of each metric in the lines of a log; a name that ends as NaN has none."""
    reader, found = LineReader(), {}
    lines = re.split(r"[\r\n]+|\x08+", tail)
    for sample in [sample for line in lines for sample in reader.feed(line)] + reader.flush():
        found[sample.name] = sample.value
    return {name: value for name, value in found.items() if value is not None}
