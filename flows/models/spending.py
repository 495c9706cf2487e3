"""What a session has used, the call that it is at, and its end at a limit."""

from pydantic import BaseModel, Field

from wildloop.blocks.agents.prices import Usage


class CallSoFar(BaseModel):
    """The call under way: when its present attempt began, and what the earlier ones have taken.

    An attempt that a rate limit or the network has ended is followed by another, after
    `resume_at`. Times are Unix seconds.
    """

    began_at: float
    usage: Usage | None = None
    cost_usd: float | None = None
    cost_is_estimate: bool = False
    num_turns: int = 0
    holds: int = 0
    held_seconds: float = 0.0
    resume_at: float | None = None
    counted: int = Field(default=0, description="The last attempt whose usage is in the sums.")
    has_begun: bool = Field(default=False, description="An earlier attempt had got somewhere.")


class Closing(BaseModel):
    """A session at its limit: what comes now is its end. Times are Unix seconds."""

    name: str = Field(description="hours, cost_usd, gpu_hours, runs or max_iterations.")
    reason: str
    at: float
    reflect_by: float | None = Field(default=None, description="The last call ends then.")


class Spending(BaseModel):
    """What a session has used, by the names of its budget."""

    hours: float = 0.0
    cost_usd: float = 0.0
    cost_is_estimate: bool = False
    gpu_hours: float = Field(
        default=0.0, description="Slot-hours: slots times run time, with or without a GPU."
    )
    core_hours: float = Field(
        default=0.0, description="CPU time of the runs without a GPU; while they run, one core."
    )
    runs: int = 0
