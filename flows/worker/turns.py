"""Turns of the sessions: what each holds of this host, and what the next ones in line are.

The server offers the oldest runs alone: behind the thousand of one session those of another would
not be seen. So while several have runs, the oldest of each are asked for.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterNextScheduledStartTime,
    FlowRunFilterParentTaskRunId,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort

from wildloop.blocks.launchers.slurm_options import limit_minutes
from wildloop.flows.models.capacity import Turns
from wildloop.flows.models.run import RunSpec
from wildloop.flows.store.base import LOOP_TAG
from wildloop.flows.store.run_mapping import EXPERIMENT_TAG
from wildloop.flows.store.states import in_states

SESSION_PREFIX = "session:"
NOBODY = ""
"""The owner of runs that belong to no session: together they are as one more."""
AT_WORK = (StateType.PENDING, StateType.RUNNING, StateType.PAUSED, StateType.CANCELLING)
MOST_SESSIONS = 100
FRESH_SECONDS = 5.0
EMPTY_SECONDS = 3.0
ENDING_SECONDS = 15.0
"""How long a command that is over its time may take to end."""


class TurnBook:
    """What this worker has begun for whom.

    Args:
        clock: tells Unix seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._begun: dict[UUID, tuple[str, float | None]] = {}
        self._last: dict[str, int] = {}
        self._sessions: list[str] = []
        self._read_at = 0.0
        self._empty: dict[str, float] = {}

    def began(self, flow_run: FlowRun, spec: RunSpec) -> None:
        """Note a run that this worker drives from now on, whether it began now or before."""
        owner, lasts = owner_of(flow_run), longest_seconds(spec)
        ends_at = None
        if lasts is not None:
            start = flow_run.start_time
            ends_at = (start.timestamp() if start else self._clock()) + lasts
        self._begun[flow_run.id] = owner, ends_at
        if spec.gpus > 0:
            self._last.pop(owner, None)
            self._last[owner] = max(self._last.values(), default=0) + 1

    def of(self, held: Mapping[UUID, int]) -> Turns:
        """What each owner holds, by the slots of the runs that hold some; others are forgotten."""
        self._begun = {id: begun for id, begun in self._begun.items() if id in held}
        slots: dict[str, int] = {}
        for id, (owner, _) in self._begun.items():
            slots[owner] = slots.get(owner, 0) + held[id]
        return Turns(held=slots, last=self._last)

    def ends_in(self, id: UUID) -> float | None:
        """In how many seconds a run has ended at the latest; None: it may go on for ever."""
        ends_at = self._begun.get(id, (NOBODY, None))[1]
        return None if ends_at is None else max(0.0, ends_at - self._clock())

    async def others(
        self, client: PrefectClient, offered: Sequence[FlowRun], most: int
    ) -> list[FlowRun]:
        """The oldest queued runs of each owner of whom fewer than `most` are offered."""
        now = self._clock()
        if now - self._read_at > FRESH_SECONDS:
            self._sessions, self._read_at = await _sessions(client), now
        if not self._sessions:
            return []
        found: list[FlowRun] = []
        known = [owner_of(run) for run in offered]
        for owner in (*self._sessions, NOBODY):
            is_empty = now - self._empty.get(owner, 0.0) < EMPTY_SECONDS
            if known.count(owner) >= most or is_empty:
                continue
            runs = await _oldest(client, owner, most)
            if not runs:
                self._empty[owner] = now
            found += runs
        return found


def owner_of(flow_run: FlowRun) -> str:
    """The session that a run belongs to."""
    tags = (tag for tag in flow_run.tags if tag.startswith(SESSION_PREFIX))
    return next(tags, NOBODY).removeprefix(SESSION_PREFIX)


def longest_seconds(spec: RunSpec) -> float | None:
    """How long a run holds its slots at most, by its time-out or the limit of its Slurm job."""
    limits = [spec.timeout_seconds] if spec.timeout_seconds is not None else []
    if spec.slurm is not None and spec.slurm.time_limit is not None:
        limits.append(limit_minutes(spec.slurm.time_limit) * 60)
    shortest = min(limits, default=float("inf"))
    return None if shortest == float("inf") else shortest + ENDING_SECONDS


async def _sessions(client: PrefectClient) -> list[str]:
    found = await client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            tags=FlowRunFilterTags(all_=[LOOP_TAG]), state=in_states(AT_WORK)
        ),
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
        limit=MOST_SESSIONS,
    )
    return [str(run.id) for run in found]


async def _oldest(client: PrefectClient, owner: str, most: int) -> list[FlowRun]:
    tags = [EXPERIMENT_TAG, *([SESSION_PREFIX + owner] if owner else [])]
    # Runs of sessions are children of what these have made for them.
    parent = None if owner else FlowRunFilterParentTaskRunId(is_null_=True)
    return await client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            tags=FlowRunFilterTags(all_=tags),
            state=in_states([StateType.SCHEDULED]),
            next_scheduled_start_time=FlowRunFilterNextScheduledStartTime(
                before_=datetime.now(UTC)
            ),
            parent_task_run_id=parent,
        ),
        sort=FlowRunSort.EXPECTED_START_TIME_ASC,
        limit=most,
    )
