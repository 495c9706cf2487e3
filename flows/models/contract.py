"""The contract of a session: what it compares by, fixed before anything is measured."""

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, Field

from wildloop.flows.models.body import Body
from wildloop.flows.models.evidence import Direction
from wildloop.flows.models.run import Checkout


class ContractSource(StrEnum):
    """Who has said what a session compares by."""

    OPEN = "open"
    PROJECT = "wildloop.toml"
    PLAN = "plan"
    USER = "user"


class SessionContract(BaseModel):
    """What a session compares by. Only the user changes it once a run has been made."""

    source: ContractSource = Field(
        default=ContractSource.OPEN, description="Who has named the metric."
    )
    metric: str | None = Field(default=None, description="Of a run; None: nothing is compared.")
    direction: Direction = "max"
    target: float | None = Field(default=None, description="What the goal asks of the metric.")
    target_inclusive: bool = True
    train: str | None = Field(
        default=None, description="The project's command: what measures, without its parameters."
    )
    baseline: dict[str, Any] = Field(
        default_factory=dict, description="The parameters of the baseline."
    )
    seed_parameter: str | None = Field(
        default=None, description="The parameter that takes the seed, as `seed`."
    )
    evaluate: str | None = Field(
        default=None, description="What gives the value, run by Wildloop on a run's outputs."
    )
    holdout: str | None = Field(
        default=None, description="What gives the sealed value, on data that no run can read."
    )
    protected: list[str] = Field(
        default_factory=list, description="Patterns of the files that no run may change."
    )
    evaluate_gpus: int = Field(default=0, description="Slots of the GPU limit that it takes.")
    evaluate_seconds: float = Field(default=1800.0, description="It is ended after so long.")
    confirm_seeds: int = Field(
        default=0, description="Fresh seeds that Wildloop runs of what looks better."
    )
    confirm_share: float = Field(
        default=0.0, description="So many runs more than the agent's, as a share of these."
    )
    further_seeds: int = Field(
        default=0, description="Seeds of best and baseline at the end, which decide nothing."
    )
    guards: list[str] = Field(
        default_factory=list, description="Bounds on other metrics that a change must keep."
    )
    beginning: Checkout | None = Field(
        default=None, description="The files that the session began with."
    )
    baseline_code: str | None = Field(
        default=None, description="Digest of the files that the session began with."
    )
    number: int = Field(default=1, description="Of the comparison: the user may begin a new one.")
    fixed_at: float | None = Field(default=None, description="Unix seconds.")

    @property
    def may_confirm(self) -> bool:
        """Whether Wildloop runs again what looks better: the project's command on guarded files."""
        return self.confirm_seeds > 0 and self.may_verify

    @property
    def may_verify(self) -> bool:
        """Whether the user may have it run again: by the project's command, on guarded files."""
        return self.train is not None and bool(self.protected or self.evaluate)

    @property
    def needs_own_runs(self) -> bool:
        """Whether Wildloop makes any run of its own."""
        return self.may_confirm or self.evaluate is not None


class ContractChange(Body):
    """Body of `PUT /wild/v2/contract/{session_id}`: what is left out stays as it is."""

    metric: str | None = Field(default=None, min_length=1, max_length=200, pattern=r"\S")
    direction: Direction | None = None
    target: float | None = Field(default=None, allow_inf_nan=False)
    train: str | None = Field(default=None, min_length=1, pattern=r"\S")
    seed_parameter: str | None = Field(default=None, pattern=r"^[A-Za-z_][\w.-]*$")
    evaluate: str | None = Field(default=None, min_length=1, pattern=r"\S")
    holdout: str | None = Field(default=None, min_length=1, pattern=r"\S")
