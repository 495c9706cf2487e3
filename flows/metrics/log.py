"""Summary lines at the end of run.log."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, ClassVar

from flows.metrics.jsonl import STEP_KEYS, TIME_KEYS
from flows.metrics.reader import FileReader
from flows.metrics.series import Sample, number
from flows.models.metrics import SourceKind

TAIL_BYTES = 64 * 1024
SUMMARY_LINES = 40
SUMMARY_LINE_LENGTH = 500
_ANSI = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\))")
_PAIR = re.compile(
    r"([A-Za-z_][A-Za-z0-9_./@-]{0,63})[ \t]*[:=][ \t]*"
    r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf(?:inity)?))(?![\w.])(?:[ \t]*%)?",
    re.IGNORECASE | re.ASCII,
)
_SEPARATORS = frozenset(" \t,;|")


class LogReader(FileReader):
    """The summary at a log's end: always read anew, of the last 64 KiB."""

    kind: ClassVar[SourceKind] = SourceKind.LOG

    def __init__(self, path: Path) -> None:
        super().__init__(path)

    def _start_after(self, file: BinaryIO, offset: int, size: int) -> int:
        return offset

    def _samples(self, file: BinaryIO, size: int) -> Iterator[Sample]:
        start = max(0, size - TAIL_BYTES)
        file.seek(max(0, start - 1))
        if start:
            # A line that was cut by the tail does not count.
            file.readline(TAIL_BYTES)
        text = file.read(TAIL_BYTES).decode("utf-8", "replace")
        self.finals = dict(summary_from_log(text))
        self.position = size
        return iter(())


def summary_from_log(tail: str) -> dict[str, float]:
    """The finite values of the `name: value` and `name=value` lines at a log's end.

    A line counts if it holds nothing but such pairs. Steps, epochs and times are no metrics.
    """
    found: dict[str, float] = {}
    for line in _ANSI.sub("", tail).splitlines()[-SUMMARY_LINES:]:
        for name, text in _pairs(line):
            value = number(float(text))
            if value is not None and name.lower() not in STEP_KEYS + TIME_KEYS:
                found[name] = value
    return found


def _pairs(line: str) -> list[tuple[str, str]]:
    """The pairs of a line; none if it holds anything else."""
    if len(line) > SUMMARY_LINE_LENGTH:
        return []
    pairs: list[tuple[str, str]] = []
    end = 0
    for match in _PAIR.finditer(line):
        between = line[end : match.start()]
        if not _SEPARATORS.issuperset(between) or (pairs and not between):
            return []
        pairs.append((match[1], match[2]))
        end = match.end()
    return pairs if _SEPARATORS.issuperset(line[end:]) else []
