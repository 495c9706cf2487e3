"""What the agent does, told while it does it: the activity log and the flow run's own log."""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from prefect.logging import get_run_logger

from wildloop.flows.files.paths import make_ignored
from wildloop.flows.text.redaction import Redactor
from wildloop.flows.turn.caller import Caller

# Of one call. The whole of its output is in the transcript.
MOST_LINES = 5_000
MOST_LOGGED = 300
BURST = 20
PER_SECOND = 2.0
FILE_BYTES = 4 * 1024 * 1024
LINE_CHARACTERS = 300


class Allowance:
    """How many lines may be logged now: `burst` at once, then `per_second`, `most` in all."""

    def __init__(
        self,
        most: int = MOST_LOGGED,
        burst: int = BURST,
        per_second: float = PER_SECOND,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock, self._most, self._burst, self._rate = clock, most, burst, per_second
        self._left, self._at = float(burst), clock()
        self.left_out = 0

    def take(self) -> bool:
        """Whether one more line may be logged; counts those that may not."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._most <= 0 or self._left < 1:
            self.left_out += 1
            return False
        self._left -= 1
        self._most -= 1
        return True


class ActivityLog:
    """`activity.log` of a session: short lines, the newest at the end.

    It is of bounded size: when it is full, it is put aside as `activity.log.1` and begun anew.
    """

    def __init__(self, path: Path, redactor: Redactor, most_bytes: int = FILE_BYTES) -> None:
        self._path = path
        self._redactor = redactor
        self._most_bytes = most_bytes

    def add(self, label: str, text: str) -> str:
        """Append a line; return its text as it was written, without secrets."""
        clean = self._redactor(" ".join(text.split()))[:LINE_CHARACTERS]
        stamp = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
        line = f"{stamp} {label} | {clean}\n".encode("utf-8", "replace")
        if self._size() + len(line) > self._most_bytes:
            self._path.replace(self._path.with_name(self._path.name + ".1"))
        with self._path.open("ab") as file:
            file.write(line)
        return clean

    def lines_since(self, mark: str) -> int | None:
        """How many lines follow the last one that ends with `mark`; None if there is none."""
        try:
            lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return None
        for number, line in enumerate(reversed(lines)):
            if line.endswith(mark):
                return number
        return None

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            make_ignored(self._path.parent)
            return 0


def activity_log(caller: Caller) -> ActivityLog:
    """The activity log of a session."""
    redactor = Redactor.of(os.environ, *caller.tokens)
    return ActivityLog(caller.position.paths.activity, redactor)


async def tell_activity(caller: Caller, label: str, record: Path) -> None:
    """Tell what the agent does in the call of `record`, as it comes, until the call has ended.

    A call that is adopted after a restart is told from where its telling was cut off.
    """
    log, logger, allowance = activity_log(caller), get_run_logger(), Allowance()
    mark = f"{label} | call {record.name} begins"
    told = log.lines_since(mark)
    if told is None:
        log.add(label, f"call {record.name} begins")
        told = 0
    number = 0
    async for line in caller.agent.follow(record):
        number += 1
        if number <= told:
            continue
        if number > MOST_LINES:
            log.add(label, f"more than {MOST_LINES} lines: the rest is in the transcript")
            break
        clean = log.add(label, line)
        left_out = allowance.left_out
        if allowance.take():
            note = f" ({left_out} lines left out before)" if left_out else ""
            logger.info("%s: %s%s", label, clean, note)
            allowance.left_out = 0
    if allowance.left_out:
        logger.info("%s: %d more lines are in the transcript", label, allowance.left_out)
