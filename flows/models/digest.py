"""A digest: what the sessions of a night have come to."""

from pydantic import BaseModel, Field

from wildloop.flows.models.evidence import BestResult, Level
from wildloop.flows.models.run import RunCounts
from wildloop.flows.models.session import SessionStatus
from wildloop.flows.models.spending import Spending


class SessionDigest(BaseModel):
    """What one session has come to. Times are Unix seconds."""

    session_id: str
    goal: str
    workdir: str
    status: SessionStatus
    iteration: int
    max_iterations: int
    started_at: float | None = None
    finished_at: float | None = None
    verdict: str = Field(default="", description="What is reached, in one short sentence.")
    headline: str = Field(description="What it has shown, with the level of the evidence.")
    level: Level | None = Field(
        default=None, description="Of the evidence for the best; none where nothing is better."
    )
    target: str | None = None
    sealed: list[str] = Field(default_factory=list, description="What the hold-out has said.")
    best: BestResult | None = None
    baseline: BestResult | None = None
    runs: RunCounts = Field(default_factory=RunCounts)
    own_runs: int = Field(default=0, description="Made by Wildloop itself, to confirm.")
    spent: Spending = Field(default_factory=Spending)
    alerts: list[str] = Field(default_factory=list, description="Newest first, in short.")
    open_alerts: int = 0
    look_at: list[str] = Field(default_factory=list, description="What a person should look at.")
    branch: str | None = None
    ui_url: str | None = None


class Digest(BaseModel):
    """The sessions that were at work in a span of time, newest first."""

    since: float
    until: float
    title: str
    text: str = Field(description="As it is sent: Markdown.")
    sessions: list[SessionDigest] = Field(default_factory=list)
    other_alerts: list[str] = Field(
        default_factory=list, description="Of runs that belong to none of these sessions."
    )
