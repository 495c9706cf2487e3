"""The watchdog of a call that prints events."""

import time
from pathlib import Path

from blocks.agents.command import Ending, Watch
from blocks.agents.jsonl import EventReader, read_chunks
from blocks.agents.streams import Reading


class StreamWatch(Watch):
    """Ends calls that are silent for too long, and tools that go round in circles."""

    def __init__(self, path: Path, reading: Reading, silence_seconds: float | None) -> None:
        self._path = path
        self._reading = reading
        self._silence = silence_seconds
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
        if self._silence is not None and time.monotonic() - self._heard > self._silence:
            return "silent"
        return None
