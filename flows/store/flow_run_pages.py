"""Flow runs of Wildloop's, read page by page from Prefect."""

import asyncio
from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterId,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort

from wildloop.flows.store.base import LOOP_TAG, PAGE
from wildloop.flows.store.run_mapping import EXPERIMENT_TAG
from wildloop.flows.store.states import ACTIVE, in_states

OPEN = (*ACTIVE, StateType.PAUSED)
WANTED = FlowRunFilterTags(any_=[EXPERIMENT_TAG, LOOP_TAG])
EVERY = FlowRunFilter(tags=WANTED)
"""All runs and sessions."""


def open_and_young(since: datetime) -> list[FlowRunFilter]:
    """What asks for all that is open, and for all that was to begin since then.

    The young are asked for in any state: what ends while many pages are read makes others be passed
    over among the open ones.
    """
    young = FlowRunFilterExpectedStartTime(after_=since)
    return [
        FlowRunFilter(tags=WANTED, state=in_states(OPEN)),
        FlowRunFilter(tags=WANTED, expected_start_time=young),
    ]


class FlowRunPages:
    """Reads flow runs, the newest first, `PAGE` at a time.

    Args:
        client: the Prefect client.
    """

    def __init__(self, client: PrefectClient) -> None:
        self._client = client

    async def page(self, wanted: FlowRunFilter, offset: int = 0) -> list[FlowRun]:
        """The page that begins there; one that is not full is the last."""
        return await self._client.read_flow_runs(
            flow_run_filter=wanted,
            sort=FlowRunSort.EXPECTED_START_TIME_DESC,
            limit=PAGE,
            offset=offset,
        )

    async def all_of(self, wanted: FlowRunFilter) -> list[FlowRun]:
        """All pages, each flow run once."""
        found, offset, is_last = dict[UUID, FlowRun](), 0, False
        while not is_last:
            page = await self.page(wanted, offset)
            found |= {one.id: one for one in page}
            offset, is_last = offset + PAGE, len(page) < PAGE
        return list(found.values())

    async def by_id(self, ids: Iterable[str]) -> list[FlowRun]:
        """Those that are there, all at once."""
        ordered = [UUID(id) for id in sorted(ids)]
        parts = [ordered[first : first + PAGE] for first in range(0, len(ordered), PAGE)]
        found = await asyncio.gather(
            *(self.page(FlowRunFilter(id=FlowRunFilterId(any_=part))) for part in parts)
        )
        return [one for some in found for one in some]

    async def count(self) -> int:
        """How many runs and sessions there are."""
        return await self._client.count_flow_runs(flow_run_filter=EVERY)
