"""Which runs to list, and Prefect's query for them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import StateType
from pydantic import BaseModel, Field

from wildloop.flows.models.run import Run, RunStatus
from wildloop.flows.store.run_mapping import EXPERIMENT_TAG
from wildloop.flows.store.states import in_states, prefect_types

ARCHIVED_TAG = "wildloop:archived"


class RunFilter(BaseModel):
    """Which runs to list; newest first."""

    limit: int = Field(default=100, ge=1, le=1000)
    offset: int = Field(default=0, ge=0)
    status: RunStatus | None = None
    sweep_id: str | None = None
    chat_session_id: str | None = None
    also_called: list[str] = Field(
        default_factory=list, description="Other ids whose runs belong to the session, too."
    )
    archived: bool | None = None
    before: float | None = Field(default=None, description="Created before; Unix seconds.")

    @property
    def is_exact(self) -> bool:
        """Whether Prefect's query finds just these runs, so that it can count the offset too.

        It knows no `not`, and does not tell launching from running.
        """
        unclear = (RunStatus.LAUNCHING, RunStatus.RUNNING)
        return self.archived is not False and self.status not in unclear

    def query(self, types: Sequence[StateType] | None = None) -> FlowRunFilter:
        """Prefect's filter; it may find more than `matches` does.

        Args:
            types: state types to list instead of those of `status`.
        """
        tags = [EXPERIMENT_TAG]
        if self.sweep_id is not None:
            tags.append(f"sweep:{self.sweep_id}")
        either: list[str] | None = None
        if self.chat_session_id is not None and self.also_called:
            either = [f"session:{id}" for id in (self.chat_session_id, *self.also_called)]
        elif self.chat_session_id is not None:
            tags.append(f"session:{self.chat_session_id}")
        if self.archived:
            tags.append(ARCHIVED_TAG)
        if types is None and self.status is not None:
            types = prefect_types(self.status)
        return FlowRunFilter(
            tags=FlowRunFilterTags(all_=tags, any_=either),
            state=in_states(types) if types is not None else None,
            expected_start_time=_before(self.before) if self.before is not None else None,
        )

    def matches(self, run: Run) -> bool:
        """What Prefect's query cannot tell: one of its states stands for several of our words."""
        return self.status in (None, run.status) and self.archived in (None, run.is_archived)


def _before(seconds: float) -> FlowRunFilterExpectedStartTime:
    # Prefect's bound counts in, and its times have microseconds.
    last = datetime.fromtimestamp(seconds, UTC) - timedelta(microseconds=1)
    return FlowRunFilterExpectedStartTime(before_=last)
