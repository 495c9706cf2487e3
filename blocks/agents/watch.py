"""The watchdog of a call that prints events."""

import math
import time
from collections.abc import Callable
from pathlib import Path

from wildloop.blocks.agents.jsonl import EventReader, read_chunks
from wildloop.blocks.agents.process import Ending, Watch
from wildloop.blocks.agents.streams import Reading


class StreamWatch(Watch):
    """Ends calls that are silent for too long, and tools that go round in circles.

    A tool that has met a fault of the API and sleeps over it is given `patience_seconds`.
    """

    def __init__(
        self,
        path: Path,
        reading: Reading,
        silence_seconds: float | None,
        patience_seconds: float = math.inf,
        trouble: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._path = path
        self._reading = reading
        self._silence = math.inf if silence_seconds is None else silence_seconds
        self._patience = patience_seconds
        self._trouble = trouble
        self._reader = EventReader()
        self._at = 0
        # By this clock a machine's sleep is no silence.
        self._heard = time.monotonic()

    def look(self) -> Ending | None:
        """See `Watch.look`."""
        for chunk in read_chunks(self._path, self._at):
            self._at += len(chunk)
            self._heard = time.monotonic()
            for event in self._reader.feed(chunk):
                self._reading.feed(event)
        if self._reading.is_runaway:
            return "runaway"
        quiet = time.monotonic() - self._heard
        if quiet > self._silence or (quiet > self._patience and self._is_troubled()):
            return "silent"
        return None

    def _is_troubled(self) -> bool:
        return self._reading.error is not None or self._trouble() is not None
