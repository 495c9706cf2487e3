"""An evolutionary sweep of a session: its durable record, and how it is stopped."""

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, Field

from wildloop.flows.models.body import Body
from wildloop.flows.models.evo import EvoSweepState


class EvoSweepStatus(StrEnum):
    """Status words of an evolutionary sweep."""

    RUNNING = "running"
    COMPLETED = "completed"
    STOPPED = "stopped"
    FAILED = "failed"

    @property
    def is_terminal(self) -> bool:
        """Whether it asks for no further trial."""
        return self is not EvoSweepStatus.RUNNING


class EvoSweepRecord(BaseModel):
    """All of a sweep: what the API shows and what it resumes from. Times are Unix seconds."""

    session_id: str
    label: str = Field(description="The call of the agent that asked for it.")
    sweep_id: str = Field(description="The sweep of its runs, as `GET /sweeps/{id}` knows it.")
    name: str
    status: EvoSweepStatus = EvoSweepStatus.RUNNING
    reason: str = Field(default="", description="Why it has ended.")
    created_at: float
    finished_at: float | None = None
    flow_run_id: str | None = Field(default=None, description="The flow run that drives it.")
    pruning: list[int] = Field(
        default_factory=list, description="Trials that were told to stop early."
    )
    plots: list[str] = Field(default_factory=list, description="Paths of its pictures.")
    state: EvoSweepState

    def seen(self, session_is_active: bool) -> "EvoSweepRecord":
        """The record as it is true: without its session a sweep does not go on."""
        if session_is_active or self.status.is_terminal:
            return self
        gone = {"status": EvoSweepStatus.STOPPED, "reason": "Its session has ended."}
        return self.model_copy(update=gone)


class EvoSweepStop(Body):
    """Body of `POST /wild/v2/evo-sweep/{session_id}/stop`; may be left out."""

    runs: Literal["keep", "stop"] = Field(
        default="keep",
        description="`keep` lets running trials end, as runs of the session; `stop` stops them.",
    )
