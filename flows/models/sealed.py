"""What the hold-out has said of a session's baseline and best, as far as it is released."""

from pydantic import BaseModel, Field

from wildloop.flows.models.evidence import Estimate


class SealedValue(BaseModel):
    """One confirmed configuration on sealed data."""

    configuration: str
    label: str
    role: str = Field(description="baseline or best.")
    validation: Estimate
    value: float | None = Field(
        default=None, description="On sealed data; None: not released, as it is not better."
    )
    half_width: float | None = Field(default=None, description="Of the 95 % interval.")
    runs: int = Field(default=0, description="How many runs of it were evaluated.")
    note: str = ""

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        """The 95 % interval of its mean."""
        if self.value is None or self.half_width is None:
            return None, None
        return self.value - self.half_width, self.value + self.half_width

    @property
    def text(self) -> str:
        """`0.81, 95 % interval 0.79 to 0.83`, or why there is none."""
        if self.value is None:
            return self.note or "not released"
        return f"{self.value:.6g}{interval(*self.bounds)}"


class SealedReport(BaseModel):
    """The end of a session with a hold-out."""

    values: list[SealedValue] = Field(default_factory=list)
    asked: int = Field(default=0, description="How often the hold-out was asked, by all sessions.")
    fault: str = Field(
        default="", description="Why the values are not sealed: who could have read the data."
    )

    @property
    def is_sealed(self) -> bool:
        """Whether neither the agent nor runs could read the data."""
        return not self.fault

    def lines(self, metric: str) -> list[str]:
        """In words, a line each."""
        word = "sealed" if self.is_sealed else "hold-out, not sealed"
        found = [
            f"{word} {metric} of the {one.role} ({one.label}): {one.text}"
            f"; validation {one.validation.text}"
            f"{interval(one.validation.low, one.validation.high)}{difference(one)}"
            for one in self.values
        ]
        if self.fault:
            found.append(f"'sealed' is not claimed: {self.fault}")
        if self.values:
            found.append(
                f"the hold-out was asked {self.asked} times in all; the Ladder releases only what "
                "is better than all before by more than its standard error"
            )
        return found


def difference(one: SealedValue) -> str:
    """How far the sealed value lies from the validation value."""
    if one.value is None or one.validation.mean is None:
        return ""
    return f", difference {one.value - one.validation.mean:+.4g}"


def interval(low: float | None, high: float | None) -> str:
    """The interval of a mean, to stand behind it; empty where there is none."""
    return "" if low is None or high is None else f", 95 % interval {low:.4g} to {high:.4g}"
