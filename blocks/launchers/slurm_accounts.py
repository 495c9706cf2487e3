"""One sacct for all jobs that Slurm's queue no longer lists."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from wildloop.blocks.launchers.slurm_commands import JobView

# Jobs are forgotten many at a time; the accounts lag by some seconds anyway.
GATHER_SECONDS = 0.5

Ask = Callable[[Iterable[str]], Awaitable[dict[str, JobView]]]


class Accounts:
    """Answers many who ask at about the same time by one call. Used in one event loop."""

    def __init__(self, ask: Ask, gather_seconds: float = GATHER_SECONDS) -> None:
        self._ask = ask
        self._gather_seconds = gather_seconds
        self._wanted: set[str] = set()
        self._next: asyncio.Task[dict[str, JobView]] | None = None

    async def look(self, job_id: str) -> JobView | None:
        """What the accounts say of a job; None where they say nothing.

        Raises:
            SlurmSilent: they do not answer.
        """
        self._wanted.add(job_id)
        if self._next is None:
            self._next = asyncio.ensure_future(self._call())
        # One of many waiters being cancelled must not take the answer from the others.
        return (await asyncio.shield(self._next)).get(job_id)

    async def _call(self) -> dict[str, JobView]:
        await asyncio.sleep(self._gather_seconds)
        wanted, self._wanted, self._next = self._wanted, set(), None
        return await self._ask(wanted)
