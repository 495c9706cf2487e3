"""The evolutionary sweep: what is asked for, and its trials."""

import json
import math
import re
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    field_validator,
    model_validator,
)

from wildloop.flows.models.compute import check_wish
from wildloop.flows.text.storable import UNUSABLE, usable_text

BUDGET_LIMIT = 10_000
VALUES_LIMIT = 1_000
_FLAG = re.compile(r"[A-Za-z_][\w./-]{0,99}", re.ASCII)
_DIRECTIONS = {"maximize": "max", "maximise": "max", "minimize": "min", "minimise": "min"}


def _finite(value: JsonValue) -> JsonValue:
    """JSON has no NaN and no infinity, and integers beyond 64 bits fit no database."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must be finite")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("must fit 64 bits")
    if isinstance(value, str) and UNUSABLE.search(value):
        raise ValueError("must not contain a NUL or half a character")
    if isinstance(value, list | dict):
        for one in value.values() if isinstance(value, dict) else value:
            _finite(one)
    return value


Text = Annotated[str, AfterValidator(usable_text)]
Value = Annotated[JsonValue, AfterValidator(_finite)]


def key_of(value: JsonValue) -> str:
    """A text that is equal for equal JSON values; unlike `==` it tells 1, 1.0 and true apart."""
    return json.dumps(value, sort_keys=True)


class Choice(BaseModel):
    """A dimension that takes one of some values, of any JSON type, in no order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    values: list[Value] = Field(min_length=1, max_length=VALUES_LIMIT)

    @field_validator("values")
    @classmethod
    def _distinct(cls, values: list[JsonValue]) -> list[JsonValue]:
        return list({key_of(value): value for value in values}.values())


class Range(BaseModel):
    """A dimension of numbers from `low` to `high`, both included."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: float = Field(strict=True, allow_inf_nan=False)
    high: float = Field(strict=True, allow_inf_nan=False)
    log: bool = Field(default=False, strict=True, description="Search the logarithm.")
    int: bool = Field(default=False, strict=True, description="Whole numbers only.")

    @model_validator(mode="after")
    def _consistent(self) -> "Range":
        if not self.low < self.high:
            raise ValueError("low must be below high; for one fixed value give [value]")
        if not math.isfinite(self.high - self.low):
            raise ValueError("high - low must be finite: narrow the range")
        if self.log and self.low <= 0:
            raise ValueError("log needs low above 0: raise low or leave log out")
        if self.int and not (self.low.is_integer() and self.high.is_integer()):
            raise ValueError("int needs whole numbers as low and high")
        if self.int and max(-self.low, self.high) > 2**53:
            raise ValueError("int needs low and high within 2**53")
        return self


def _dimension(value: Any) -> Any:
    """The forms of a dimension: [values], {values: [...]}, {low, high, log?, int?}, one value."""
    if isinstance(value, Choice | Range):
        return value
    if isinstance(value, list):
        return Choice(values=value)
    if isinstance(value, dict) and "values" in value:
        return Choice.model_validate(value)
    if isinstance(value, dict) and ("low" in value or "high" in value):
        return Range.model_validate(value)
    if isinstance(value, dict) or value is None:
        raise ValueError("takes [value, ...] or {low, high, log?, int?}")
    return Choice(values=[value])


Dimension = Annotated[Choice | Range, BeforeValidator(_dimension)]


def _flags(space: dict[str, Any]) -> dict[str, Any]:
    """Names as flags are written: `--lr` and `lr` mean the same."""
    found: dict[str, Any] = {}
    for given, value in space.items():
        name = given.lstrip("-")
        if not _FLAG.fullmatch(name):
            raise ValueError(
                f"'{given[:50]}' cannot be the name of a flag: use letters, digits, - and _"
            )
        if name in found:
            raise ValueError(f"'{name}' is there twice: keep one")
        found[name] = value
    return found


def _flag_names(value: Any) -> Any:
    return _flags({str(key): one for key, one in value.items()}) if type(value) is dict else value


class SamplerKind(StrEnum):
    """How candidates are chosen."""

    EVO = "evo"
    TPE = "tpe"
    CMAES = "cmaes"
    RANDOM = "random"


class PrunerKind(StrEnum):
    """How a hopeless trial is told early, by its metric so far."""

    NONE = "none"
    MEDIAN = "median"
    HALVING = "halving"


class EvoSweepSpec(BaseModel):
    """An evolutionary sweep, as an agent or a user asks for it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    target_script: Text = Field(
        description="Script that takes the parameters as --key=value, with an interpreter or "
        "arguments before them if need be."
    )
    fitness_metric: Text = Field(description="Metric that the script records; its last value.")
    fitness_direction: Literal["max", "min"] = "max"
    search_space: Annotated[dict[str, Dimension], BeforeValidator(_flag_names)] = Field(
        min_length=1, max_length=100, description="Dimension by flag."
    )
    population_size: int = Field(default=4, ge=1, le=1000, strict=True)
    generations: int = Field(default=3, ge=1, le=1000, strict=True)
    top_k: int = Field(
        default=2, ge=1, le=1000, strict=True, description="How many of the best become parents."
    )
    mutation_strength: float = Field(
        default=0.3,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Standard deviation of a mutation, as a share of the range; a choice is "
        "drawn anew with this probability.",
    )
    timeout_per_run: float = Field(
        default=600, gt=0, allow_inf_nan=False, description="Seconds until a run is ended."
    )
    sweep_name: Annotated[Text, Field(max_length=200)] | None = None
    workdir: Text | None = Field(default=None, description="Default: the project's root.")
    sampler: SamplerKind = SamplerKind.EVO
    pruner: PrunerKind = PrunerKind.NONE
    defaults: Annotated[dict[str, Value], BeforeValidator(_flag_names)] = Field(
        default_factory=dict, description="Configuration to try first, by flag; may be partial."
    )
    gpus: int = Field(default=1, ge=0, le=1024, strict=True, description="GPUs of each run.")
    compute: Annotated[Text, Field(min_length=1, max_length=200)] | None = Field(
        default=None, description="The compute of each run."
    )
    gpu_type: Annotated[Text, Field(max_length=100, pattern=r"[A-Za-z0-9]")] | None = None
    gpu_memory_gb: float | None = Field(default=None, gt=0, le=10_000, allow_inf_nan=False)

    @field_validator("fitness_direction", mode="before")
    @classmethod
    def _short_direction(cls, value: Any) -> Any:
        return _DIRECTIONS.get(value.strip().lower(), value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _consistent(self) -> "EvoSweepSpec":
        check_wish(self)
        if self.budget > BUDGET_LIMIT:
            raise ValueError(
                f"population_size x generations is {self.budget}: at most {BUDGET_LIMIT} trials"
            )
        if self.sampler is SamplerKind.CMAES and self.population_size < 4:
            raise ValueError("sampler cmaes needs a population_size of 4 or more")
        if self.sampler is SamplerKind.CMAES and len(self.search_space) < 2:
            raise ValueError("sampler cmaes needs two dimensions or more: use evo or tpe")
        for name, value in self.defaults.items():
            if name not in self.search_space:
                raise ValueError(f"defaults has '{name}', which search_space has not")
            if not contains(self.search_space[name], value):
                raise ValueError(
                    f"defaults has {key_of(value)[:50]} for '{name}', which is outside its "
                    "dimension: widen the dimension or leave the default out"
                )
        return self

    @property
    def budget(self) -> int:
        """Trials in all, failed ones included."""
        return self.population_size * self.generations

    @property
    def name(self) -> str:
        """The sweep's name."""
        return self.sweep_name or f"evo sweep of {self.target_script}"[:200]


def contains(dimension: Choice | Range, value: JsonValue) -> bool:
    """Whether `value` is one of the dimension's."""
    if isinstance(dimension, Choice):
        return key_of(value) in {key_of(one) for one in dimension.values}
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if dimension.int and not float(value).is_integer():
        return False
    return dimension.low <= value <= dimension.high


class TrialStatus(StrEnum):
    """Status of a trial."""

    ASKED = "asked"
    FINISHED = "finished"
    PRUNED = "pruned"
    FAILED = "failed"

    @property
    def is_terminal(self) -> bool:
        """Whether the trial has its one outcome."""
        return self is not TrialStatus.ASKED


class Trial(BaseModel):
    """One candidate and what came of it: the record from which a sweep resumes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int = Field(ge=0, description="From 0 on, in the order they were asked for.")
    generation: int = Field(ge=0)
    parameters: dict[str, JsonValue]
    status: TrialStatus = TrialStatus.ASKED
    value: float | None = Field(
        default=None, allow_inf_nan=False, description="Fitness; where pruned, the last one seen."
    )
    error: str | None = Field(default=None, description="Why it failed.")
    run_id: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "Trial":
        if self.status is TrialStatus.FINISHED and self.value is None:
            raise ValueError(f"trial {self.number} is finished and has no value")
        return self


class Failure(BaseModel):
    """The outcome of a trial without a value."""

    model_config = ConfigDict(frozen=True)

    reason: str


class EvoSweepState(BaseModel):
    """A sweep's state, complete: `spec`, `seed` and `trials` are all that a restart needs."""

    spec: EvoSweepSpec
    seed: int
    trials: list[Trial] = Field(default_factory=list)
    best: Trial | None = None
    generation: int = Field(default=0, description="That of the newest trial, from 0 on.")
    exhausted: bool = Field(default=False, description="The space has no further candidate.")
    done: bool = False
