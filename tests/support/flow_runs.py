"""The edge of the live picture: flow runs in memory, read and counted as Prefect's server does."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import ObjectNotFound
from prefect.states import Completed

from wildloop.flows.store.base import LOOP_TAG
from wildloop.flows.store.run_mapping import EXPERIMENT_TAG

START = datetime(2026, 1, 1, tzinfo=UTC)


class FlowRuns:
    """A server's flow runs, with clocks that are set by hand.

    `meanwhile` is called once after an answer was made and before it arrives: what it changes is
    not in that answer.
    """

    def __init__(self) -> None:
        self.rows: dict[UUID, FlowRun] = {}
        self.seconds = 0.0
        self.step = timedelta()
        self.requests = 0
        self.told = 0
        self.meanwhile: Callable[[], None] = lambda: None

    def clock(self) -> float:
        """Seconds of a clock that is never set."""
        return self.seconds

    def wall(self) -> datetime:
        """The time of day, as far as it was set."""
        return START + timedelta(seconds=self.seconds) + self.step

    def create(
        self, state: State[Any], *tags: str, at: datetime | None = None, **fields: Any
    ) -> FlowRun:
        """Add a run."""
        spec = {"name": "r", "command": "true"}
        for name, field in (("sweep:", "sweep_id"), ("session:", "chat_session_id")):
            named = [tag.removeprefix(name) for tag in tags if tag.startswith(name)]
            spec |= dict.fromkeys([field], named[0]) if named else {}
        # No two are created at the very same time: their order would not be told.
        self.seconds += 0.001
        flow_run = FlowRun(
            id=uuid4(),
            flow_id=uuid4(),
            name=fields.pop("name", "r"),
            state=state,
            tags=[EXPERIMENT_TAG, *tags],
            parameters={"spec": spec},
            expected_start_time=at or self.wall(),
            updated=self.wall(),
        )
        self.rows[flow_run.id] = flow_run
        return flow_run

    def session(self, state: State[Any], **parameters: Any) -> FlowRun:
        """Add a session."""
        self.seconds += 0.001
        flow_run = FlowRun(
            id=uuid4(),
            flow_id=uuid4(),
            name="s",
            state=state,
            tags=[LOOP_TAG],
            parameters={"goal": "g", "workdir": "/", **parameters},
            expected_start_time=self.wall(),
            updated=self.wall(),
        )
        self.rows[flow_run.id] = flow_run
        return flow_run

    def change(self, id: UUID, **fields: Any) -> FlowRun:
        """Change one, at the server's time of day."""
        self.rows[id] = self.rows[id].model_copy(update={**fields, "updated": self.wall()})
        return self.rows[id]

    def ended(self, count: int, *tags: str) -> list[FlowRun]:
        """Runs that ended the day before, a second apart."""
        first = self.wall() - timedelta(days=1)
        return [
            self.create(Completed(), *tags, at=first + timedelta(seconds=number))
            for number in range(count)
        ]

    def delete(self, id: UUID) -> None:
        """Take one away."""
        del self.rows[id]

    def matching(self, wanted: FlowRunFilter) -> list[FlowRun]:
        """All that match, newest first."""
        found = sorted(
            self.rows.values(),
            key=lambda one: (one.expected_start_time or START, str(one.id)),
            reverse=True,
        )
        if wanted.id is not None:
            found = [one for one in found if one.id in (wanted.id.any_ or [])]
        if wanted.tags is not None and wanted.tags.any_ is not None:
            found = [one for one in found if {*one.tags} & {*wanted.tags.any_}]
        if wanted.tags is not None and wanted.tags.all_ is not None:
            found = [one for one in found if {*one.tags} >= {*wanted.tags.all_}]
        if wanted.state is not None and wanted.state.type is not None:
            types = wanted.state.type.any_ or []
            found = [one for one in found if one.state is not None and one.state.type in types]
        if (at := wanted.expected_start_time) is not None:
            after, before = at.after_, at.before_
            found = [one for one in found if after is None or one.expected_start_time >= after]
            found = [one for one in found if before is None or one.expected_start_time <= before]
        return found

    async def read_flow_runs(
        self, *, flow_run_filter: FlowRunFilter, sort: object = None, limit: int, offset: int = 0
    ) -> list[FlowRun]:
        """A page of them."""
        self.requests += 1
        page = self.matching(flow_run_filter)[offset : offset + limit]
        self.told += len(page)
        await asyncio.sleep(0)
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        return page

    async def read_flow_run(self, id: UUID) -> FlowRun:
        """One of them."""
        self.requests += 1
        if id not in self.rows:
            raise ObjectNotFound(http_exc=ValueError("no such flow run"))
        return self.rows[id]

    async def count_flow_runs(self, *, flow_run_filter: FlowRunFilter) -> int:
        """How many match."""
        self.requests += 1
        return len(self.matching(flow_run_filter))
