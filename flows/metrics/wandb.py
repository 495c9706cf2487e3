"""W&B run files, `run-<id>.wandb`, as offline (and online) runs write them.

The file is a log of protobuf records: a 7-byte header, then blocks of 32 KiB of fragments, each
with CRC-32, length and type, after https://github.com/google/leveldb/blob/main/doc/log_format.md
(with the plain CRC-32 in place of the masked CRC-32C). An offline run leaves no summary file, and
wandb itself is over 60 MB: so the records are read here, and only the fields that matter.
"""

import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from wildloop.flows.metrics.reader import FileReader
from wildloop.flows.metrics.series import Sample, is_name, is_number, number
from wildloop.flows.metrics.wire import WireError, fields, submessages
from wildloop.flows.models.metrics import SourceKind

BLOCK = 32 * 1024
HEADER = 7
RECORD_BYTES = 8 * 1024 * 1024
SUMMARY_NAMES = 10_000
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
# Numbers of the fields in wandb_internal.proto.
_HISTORY, _SUMMARY, _RUN = 2, 3, 17
_ITEM, _KEY, _NESTED_KEY, _VALUE_JSON = 1, 1, 2, 16
_HISTORY_STEP, _STEP_NUM = 2, 1
_RUN_START, _SECONDS, _NANOS = 17, 1, 2


class _Fragment(NamedTuple):
    kind: int
    data: bytes
    end: int


class WandbReader(FileReader):
    """History by `_step` and `_timestamp`; nested names are joined by dots, as W&B shows them.

    Texts, truth values and media (whatever has a `_type`) are no metrics. What stands in the
    summary alone becomes a final value. After damage, reading goes on at the next block.
    """

    kind = SourceKind.WANDB
    first_byte = HEADER

    def __init__(self, path: Path, tail_bytes: int | None = None) -> None:
        super().__init__(path, tail_bytes)
        self._orphans = False

    def _reset(self) -> None:
        self._orphans = False

    def _start_after(self, file: BinaryIO, offset: int, size: int) -> int:
        # Blocks are aligned; a record that began in an earlier one is passed over.
        self._orphans = True
        return max(HEADER, offset - offset % BLOCK)

    def _samples(self, file: BinaryIO, size: int) -> Iterator[Sample]:
        for record in self._records(file, size):
            try:
                for field, value in fields(record):
                    if field == _HISTORY and isinstance(value, bytes):
                        yield from _history(value)
                    elif field == _SUMMARY and isinstance(value, bytes):
                        self._keep_summary(value)
            except WireError:
                self.broken += 1

    def _records(self, file: BinaryIO, size: int) -> Iterator[bytes]:
        """The whole records; `self.position` moves behind each before it is given."""
        parts: list[bytes] = []
        at, length = self.position, 0
        while at < size:
            fragment = _fragment(file, at, size)
            if fragment is None:
                return
            if fragment.kind == 0:
                # Padding, or damage: the next block begins anew.
                if fragment.data:
                    self.broken += 1
                    self._orphans = True
                at = self.position = fragment.end
                parts, length = [], 0
                continue
            at = fragment.end
            if fragment.kind in (_FULL, _FIRST):
                self.broken += bool(parts)
                parts, length, self._orphans = [], 0, False
            elif not parts:
                self.broken += not self._orphans
                self.position = at
                continue
            length += len(fragment.data)
            parts.append(fragment.data if length <= RECORD_BYTES else b"")
            if fragment.kind in (_FULL, _LAST):
                self.position = at
                if length <= RECORD_BYTES:
                    yield b"".join(parts)
                parts, length = [], 0

    def _keep_summary(self, summary: bytes) -> None:
        for name, value in _flat(_items(summary)).items():
            if name in self.finals or len(self.finals) < SUMMARY_NAMES:
                self.finals[name] = number(value)


def started_at(path: Path) -> float | None:
    """When the run of a W&B file began, by its own word; None if it does not say."""
    reader = WandbReader(path)
    try:
        with path.open("rb") as file:
            for record in reader._records(file, min(path.stat().st_size, 2 * BLOCK)):
                for run in submessages(record, _RUN):
                    for time in submessages(run, _RUN_START):
                        parts = dict(fields(time))
                        seconds, nanos = parts.get(_SECONDS), parts.get(_NANOS, 0)
                        if isinstance(seconds, int) and isinstance(nanos, int):
                            return seconds + nanos / 1e9
    except (OSError, WireError):
        return None
    return None


def _fragment(file: BinaryIO, at: int, size: int) -> _Fragment | None:
    """The fragment at `at`; None if it is not all there yet.

    Kind 0 stands for the rest of a block that holds none; with data if it is damaged.
    """
    block_end = at - at % BLOCK + BLOCK
    if block_end - at < HEADER:
        return _Fragment(0, b"", block_end)
    if at + HEADER > size:
        return None
    file.seek(at)
    crc, length, kind = struct.unpack("<IHB", file.read(HEADER))
    end = at + HEADER + length
    if end <= block_end:
        if end > size:
            return None
        data = file.read(length)
        if _FULL <= kind <= _LAST and zlib.crc32(data, zlib.crc32(bytes([kind]))) == crc:
            return _Fragment(kind, data, end)
    # While the block grows, zeros may still be filled in.
    if kind == 0 and size < block_end:
        return None
    return _Fragment(0, b"damaged", block_end)


def _history(record: bytes) -> Iterator[Sample]:
    values = _items(record)
    step = number(values.pop(("_step",), None))
    time = number(values.pop(("_timestamp",), None))
    if step is None:
        for message in submessages(record, _HISTORY_STEP):
            found = dict(fields(message)).get(_STEP_NUM)
            step = float(found) if isinstance(found, int) else None
    for name, value in _flat(values).items():
        yield Sample(name, number(value), step, time)


def _items(record: bytes) -> dict[tuple[str, ...], Any]:
    """The values of a history or summary record by their path; what is no JSON is left out."""
    found: dict[tuple[str, ...], Any] = {}
    for item in submessages(record, _ITEM):
        path: list[str] = []
        value: Any = None
        for field, content in fields(item):
            if not isinstance(content, bytes):
                continue
            if field in (_KEY, _NESTED_KEY) and content:
                path.append(content.decode("utf-8", "replace"))
            elif field == _VALUE_JSON:
                try:
                    value = json.loads(content)
                except (ValueError, RecursionError):
                    value = None
        found[tuple(path)] = value
    return found


def _flat(values: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    """The numbers by dotted name, without W&B's own and without the parts of media."""
    media = {path[:-1] for path in values if path[-1:] == ("_type",)}
    found: dict[str, Any] = {}
    for path, value in values.items():
        if (
            not path
            or path[0].startswith("_")
            or any(path[:end] in media for end in range(1, len(path)))
        ):
            continue
        if isinstance(value, dict):
            inner = {(*path, str(key)): part for key, part in value.items()}
            found |= _flat(inner)
        elif is_number(value) and is_name(name := ".".join(path)):
            found[name] = value
    return found
