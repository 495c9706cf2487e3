"""What the agent reads: wildloop.toml and its environment."""

import math
import os
import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

FILE = "wildloop.toml"
FEWEST_RUNS = 8
SHOWN_ERRORS = 5
VARIABLES = {
    "phase": "WILDLOOP_PHASE",
    "session_id": "WILDLOOP_SESSION_ID",
    "server_url": "WILDLOOP_SERVER_URL",
    "tasks_path": "WILDLOOP_TASKS_PATH",
    "session_dir": "WILDLOOP_SESSION_DIR",
}
# The session's own bound, as the prompt's budget section states it.
_SESSION_RUNS = re.compile(r"^- runs: \d+ used of ([0-9.e+]+)\s*$", re.MULTILINE)


class ConfigError(Exception):
    """wildloop.toml or the environment does not say what is needed; the text has the mend."""


def _scalar(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must be finite")
    if not isinstance(value, bool | int | float | str):
        raise ValueError("must be a number, a text, true or false")
    return value


Scalar = Annotated[Any, AfterValidator(_scalar)]
Bound = Annotated[float, Field(allow_inf_nan=False)]


class Dimension(BaseModel):
    """One searched parameter: a list of values, or a range."""

    model_config = ConfigDict(extra="forbid")

    values: list[Scalar] | None = Field(default=None, description="The values to try; or a range.")
    low: Bound | None = None
    high: Bound | None = None
    log: bool = Field(default=False, description="Search the range by its logarithm.")
    int: bool = Field(default=False, description="Whole numbers only.")
    when: dict[str, list[Scalar]] = Field(
        default_factory=dict,
        description="It matters only where these parameters have one of these values: "
        "`when = {optimizer = ['sgd']}`.",
    )

    @model_validator(mode="after")
    def _values_or_range(self) -> "Dimension":
        if self.values is not None:
            if self.low is not None or self.high is not None:
                raise ValueError("give either values = [...] or low and high, not both")
            if not self.values or len(set(map(repr, self.values))) < len(self.values):
                raise ValueError("values must have at least one value, and none twice")
            return self
        if self.low is None or self.high is None:
            raise ValueError("give either values = [...] or low and high")
        if not self.low < self.high:
            raise ValueError("low must be below high")
        if self.log and self.low <= 0:
            raise ValueError("a logarithmic range needs low above 0")
        if self.int and not (self.low.is_integer() and self.high.is_integer()):
            raise ValueError("an integer range needs whole numbers for low and high")
        return self

    @property
    def range(self) -> tuple[float, float]:
        """(low, high) of a dimension that is a range."""
        assert self.low is not None and self.high is not None
        return self.low, self.high

    def has(self, value: Any) -> bool:
        """Whether `value` lies in this dimension."""
        if self.values is not None:
            return value in self.values
        low, high = self.range
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and low <= value <= high

    def text(self) -> str:
        """`0.001 to 1 (log)`"""
        if self.values is not None:
            return f"one of {', '.join(map(str, self.values))}"
        low, high = self.range
        kinds = [word for word, on in (("log", self.log), ("integer", self.int)) if on]
        return f"{low:g} to {high:g}" + (f" ({', '.join(kinds)})" if kinds else "")


class Metric(BaseModel):
    """[metric]"""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1)
    direction: Literal["max", "min"] = "max"
    target: float | None = None
    pattern: str | None = None

    def better_by(self, value: float, other: float) -> float:
        """How much better `value` is than `other`; above 0 is better in either direction."""
        return value - other if self.direction == "max" else other - value


class Train(BaseModel):
    """[train]: `workdir` is relative to the project; `gpus` is the slots that one run takes.

    `seed` names the parameter that takes the seed (default: `seed`); an empty one says that there
    is none. `style` is how parameters are given: `flags` (--name=value) or `hydra` (name=value).
    """

    model_config = ConfigDict(extra="forbid")

    command: str = Field(
        min_length=1, pattern=r"\S", description="What trains and reports the metric."
    )
    style: Literal["flags", "hydra"] = Field(
        default="flags", description="How it takes parameters: --name=value, or name=value."
    )
    seed: str | None = Field(
        default=None, description="The parameter for the seed, if not `seed`; '': it takes none."
    )
    workdir: str = Field(default=".", description="Where it runs, relative to the project.")
    timeout_seconds: float = Field(
        default=3600.0, gt=0, allow_inf_nan=False, description="Of one run."
    )
    gpus: int | None = Field(default=None, ge=0, description="Slots that one run takes.")

    def given(self, values: Mapping[str, Any], seed: int | None) -> list[str]:
        """Parameters and seed as the command takes them, quoted for a shell."""
        lead = "--" if self.style == "flags" else ""
        name = "seed" if self.seed is None else self.seed.lstrip("-")
        seeded = {name: seed} if name and seed is not None else {}
        return [shlex.quote(f"{lead}{key}={value}") for key, value in {**values, **seeded}.items()]


class BudgetTable(BaseModel):
    """[budget]: runs in all, seeds of baseline and best, those tried at once near the best."""

    model_config = ConfigDict(extra="allow")

    runs: int = Field(default=20, ge=FEWEST_RUNS, description="Of a session of `baseline`.")
    seeds: int = Field(
        default=3, ge=2, description="Of the baseline, and of each undone change at most."
    )
    parallel: int | None = Field(
        default=None, ge=1, description="Runs at once near the best; by default as slots are."
    )
    ablation: int = Field(
        default=0,
        ge=0,
        description="Runs kept back to undo the best's changes one by one (half of them while "
        "nothing is shown); else what is left over.",
    )


class ProjectFile(BaseModel):
    """The tables of wildloop.toml that the agent needs."""

    train: Train
    metric: Metric
    search: dict[str, Dimension] = Field(default_factory=dict)
    baseline: dict[str, Scalar] = Field(default_factory=dict)
    budget: BudgetTable = Field(default_factory=BudgetTable)

    @model_validator(mode="after")
    def _baseline_is_complete(self) -> "ProjectFile":
        missing = [name for name in self.search if name not in self.baseline]
        if missing:
            raise ValueError(f"[baseline] has no value for {', '.join(missing)}: add it")
        loose = {parent for one in self.search.values() for parent in one.when} - set(self.baseline)
        if loose:
            raise ValueError(f"`when` names {', '.join(sorted(loose))}, which [baseline] has not")
        if "seed" in self.baseline:
            raise ValueError("[search] and [baseline] take no `seed`: the agent sets --seed itself")
        return self

    def base(self) -> dict[str, Any]:
        """The baseline's values of the searched parameters."""
        return {name: self.baseline[name] for name in self.search}

    def plain(self, configuration: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration with what does not matter in it as in the baseline."""
        found = dict(configuration)
        # A parent that does not matter itself may have children: as often as there are levels.
        for _ in self.search:
            whole = self.baseline | found
            idle = [
                name
                for name, one in self.search.items()
                if name in found and not all(whole[p] in some for p, some in one.when.items())
            ]
            changed = {name: self.baseline[name] for name in idle}
            if all(found[name] == value for name, value in changed.items()):
                break
            found |= changed
        return found

    def bounded(self, prompt: str) -> "ProjectFile":
        """This file with the session's budget of runs, where the prompt states a lower one.

        Raises:
            ConfigError: the session's budget is too small for this agent.
        """
        found = _SESSION_RUNS.search(prompt)
        runs = int(float(found[1])) if found else self.budget.runs
        if runs < FEWEST_RUNS:
            raise ConfigError(
                f"the session's budget of {runs} runs is too small: the baseline agent needs at "
                f"least {FEWEST_RUNS} (baseline, search, confirmation, ablation)"
            )
        least = min(runs, self.budget.runs)
        return self.model_copy(update={"budget": self.budget.model_copy(update={"runs": least})})


class Surroundings(BaseModel):
    """Where the agent is, told by its environment."""

    phase: Literal["planning", "iteration", "reflection"]
    iteration: int = 0
    session_id: str = Field(min_length=1)
    server_url: str = Field(min_length=1)
    token: str | None
    tasks_path: Path
    session_dir: Path
    project: Path

    @property
    def experiments(self) -> Path:
        """Folder of the deliverables: this session's own, also where sessions share `exp`."""
        if (self.project / "exp").is_dir():
            return self.project / "exp" / self.session_id
        return self.project / ".wild" / "experiments" / self.session_id


def read_surroundings() -> Surroundings:
    """Read the environment.

    Raises:
        ConfigError: a variable is missing or not usable.
    """
    missing = [variable for variable in VARIABLES.values() if not os.environ.get(variable)]
    if missing:
        raise ConfigError(f"not started by Wildloop: {', '.join(missing)} not set")
    try:
        return Surroundings.model_validate(
            {name: os.environ[variable] for name, variable in VARIABLES.items()}
            | {
                "iteration": os.environ.get("WILDLOOP_ITERATION") or 0,
                "token": os.environ.get("WILDLOOP_AUTH_TOKEN") or None,
                "project": Path.cwd(),
            }
        )
    except ValidationError as error:
        raise ConfigError(f"not usable: {_told(error, 'WILDLOOP_')}") from error


def read_project(folder: Path) -> ProjectFile:
    """Read wildloop.toml.

    Raises:
        ConfigError: it is missing or broken.
    """
    path = folder / FILE
    try:
        return ProjectFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path} is missing: write one with [train] command, [metric] name, [search.NAME] and "
            "[baseline], as examples/digits has it"
        ) from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    except ValidationError as error:
        raise ConfigError(f"{path}: {_told(error)}") from error


def _told(error: ValidationError, prefix: str = "") -> str:
    return "; ".join(
        f"{prefix}{'.'.join(map(str, one['loc']))}: ".removeprefix(": ")
        + one["msg"].removeprefix("Value error, ")
        for one in error.errors()[:SHOWN_ERRORS]
    )


def runnable(command: str) -> str:
    """The command, with this interpreter where there is no `python` on PATH."""
    first, space, rest = command.strip().partition(" ")
    if first == "python" and shutil.which("python") is None:
        return f"{shlex.quote(sys.executable)}{space}{rest}"
    return command.strip()
