"""How often Prefect's server looks after its background tasks, where it is their only worker."""

import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from docket import Docket, Execution, Worker

HEARTBEAT = timedelta(seconds=20)
LOOK = timedelta(seconds=1)
MARKS = ("mark_work_queues_ready:", "mark_deployments_ready:")
"""Keys of the tasks that note when a worker has asked; what is noted counts for a minute."""
MARK_SECONDS = 10.0


class RarelyMarking(Docket):
    """Notes the same poll of the same queues and deployments once in `MARK_SECONDS`.

    A worker that is told of new work asks at each run's beginning and end, and each time two tasks
    would write its queues and deployments anew: a twentieth of what the server computes for a run.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._marked: dict[str, tuple[float, dict[str, frozenset[object]], Execution]] = {}

    def add(
        self,
        function: Callable[..., Awaitable[Any]] | str,
        when: datetime | None = None,
        key: str | None = None,
    ) -> Callable[..., Awaitable[Execution]]:
        """Add a task; of a mark that was just made, the task of then."""
        schedule = super().add(function, when, key)
        if key is None or not key.startswith(MARKS):
            return schedule

        async def mark(**ids: Sequence[object]) -> Execution:
            # The database gives them in any order.
            now, told = time.monotonic(), {name: frozenset(some) for name, some in ids.items()}
            last = self._marked.get(key)
            if last is not None and last[1] == told and now - last[0] < MARK_SECONDS:
                return last[2]
            execution = await schedule(**ids)
            self._marked[key] = (now, told, execution)
            return execution

        return mark


def look_less_often() -> None:
    """Have the background worker of this process look every second, beat every 20 s, mark every 10.

    By itself it looks for what is due four times a second and writes a heartbeat, two commands for
    each kind of task, every two: for others that would take its tasks over, and there are none.
    What is due at once wakes it as before. To be called before the app is made.
    """
    from prefect.server.api import background_workers, server

    made: Any = server
    made.Docket = partial(RarelyMarking, heartbeat_interval=HEARTBEAT)
    working: Any = background_workers
    working.Worker = partial(Worker, minimum_check_interval=LOOK, scheduling_resolution=LOOK)
