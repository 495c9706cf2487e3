"""The session as the API shows it: status, progress, events, and the commands it takes."""

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, Field

from wildloop.blocks.agents.prices import Usage
from wildloop.flows.models.body import Body
from wildloop.flows.models.contract import SessionContract
from wildloop.flows.models.evidence import BestResult, Comparison
from wildloop.flows.models.run import RunCounts
from wildloop.flows.models.sealed import SealedReport
from wildloop.flows.models.session_options import Budget, Isolation, KeepMode
from wildloop.flows.models.session_record import IterationRecord, Phase
from wildloop.flows.models.spending import Spending


class SessionStatus(StrEnum):
    """Status words of a session."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def is_terminal(self) -> bool:
        """True once the session has ended."""
        return self in (SessionStatus.COMPLETED, SessionStatus.FAILED, SessionStatus.STOPPED)


class TaskCounts(BaseModel):
    """Tasks by status."""

    total: int = 0
    open: int = 0
    in_progress: int = 0
    done: int = 0
    cancelled: int = 0

    @property
    def closed(self) -> int:
        """Done or cancelled."""
        return self.done + self.cancelled


class PhaseProgress(TaskCounts):
    """Open and closed tasks of one phase of tasks.md."""

    number: int
    title: str

    @property
    def bar(self) -> str:
        """Ten characters, one for each tenth that is closed."""
        tenths = 10 * self.closed // self.total if self.total else 0
        return "#" * tenths + "." * (10 - tenths)


class TaskProgress(TaskCounts):
    """Open and closed tasks of tasks.md."""

    phases: list[PhaseProgress] = Field(default_factory=list)


History = Literal["recent", "all"]


class Session(BaseModel):
    """A session as the API shows it. Times are Unix seconds."""

    session_id: str
    chat_session_id: str | None = None
    goal: str
    workdir: str
    agent: str
    status: SessionStatus
    phase: Phase
    note: str = Field(default="", description="What it waits for, such as a rate limit.")
    is_active: bool
    iteration: int
    max_iterations: int
    started_at: float | None = None
    finished_at: float | None = None
    error: str | None = None
    branch: str | None = None
    session_dir: str
    runs: RunCounts = Field(default_factory=RunCounts)
    own_runs: int = Field(
        default=0, description="Runs that Wildloop has made itself, to confirm and to evaluate."
    )
    tasks: TaskProgress = Field(default_factory=TaskProgress)
    sealed: SealedReport | None = Field(
        default=None, description="What the hold-out has said, once the session is over."
    )
    contract: SessionContract = Field(default_factory=SessionContract)
    decides: list[str] = Field(
        default_factory=list, description="The contract in words: what the session compares by."
    )
    best: BestResult | None = None
    baseline: BestResult | None = None
    gain: Comparison | None = Field(
        default=None, description="The best against the baseline; none where that is the best."
    )
    verdict: str = Field(default="", description="What is reached, in one short sentence.")
    headline: str = Field(default="", description="What the session has shown, in a sentence.")
    unmeasured: str = Field(
        default="", description="Why no run has a value of the metric, and the mend; else empty."
    )
    target: str | None = Field(default=None, description="Whether the goal's number is reached.")
    candidates: list[str] = Field(
        default_factory=list, description="What looks better, and what would decide."
    )
    history: list[IterationRecord] = Field(
        default_factory=list,
        description="The last calls of the agent, with long texts cut; all and whole if asked for.",
    )
    calls: int = Field(default=0, description="How many calls of the agent have ended.")
    breaches: int = Field(default=0, description="How often the rules of the house were broken.")
    last_breach: str = ""
    budget: Budget = Field(default_factory=Budget)
    spent: Spending = Field(default_factory=Spending)
    usage: Usage = Field(default_factory=Usage, description="Tokens of all agent calls.")
    report_path: str | None = None
    ui_url: str | None = None
    keep: KeepMode = "all"
    keep_alpha: float = 0.05
    isolation: Isolation = "none"


class SessionActivity(BaseModel):
    """A part of what a session's agent has done, one short line each."""

    session_id: str
    content: str
    offset: int = Field(description="Byte at which `content` begins.")
    next_offset: int = Field(description="Byte to go on from.")
    size: int
    eof: bool = Field(description="The session has ended, and this is all.")


class SessionCommand(Body):
    """Body of `POST /wild/v2/stop|pause|resume`. Without an id: the one active session."""

    chat_session_id: str | None = None
    session_id: str | None = None
    runs: Literal["keep", "stop"] = Field(
        default="keep",
        description="On stop: `keep` lets running runs end and stops only queued and ready ones.",
    )


class SteerCommand(Body):
    """Body of `POST /wild/v2/steer`."""

    context: str = Field(min_length=1, pattern=r"\S", description="What the agent is to know.")
    chat_session_id: str | None = None
    session_id: str | None = None


class SessionEvent(BaseModel):
    """Something a session's agent should know of: a run's end, an alert, a steer."""

    id: str
    type: Literal["run_finished", "run_failed", "run_stopped", "alert", "steer"]
    title: str
    detail: str = ""
    run_id: str | None = None
    created_at: float
    resolved: bool = False


class ResolveEvents(Body):
    """Body of `POST /wild/v2/events/{session_id}/resolve`."""

    event_ids: list[str] = Field(min_length=1)
