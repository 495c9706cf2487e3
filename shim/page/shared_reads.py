"""One query for all who ask the same thing at the same time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedReads(Generic[T]):
    """Answers equal questions together, never from before they were asked.

    While a read is under way, those who ask the same wait for the next one, which begins when it
    ends: so a client always sees what it has written, and however many ask, at most two reads of
    a kind are waited for. A read that fails fails for all who wait for it.
    """

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Future[T]] = {}
        self._next: dict[str, asyncio.Future[T]] = {}

    async def get(self, key: str, read: Callable[[], Awaitable[T]]) -> T:
        """The answer to question `key`, by `read` or by an equal read that begins after now."""
        if key not in self._running:
            return await asyncio.shield(self._begin(key, read))
        if key not in self._next:
            self._next[key] = asyncio.ensure_future(self._after(self._running[key], key, read))
        return await asyncio.shield(self._next[key])

    def _begin(self, key: str, read: Callable[[], Awaitable[T]]) -> asyncio.Future[T]:
        running = asyncio.ensure_future(read())
        self._running[key] = running
        running.add_done_callback(lambda done: self._forget(key, done))
        return running

    async def _after(
        self, before: asyncio.Future[T], key: str, read: Callable[[], Awaitable[T]]
    ) -> T:
        await asyncio.wait({before})
        self._next.pop(key, None)
        return await self._begin(key, read)

    def _forget(self, key: str, done: asyncio.Future[T]) -> None:
        if self._running.get(key) is done:
            del self._running[key]
        if not done.cancelled():
            # Every waiter may have left: its error is then nobody's.
            done.exception()
