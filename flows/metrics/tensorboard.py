"""TensorBoard event files, `events.out.tfevents.*`.

A file is a row of TFRecords (length, its masked CRC-32C, data, its masked CRC-32C), each an Event
message: https://www.tensorflow.org/tutorials/load_data/tfrecord and event.proto, summary.proto,
tensor.proto of TensorFlow. tensorboard's own reader comes with 60 MB of server.
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO

import google_crc32c

from wildloop.flows.metrics.reader import FileReader
from wildloop.flows.metrics.series import Sample, is_name, number
from wildloop.flows.metrics.wire import WireError, fields, signed, varint
from wildloop.flows.models.metrics import SourceKind

RECORD_BYTES = 8 * 1024 * 1024
SEARCH_BYTES = 1024 * 1024
_HEADER, _FOOTER = 12, 4
# Numbers of the fields.
_WALL_TIME, _STEP, _SUMMARY = 1, 2, 5
_VALUE, _TAG, _SIMPLE_VALUE, _TENSOR, _METADATA = 1, 1, 2, 8, 9
_PLUGIN_DATA, _PLUGIN_NAME = 1, 1
_DTYPE, _SHAPE, _CONTENT = 1, 2, 4
_DIM, _DIM_SIZE = 2, 1
# Of each number type: how its content is packed, and the field that lists single values.
_PACKED = {1: "<f", 2: "<d", 3: "<i", 9: "<q", 19: "<e"}
_LISTED = {1: 5, 2: 6, 3: 7, 9: 10}


class TensorboardReader(FileReader):
    """Scalars by step and wall time, both as simple values and as tensors of one number.

    Images, texts and histograms are no metrics. Records over 8 MiB are passed over unread. After
    damage, reading goes on at the next record whose header is sound.
    """

    kind = SourceKind.TENSORBOARD

    def _start_after(self, file: BinaryIO, offset: int, size: int) -> int:
        return _next_header(file, offset, size)

    def _samples(self, file: BinaryIO, size: int) -> Iterator[Sample]:
        for event in self._events(file, size):
            try:
                found = list(scalars(event))
            except WireError:
                self.broken += 1
                continue
            yield from found

    def _events(self, file: BinaryIO, size: int) -> Iterator[bytes]:
        """The whole records; `self.position` moves behind each before it is given."""
        while self.position + _HEADER <= size:
            file.seek(self.position)
            length = _length(file.read(_HEADER))
            if length is None:
                self.broken += 1
                self.position = _next_header(file, self.position + 1, size)
                continue
            end = self.position + _HEADER + length + _FOOTER
            if end > size:
                return
            self.position = end
            if length > RECORD_BYTES:
                continue
            data, footer = file.read(length), file.read(_FOOTER)
            if _masked(data) == footer:
                yield data
            else:
                self.broken += 1


def scalars(event: bytes) -> Iterator[Sample]:
    """The scalars of one Event message.

    Raises:
        WireError: the bytes are no message.
    """
    step, time, summaries = 0, None, []
    for field, value in fields(event):
        if field == _WALL_TIME and isinstance(value, bytes) and len(value) == 8:
            time = number(struct.unpack("<d", value)[0])
        elif field == _STEP and isinstance(value, int):
            step = signed(value)
        elif field == _SUMMARY and isinstance(value, bytes):
            summaries.append(value)
    for summary in summaries:
        for field, value in fields(summary):
            if field == _VALUE and isinstance(value, bytes):
                scalar = _scalar(value)
                if scalar is not None and is_name(scalar[0]):
                    yield Sample(scalar[0], number(scalar[1]), step, time)


def _scalar(summary_value: bytes) -> tuple[str, float] | None:
    tag, found, tensor, plugin = "", None, None, ""
    for field, value in fields(summary_value):
        if not isinstance(value, bytes):
            continue
        if field == _TAG:
            tag = value.decode("utf-8", "replace")
        elif field == _SIMPLE_VALUE and len(value) == 4:
            found = struct.unpack("<f", value)[0]
        elif field == _TENSOR:
            tensor = value
        elif field == _METADATA:
            plugin = _plugin(value)
    if found is None and tensor is not None and plugin in ("", "scalars"):
        found = _single(tensor)
    return None if found is None else (tag, found)


def _plugin(metadata: bytes) -> str:
    for field, value in fields(metadata):
        if field == _PLUGIN_DATA and isinstance(value, bytes):
            name = dict(fields(value)).get(_PLUGIN_NAME, b"")
            return name.decode("utf-8", "replace") if isinstance(name, bytes) else ""
    return ""


def _single(tensor: bytes) -> float | None:
    """The number in a tensor that holds one; None for any other."""
    parts = list(fields(tensor))
    dtype = next((value for field, value in parts if field == _DTYPE), 0)
    if not isinstance(dtype, int) or dtype not in _PACKED:
        return None
    packed = _PACKED[dtype]
    for field, value in parts:
        if field == _SHAPE and isinstance(value, bytes) and not _is_scalar(value):
            return None
        if field == _CONTENT and isinstance(value, bytes) and len(value) == struct.calcsize(packed):
            return float(struct.unpack(packed, value)[0])
        if field == _LISTED.get(dtype):
            return _listed(value, packed)
    return None


def _listed(value: int | bytes, packed: str) -> float | None:
    """A single value of a list field: a varint if whole, else fixed; packed or not."""
    whole = packed[1] in "iq"
    if isinstance(value, int):
        return float(signed(value)) if whole else None
    if whole:
        found, end = varint(value, 0)
        return float(signed(found)) if end == len(value) else None
    return float(struct.unpack(packed, value)[0]) if len(value) == struct.calcsize(packed) else None


def _is_scalar(shape: bytes) -> bool:
    for field, value in fields(shape):
        if field == _DIM and isinstance(value, bytes) and dict(fields(value)).get(_DIM_SIZE) != 1:
            return False
    return True


def _masked(data: bytes) -> bytes:
    """The masked CRC-32C of some bytes, as TFRecords hold it."""
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFF_FFFF)


def _length(header: bytes) -> int | None:
    """The length that a record's header tells; None if the header is damaged."""
    if _masked(header[:8]) != header[8:]:
        return None
    return int.from_bytes(header[:8], "little")


def _next_header(file: BinaryIO, offset: int, size: int) -> int:
    """Where the next sound header begins; the end of what could be searched if there is none."""
    start = offset
    while start + _HEADER <= size:
        file.seek(start)
        window = file.read(SEARCH_BYTES)
        # No record reaches 4 GiB: the upper half of its length is zero.
        at = window.find(bytes(4), 4)
        while 0 <= at <= len(window) - 8:
            if _length(window[at - 4 : at + 8]) is not None:
                return start + at - 4
            at = window.find(bytes(4), at + 1)
        start += max(1, len(window) - _HEADER + 1)
    return start
