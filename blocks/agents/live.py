"""What an agent does, in short lines, for whoever watches."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

from wildloop.blocks.agents.jsonl import CHUNK_BYTES, Event, EventReader

SHORT_LINE_CHARACTERS = 200
OPEN_LINE_BYTES = 4 * SHORT_LINE_CHARACTERS


class Shortener:
    """Makes short lines of an agent's output: here of plain text, line by line."""

    def __init__(self) -> None:
        self._open = b""

    def feed(self, piece: bytes) -> list[str]:
        """The short lines that this piece of the output completes."""
        *lines, self._open = (self._open + piece).split(b"\n")
        # Of a line without end only the beginning will be shown.
        self._open = self._open[:OPEN_LINE_BYTES]
        return [short for line in lines if (short := shorten(line.decode("utf-8", "replace")))]

    def finish(self) -> list[str]:
        """The last line, if the output does not end with a line feed."""
        return self.feed(b"\n") if self._open else []


class EventShortener(Shortener, ABC):
    """Makes short lines of a stream of JSON events."""

    def __init__(self) -> None:
        super().__init__()
        self._reader = EventReader(string_limit=CHUNK_BYTES)
        self._last: str | None = None

    @abstractmethod
    def short_line(self, event: Event) -> str | None:
        """The short form of one event; None for one that is not worth a line."""

    def feed(self, piece: bytes) -> list[str]:
        """See `Shortener.feed`."""
        return self._lines(self._reader.feed(piece))

    def finish(self) -> list[str]:
        """See `Shortener.finish`."""
        return self._lines(self._reader.finish())

    def _lines(self, events: Iterator[Event]) -> list[str]:
        """The short forms; what is said twice running is shown once."""
        lines = []
        for event in events:
            line = self.short_line(event)
            if line and line != self._last:
                lines.append(line)
                self._last = line
        return lines


def shorten(text: str) -> str:
    """The first line of a text that is not empty, cut to 200 characters."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    limit = SHORT_LINE_CHARACTERS
    return line if len(line) <= limit else line[: limit - 1] + "…"


async def read_piece(path: Path, at: int) -> bytes:
    """Some of what stands in a file after the offset `at`; nothing if it is not there yet."""
    return await asyncio.to_thread(_read_piece, path, at)


def _read_piece(path: Path, at: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(at)
            return file.read(CHUNK_BYTES)
    except FileNotFoundError:
        return b""
