"""How slow this machine is now: what a fixed piece of work takes, beside an idle reference."""

import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from functools import cache

WORK = "for _ in range(16):\n    sum(range(200_000))"
REFERENCE_SECONDS = 0.06
"""What the start of a Python and `WORK` take on an idle core of a server of 2024."""
FRESH_SECONDS = 10.0
KEPT = 3


def take_work() -> float:
    """Seconds that a new process takes for the work: it waits for a core as any other does."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-I", "-S", "-c", WORK], check=True)
    return time.monotonic() - began


class Pace:
    """How many times longer things take here than on an idle machine; measured now and then."""

    def __init__(self, work: Callable[[], float] = take_work) -> None:
        self._work = work
        self._measured: deque[float] = deque(maxlen=KEPT)
        self._until = 0.0

    def slowness(self) -> float:
        """At least 1; the worst of the last measures, for load comes in bursts."""
        if time.monotonic() >= self._until:
            self._measured.append(self._work() / REFERENCE_SECONDS)
            self._until = time.monotonic() + FRESH_SECONDS
        return max(1.0, *self._measured)


@cache
def pace() -> Pace:
    """The one measure of this process."""
    return Pace()


def patient(seconds: float) -> float:
    """`seconds` of an idle machine as seconds of this one, for time-outs of others' calls."""
    return seconds * pace().slowness()
