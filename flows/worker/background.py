"""Work beside the flows of a worker: kept from the garbage collector, and its errors told."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any


class Background:
    """The tasks that nobody awaits.

    Args:
        logger: told of the errors that they end with.
    """

    def __init__(self, logger: logging.Logger | logging.LoggerAdapter[Any]) -> None:
        self._logger = logger
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Start `work` in the running loop."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def cancel(self) -> None:
        """Cancel what has not ended."""
        for task in list(self._tasks):
            task.cancel()

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._logger.error("background work failed: %r", error, exc_info=error)
