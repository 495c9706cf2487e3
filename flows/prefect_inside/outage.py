"""The times when a Prefect server does not answer: told once each, however many requests wait."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

logger = logging.getLogger("wildloop.prefect")

TOLD_AFTER_SECONDS = 2.0
ALERT_SECONDS = 600.0
ALERT_VARIABLE = "WILDLOOP_OUTAGE_ALERT_SECONDS"


class Outage:
    """What one process knows of its Prefect server, from all its threads.

    An outage begins with the first request that has to be sent again, and is over when none waits
    any more. Its log has one line at the beginning, one at the end, and one where it has lasted so
    long that somebody should look. What passes within two seconds is not told.

    Args:
        alert_seconds: how long until somebody should look (default: the variable
            WILDLOOP_OUTAGE_ALERT_SECONDS, else 600).
        clock: seconds of a clock that is never set.
    """

    def __init__(
        self,
        alert_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        told = os.environ.get(ALERT_VARIABLE)
        self._alert_seconds = alert_seconds or (float(told) if told else ALERT_SECONDS)
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting = 0
        self._began = 0.0
        self._told = self._alerted = False
        self._changes = 0
        self._to_report: list[float] = []

    @property
    def seconds(self) -> float | None:
        """How long the server has not answered; None while it does."""
        with self._lock:
            return self._clock() - self._began if self._waiting else None

    @property
    def changes(self) -> int:
        """How many changes the server has carried out for this process."""
        return self._changes

    def changed(self) -> None:
        """Count a change that the server has carried out."""
        with self._lock:
            self._changes += 1

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """While entered, a request waits to be sent again."""
        with self._lock:
            if not self._waiting:
                self._began, self._told, self._alerted = self._clock(), False, False
            self._waiting += 1
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1
                if not self._waiting:
                    self._end()

    def fails(self, fault: str) -> None:
        """Say what is due: `fault` is why a request has to be sent again."""
        with self._lock:
            lasted = self._clock() - self._began
            if not self._told and lasted >= TOLD_AFTER_SECONDS:
                self._told = True
                logger.warning(
                    "the Prefect server does not answer (%s): waiting, nothing is given up", fault
                )
            if not self._alerted and lasted >= self._alert_seconds:
                self._alerted = True
                logger.error(
                    "the Prefect server has not answered for %.0f s (%s): look after it; sessions "
                    "and runs go on as soon as it answers",
                    lasted,
                    fault,
                )

    def take_reports(self) -> list[float]:
        """The outages that were long enough for an alert and are over, in seconds; each once."""
        with self._lock:
            found, self._to_report = self._to_report, []
            return found

    def _end(self) -> None:
        lasted = self._clock() - self._began
        if self._told:
            logger.warning("the Prefect server answers again, after %.0f s", lasted)
        if self._alerted:
            self._to_report.append(lasted)
