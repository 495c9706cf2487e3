"""Confirming by hand: what is asked for, and what came of it."""

from pydantic import BaseModel, Field

from wildloop.flows.models.body import Body
from wildloop.flows.models.evidence import Comparison, Estimate, Level


class VerifyRequest(Body):
    """Body of `POST /wild/v2/verify`."""

    id: str = Field(min_length=1, pattern=r"\S", description="Of a session or of a run.")
    seeds: int | None = Field(
        default=None, ge=1, le=100, description="Fresh seeds (default: the project's)."
    )


class Verification(BaseModel):
    """The runs that were begun."""

    session_id: str
    configuration: str = Field(description="Its id in the evidence.")
    label: str
    run_ids: list[str]


class VerifiedSide(BaseModel):
    """What Wildloop's own runs of a configuration say."""

    level: Level
    estimate: Estimate
    comparison: Comparison | None = Field(default=None, description="With the baseline.")
    runs_left: int = Field(description="Of its and the baseline's, how many are not over.")
