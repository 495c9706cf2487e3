"""One squeue for all jobs of a launcher, at a pace that spares slurmctld."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from wildloop.blocks.launchers.slurm_commands import JobView, SlurmSilent

POLL_SECONDS = 0.5
# With many jobs something always changes: they are asked about less often each.
MANY_JOBS = 10
MANY_SECONDS = 5.5
QUIET_SECONDS = 5.0
SILENT_SECONDS = 30.0
PATIENCE_SECONDS = 2.0
# Jobs that nobody has asked for this long are no longer asked about.
FORGET_SECONDS = 90.0

Ask = Callable[[Iterable[str]], Awaitable[dict[str, JobView]]]


@dataclass(frozen=True)
class Seen:
    """A job as last listed, None where Slurm knows it no more; and since when it is so.

    `since` and `asked_at` are on the monotonic clock.
    """

    view: JobView | None
    since: float
    asked_at: float

    @property
    def settled_for(self) -> float:
        """Seconds from the first to the last answer of this kind."""
        return self.asked_at - self.since


class JobWatch:
    """Answers who asks about a job from the last squeue, or from a new one when it is time.

    The time between two calls is POLL_SECONDS while something changes, with more than MANY_JOBS
    jobs up to MANY_SECONDS (11 calls a minute); it grows to QUIET_SECONDS while nothing does, and
    to SILENT_SECONDS while Slurm does not answer. Used in one event loop.
    """

    def __init__(self, ask: Ask, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._clock = clock
        self._seen: dict[str, Seen] = {}
        self._wanted: dict[str, float] = {}
        self._pause = POLL_SECONDS
        self._next = 0.0
        self._began = -FORGET_SECONDS
        self._silence: SlurmSilent | None = None
        self._asking: asyncio.Task[None] | None = None

    async def look(self, job_id: str, at_once: bool = False) -> Seen:
        """The job as Slurm sees it.

        Args:
            job_id: as sbatch gave it.
            at_once: something is about to change: shorten the pause as far as the number of jobs
                allows.

        Raises:
            SlurmSilent: the last squeue got no answer, or the first is still out.
        """
        self._wanted[job_id] = self._clock()
        while True:
            now = self._clock()
            if at_once and self._silence is None:
                self._next = min(self._next, max(now, self._began) + self.floor)
                self._pause = self.floor
            seen = self._seen.get(job_id)
            if not self._is_asking and now < self._next:
                if self._silence is not None:
                    raise SlurmSilent(str(self._silence)) from self._silence
                if seen is not None:
                    return seen
            began = now
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await self._poll()
            except TimeoutError:
                # The job's own files may tell meanwhile: a slow Slurm must not hold that up.
                if seen is not None and self._silence is None:
                    return seen
                raise SlurmSilent("squeue has not answered yet") from None
            seen = self._seen.get(job_id)
            if self._silence is None and seen is not None and seen.asked_at >= began:
                return seen

    @property
    def floor(self) -> float:
        """Seconds between two calls at least."""
        many = len(self._wanted) > MANY_JOBS
        return min(MANY_SECONDS, len(self._wanted) * 0.1) if many else POLL_SECONDS

    def known(self, job_id: str) -> Seen | None:
        """The job as last listed, without asking; it goes on being asked about."""
        self._wanted[job_id] = self._clock()
        return self._seen.get(job_id) if self._clock() < self._next else None

    @property
    def _is_asking(self) -> bool:
        # Not by a callback: who comes between a call's end and its callback would never let it run.
        return self._asking is not None and not self._asking.done()

    async def _poll(self) -> None:
        """Join the call in flight, or make one."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(self._refresh())
        # One of many waiters being cancelled must not take the answer from the others.
        await asyncio.shield(self._asking)

    async def _refresh(self) -> None:
        began = self._began = self._clock()
        old = began - FORGET_SECONDS
        self._wanted = {job: asked for job, asked in self._wanted.items() if asked > old}
        self._seen = {job: seen for job, seen in self._seen.items() if job in self._wanted}
        wanted = tuple(self._wanted)
        try:
            views = await self._ask(wanted)
        except SlurmSilent as silence:
            self._silence = silence
            self._pause = min(self._pause * 2, SILENT_SECONDS)
        else:
            self._silence = None
            changed = [self._note(job, views.get(job), began) for job in wanted]
            slower = min(self._pause * 1.3, QUIET_SECONDS)
            self._pause = self.floor if any(changed) else max(self.floor, slower)
        now = self._clock()
        # A slurmctld that is slow to answer is not asked most of the time.
        self._next = now + max(self._pause, now - began)

    def _note(self, job_id: str, view: JobView | None, now: float) -> bool:
        earlier = self._seen.get(job_id)
        same = earlier is not None and _state(earlier.view) == _state(view)
        since = earlier.since if same and earlier is not None else now
        self._seen[job_id] = Seen(view=view, since=since, asked_at=now)
        return not same


def _state(view: JobView | None) -> str | None:
    return view.state if view is not None else None
