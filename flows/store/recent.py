"""Answers that are not in the live picture's table: read once a second for all who ask."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

T = TypeVar("T")
KEPT = 256


@dataclass
class _Answer:
    began: float
    began_wall: float
    changes: object
    future: "asyncio.Future[Any]"


class Recent:
    """The last answers, each told for a second, unless something was changed since it was read.

    Args:
        seconds: how old an answer may be.
        clock: seconds of a clock that is never set.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._answers: OrderedDict[str, _Answer] = OrderedDict()

    async def get(
        self,
        key: str,
        changes: object,
        read: Callable[[], Awaitable[T]],
        seconds: float | None = None,
    ) -> tuple[T, float]:
        """The answer to question `key`, and from when it is (Unix seconds).

        Args:
            key: the question.
            changes: differs once something was changed that the answer depends on.
            read: finds the answer.
            seconds: how old this one may be; None: as all.
        """
        oldest = self._seconds if seconds is None else seconds
        known, now = self._answers.get(key), self._clock()
        if known is None or known.changes != changes or now - known.began > oldest:
            known = _Answer(now, time.time(), changes, asyncio.ensure_future(read()))
            known.future.add_done_callback(lambda done: self._forget_failed(key, done))
            self._answers[key] = known
            self._answers.move_to_end(key)
            if len(self._answers) > KEPT:
                self._answers.popitem(last=False)
        return cast(T, await asyncio.shield(known.future)), known.began_wall

    def _forget_failed(self, key: str, done: "asyncio.Future[Any]") -> None:
        # Every waiter may have left: its error is then nobody's.
        if done.cancelled() or done.exception() is not None:
            known = self._answers.get(key)
            if known is not None and known.future is done:
                del self._answers[key]
