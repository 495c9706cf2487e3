"""The changes of a session as a tree: what each began with, and what became of it."""

from enum import StrEnum

from pydantic import BaseModel, Field

from wildloop.flows.models.evidence import Comparison, Direction, Estimate, Level
from wildloop.flows.models.session_options import Explore, KeepMode

ROOT = "start"
"""Id of the code that the session began with."""


class Outcome(StrEnum):
    """What became of a change."""

    ROOT = "start"
    KEPT = "kept"
    DISCARDED = "discarded"
    UNDECIDED = "undecided"
    CANDIDATE = "candidate"
    FAILED = "failed"


class TreeNode(BaseModel):
    """A change of code. Every number of the evidence is that of the account and the ledger."""

    id: str = Field(description="`iteration-03`; `start` for the code of the beginning.")
    iteration: int
    parent: str | None = Field(description="Id of the node whose code it began with.")
    kind: str = Field(default="", description="As its agent declares it, or `ablation`.")
    title: str = Field(default="", description="What was changed, in one line.")
    summary: str = ""
    commit: str | None = None
    base: str | None = Field(default=None, description="Commit of the parent: its diff is to that.")
    tag: str | None = None
    outcome: Outcome
    why: str = Field(default="", description="The reasons of the decision.")
    is_best: bool = Field(default=False, description="Its code is the best's.")
    is_here: bool = Field(default=False, description="The next iteration goes on from its code.")
    is_barred: bool = Field(
        default=False, description="Withdrawn or refused: only its name leads back to it."
    )
    configuration: str | None = Field(default=None, description="Id of what it is judged by.")
    value: Estimate | None = None
    level: Level | None = None
    gain: Comparison | None = Field(default=None, description="On `against`.")
    against: str = Field(default="", description="`the best of then` or `the baseline`.")
    run_ids: list[str] = Field(default_factory=list)
    calls: int = Field(default=0, description="Of the agent.")
    cost_usd: float | None = Field(default=None, description="Of these; None where none is told.")
    agent_seconds: float = 0.0
    run_seconds: float = Field(default=0.0, description="Of all its runs together.")


class TreeView(BaseModel):
    """Answer of `GET /wild/v2/tree/{session_id}`."""

    session_id: str
    keep: KeepMode
    explore: Explore
    metric: str | None
    direction: Direction
    headline: str = Field(description="What the session has shown.")
    nodes: list[TreeNode] = Field(description="A parent before what began with its code.")
