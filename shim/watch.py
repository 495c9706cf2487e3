"""Looks at runs on behalf of all who follow them."""

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from wildloop.flows.models.run import Run
from wildloop.flows.store.runs import RunStore

LOOK_SECONDS = 1.0
MOST_RUNS = 512


@dataclass
class _Look:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    run: Run | None = None
    at: float = 0.0


class RunWatch:
    """Reads a followed run at most once a second, however many follow it."""

    def __init__(self) -> None:
        self._looks: OrderedDict[str, _Look] = OrderedDict()

    async def get(self, runs: RunStore, run_id: str) -> Run:
        """The run as it was at most a second ago.

        Raises:
            NotFound: there is no such run.
        """
        look = self._looks.setdefault(run_id, _Look())
        self._looks.move_to_end(run_id)
        while len(self._looks) > MOST_RUNS:
            self._looks.popitem(last=False)
        async with look.lock:
            if look.run is not None and look.run.status.is_terminal:
                return look.run
            if look.run is None or time.monotonic() - look.at > LOOK_SECONDS:
                look.run = await runs.get(run_id)
                look.at = time.monotonic()
            return look.run
