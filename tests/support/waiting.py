"""Waiting for what others do: as long as they show signs of life, and longer on a slow machine."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from tests.support.pace import Pace, pace

T = TypeVar("T")
Sign = Callable[[], object]
"""A cheap account of progress, such as the size of a log or a number of calls."""
TICK_SECONDS = 0.02
PAUSES = (0.02, 0.1)
"""Seconds between two looks: at first and after a sign of life, and at most."""
GROWTH = 1.5
LONGEST_LIFE = 10
"""How many times its seconds a wait may last whose signs of life never end."""


class Patience:
    """Seconds that may pass without a sign of life, counted as an idle machine takes them."""

    def __init__(self, seconds: float, measure: Pace) -> None:
        self.seconds = seconds
        self._pace = measure
        self._in_all = seconds * LONGEST_LIFE
        self._counted_at = time.monotonic()
        self.renew()

    def renew(self) -> None:
        """Count anew: there was a sign of life."""
        self._left = self.seconds

    def lasts(self) -> bool:
        """Count what has passed since the last time; whether anything is left."""
        now = time.monotonic()
        passed = (now - self._counted_at) / self._pace.slowness()
        self._counted_at = now
        self._left -= passed
        self._in_all -= passed
        return self._left > 0 < self._in_all

    def told(self) -> str:
        """What was waited in vain."""
        if self._in_all <= 0:
            return f"within {self.seconds * LONGEST_LIFE:g} s in all"
        return f"within {self.seconds:g} s"


class Waiting:
    """When to look next: soon at first and after a sign of life, then less and less often.

    A look may cost a server work, a sign costs nothing.
    """

    def __init__(
        self,
        what: str,
        seconds: float,
        sign: Sign | None = None,
        pauses: tuple[float, float] = PAUSES,
        measure: Pace | None = None,
    ) -> None:
        self.what = what
        self._patience = Patience(seconds, measure or pace())
        self._sign = sign
        self._seen = sign() if sign else None
        self._shortest, self._longest = pauses
        self._pause = 0.0
        self._looked_at = time.monotonic()
        self._over = False

    def is_due(self) -> bool:
        """Whether it is time for a look; fails after the look at the end of all patience."""
        if self._over:
            since = " after the last sign of life" if self._sign else ""
            raise AssertionError(f"not {self._patience.told()}{since}: {self.what}")
        if self._sign is not None and (seen := self._sign()) != self._seen:
            self._seen, self._pause = seen, self._shortest
            self._patience.renew()
        self._over = not self._patience.lasts()
        now = time.monotonic()
        if not self._over and now - self._looked_at < self._pause:
            return False
        self._looked_at = now
        self._pause = min(max(self._pause * GROWTH, self._shortest), self._longest)
        return True


def wait_for(
    look: Callable[[], T | None],
    what: str,
    seconds: float = 60.0,
    *,
    sign: Sign | None = None,
    pauses: tuple[float, float] = PAUSES,
) -> T:
    """Look until something is found.

    Fails when nothing was found and `sign()` stayed the same for `seconds` of an idle machine.
    """
    waiting = Waiting(what, seconds, sign, pauses)
    while True:
        if waiting.is_due() and (found := look()):
            return found
        time.sleep(TICK_SECONDS)


async def until(
    look: Callable[[], T | None], what: str, seconds: float = 20.0, *, sign: Sign | None = None
) -> T:
    """The same in an event loop, which goes on meanwhile."""
    waiting = Waiting(what, seconds, sign)
    while True:
        if waiting.is_due() and (found := look()):
            return found
        await asyncio.sleep(TICK_SECONDS / 4)
