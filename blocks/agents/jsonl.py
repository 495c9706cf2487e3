"""JSON Lines read in bounded memory: of an overlong string its end is kept, not its whole."""

import json
import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

STRING_LIMIT_BYTES = 10 * 1024 * 1024
LINE_LIMIT_BYTES = 40 * 1024 * 1024
WHOLE_LINE_BYTES = 1024 * 1024
CHUNK_BYTES = 256 * 1024
STRAY_CHARACTERS = 300

Event = dict[str, Any]

# Possessive, so that a match keeps no way back: memory stays flat whatever the length.
_INSIDE_STRING = re.compile(rb'(?:[^"\\]++|\\(?:u[0-9a-fA-F]{4}|[^u]))*+')
_LONGEST_ESCAPE = 6


class EventReader:
    """Turns the bytes of a stream into JSON objects, as they come.

    Lines that are no JSON object are left out; `stray` is the last of them, for an error report.
    """

    def __init__(
        self,
        string_limit: int = STRING_LIMIT_BYTES,
        line_limit: int = LINE_LIMIT_BYTES,
        whole_line: int = WHOLE_LINE_BYTES,
    ) -> None:
        self.stray = ""
        self._limits = (string_limit, line_limit)
        self._whole_line = whole_line
        self._head: list[bytes] = []
        self._head_size = 0
        self._long: _LongLine | None = None

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The objects that this piece of the stream completes."""
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            self._take(chunk[start:end])
            yield from self.finish()
            start = end + 1
        self._take(chunk[start:])

    def finish(self) -> Iterator[Event]:
        """The object of the last line, if the stream ends without a line feed."""
        line = b"".join(self._head) if self._long is None else self._long.close()
        self._head, self._head_size, self._long = [], 0, None
        if not line.strip():
            return
        try:
            # A cut string may begin in the middle of a character.
            event = json.loads(line.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            event = None
        if isinstance(event, dict):
            yield event
        else:
            self.stray = line[:STRAY_CHARACTERS].decode("utf-8", "replace").strip()

    def _take(self, piece: bytes) -> None:
        if self._long is not None:
            self._long.feed(piece)
            return
        self._head.append(piece)
        self._head_size += len(piece)
        if self._head_size > self._whole_line:
            self._long = _LongLine(*self._limits)
            self._long.feed(b"".join(self._head))
            self._head = []


class _LongLine:
    """One line of JSON, its strings cut to their last `string_limit` bytes."""

    def __init__(self, string_limit: int, line_limit: int) -> None:
        self._string_limit = string_limit
        self._line_limit = line_limit
        self._kept = bytearray()
        self._string: deque[bytes] | None = None
        self._string_size = 0
        self._left_out = 0
        self._open_escape = b""

    def feed(self, data: bytes) -> None:
        data, self._open_escape = self._open_escape + data, b""
        at = 0
        while at < len(data) and len(self._kept) <= self._line_limit:
            at = self._outside(data, at) if self._string is None else self._inside(data, at)

    def close(self) -> bytes:
        """The line, valid JSON if it was; of one beyond all measure only the beginning."""
        if len(self._kept) > self._line_limit:
            return bytes(self._kept[:STRAY_CHARACTERS])
        return b"".join([self._kept, *(self._string or ()), self._open_escape])

    def _outside(self, data: bytes, at: int) -> int:
        quote = data.find(b'"', at)
        end = len(data) if quote < 0 else quote + 1
        self._kept += data[at:end]
        if quote >= 0:
            self._string, self._string_size, self._left_out = deque(), 0, 0
        return end

    def _inside(self, data: bytes, at: int) -> int:
        assert self._string is not None
        match = _INSIDE_STRING.match(data, at)
        assert match is not None
        end = match.end()
        self._add(data[at:end])
        if end == len(data):
            return end
        if data[end : end + 1] == b'"':
            self._end_string()
            return end + 1
        if len(data) - end < _LONGEST_ESCAPE:
            self._open_escape = data[end:]
            return len(data)
        self._add(data[end : end + 1])
        return end + 1

    def _add(self, piece: bytes) -> None:
        """Add whole characters and escapes to the open string; let go of its beginning."""
        assert self._string is not None
        if piece:
            self._string.append(piece)
            self._string_size += len(piece)
        while self._string_size > self._string_limit and len(self._string) > 1:
            first = self._string.popleft()
            self._string_size -= len(first)
            self._left_out += len(first)

    def _end_string(self) -> None:
        assert self._string is not None
        if self._left_out:
            self._kept += b"[the first %d bytes were left out]\\n" % self._left_out
        for piece in self._string:
            self._kept += piece
        self._kept += b'"'
        self._string = None


def read_chunks(path: Path, start: int = 0) -> Iterator[bytes]:
    """A file in pieces, from the offset `start`; none if it is not there."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except FileNotFoundError:
        return


def read_events(path: Path, reader: EventReader | None = None) -> Iterator[Event]:
    """The JSON objects of a file; `reader.stray` tells of lines that are none."""
    reader = reader or EventReader()
    for chunk in read_chunks(path):
        yield from reader.feed(chunk)
    yield from reader.finish()
