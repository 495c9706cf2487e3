"""The durable position of a session: its agent calls and where it stands."""

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, Field

from blocks.agents.prices import Usage
from flows.models.change import Change
from flows.models.keep import KeepState
from flows.models.spending import CallSoFar, Closing


class Phase(StrEnum):
    """What a session is doing."""

    STARTING = "starting"
    PREFLIGHT = "preflight"
    PLANNING = "planning"
    ITERATION = "iteration"
    WAITING = "waiting"
    REFLECTION = "reflection"
    REPORT = "report"
    ENDED = "ended"


class IterationRecord(BaseModel):
    """One agent call of a session and what came of it. Times are Unix seconds."""

    index: int = Field(description="0 for planning, then 1..N; a reflection carries the last.")
    turn: int = Field(default=1, description="2, 3... after each WAITING within one iteration.")
    kind: Literal["planning", "iteration", "reflection"] = "iteration"
    started_at: float
    finished_at: float | None = None
    summary: str = ""
    promise: Literal["DONE", "WAITING"] | None = None
    faults: list[str] = Field(default_factory=list, description="Told to the agent next time.")
    breaches: list[str] = Field(
        default_factory=list, description="Of the faults, those against the rules of the house."
    )
    failed: bool = Field(default=False, description="Counts towards three failures in a row.")
    error: str | None = None
    exit_reason: str = ""
    run_ids: list[str] = Field(default_factory=list, description="Runs created meanwhile.")
    files_changed: int = 0
    commit: str | None = None
    flags: list[str] = Field(
        default_factory=list, description="Edits of seeds, evaluation or data in its commit."
    )
    tasks_closed: int = Field(default=0, description="Tasks done or cancelled meanwhile.")
    run_errors: list[str] = Field(
        default_factory=list, description="Why runs failed since the call before, each cause once."
    )
    active_runs: int = Field(default=0, description="Runs that waited or ran at its end.")
    change: Change | None = Field(default=None, description="What its agent says it changed.")
    taken_back_at: float | None = Field(
        default=None, description="When keep or discard took its change back."
    )
    signs: list[str] = Field(
        default_factory=list, description="Signs of struggle at its end that count."
    )
    tag: str | None = Field(default=None, description="Git tag of its commit.")
    why: str = Field(default="", description="What led to a reflection.")
    reflection: str = Field(default="", description="A reflection's reasons.")
    continue_session: bool | None = Field(default=None, description="A reflection's decision.")
    steered: list[str] = Field(default_factory=list)
    usage: Usage | None = Field(default=None, description="Tokens, where the agent tells them.")
    cost_usd: float | None = None
    cost_is_estimate: bool = Field(default=False, description="By list prices.")
    num_turns: int | None = Field(default=None, description="Answers of the model.")
    held_seconds: float = Field(
        default=0.0, description="Waited before it for a rate limit or the network."
    )
    transcript: str | None = None
    events: str | None = Field(default=None, description="File of the agent's events, JSON Lines.")
    flow_run_id: str | None = None

    @property
    def label(self) -> str:
        """`planning`, `planning.2`, `iteration-03`, `iteration-03.2`, `reflection-05`."""
        turn = f".{self.turn}" if self.turn > 1 else ""
        if self.kind == "planning":
            return f"planning{turn}"
        return f"{self.kind}-{self.index:02d}{turn}"


class SessionRecord(BaseModel):
    """The durable position of a session, kept as the metadata of its iteration-log artifact."""

    session_id: str
    phase: Phase = Phase.STARTING
    branch: str | None = None
    base_commit: str | None = None
    iterations: list[IterationRecord] = Field(default_factory=list)
    awaiting_turn: bool = Field(default=False, description="The last reply was WAITING.")
    done: bool = Field(default=False, description="A believed DONE; reflection comes next.")
    pending_runs: list[str] = Field(
        default_factory=list, description="Runs of an <experiments> block that are waited for."
    )
    reflected_gates: list[str] = Field(default_factory=list)
    in_progress: str | None = Field(default=None, description="Label of the call under way.")
    attempt: int = Field(default=1, description="Of the call under way, after interruptions.")
    call: CallSoFar | None = None
    note: str = Field(default="", description="What the session waits for, for people.")
    started_at: float | None = None
    paused_at: float | None = None
    paused_seconds: float = 0.0
    closing: Closing | None = None
    keep: KeepState = Field(default_factory=KeepState)
    ended_reason: str | None = None
    best_run_id: str | None = None
    report_path: str | None = None

    @property
    def last_index(self) -> int:
        """Number of the last iteration begun (0: only planning, or nothing)."""
        return max((it.index for it in self.iterations), default=0)

    @property
    def planned(self) -> bool:
        """Whether planning is over: a plan with faults is sent back once before it is."""
        calls = [it for it in self.iterations if it.kind == "planning"]
        is_to_be_sent_back = len(self.iterations) == 1 and bool(calls) and bool(calls[0].faults)
        return any(not it.failed for it in calls) and not is_to_be_sent_back

    @property
    def usage(self) -> Usage:
        """Tokens of all calls."""
        return sum((it.usage for it in self.iterations if it.usage), Usage())

    @property
    def cost_usd(self) -> float | None:
        """Cost of all calls; None if no call has told one."""
        costs = [it.cost_usd for it in self.iterations if it.cost_usd is not None]
        return sum(costs) if costs else None

    @property
    def cost_is_estimate(self) -> bool:
        """Whether any part of the cost is by list prices."""
        return any(it.cost_is_estimate for it in self.iterations)
