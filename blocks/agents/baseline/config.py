"""What the agent reads: wildloop.toml and its environment."""

import os
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator


class ConfigError(Exception):
    """wildloop.toml does not say what is needed; the text has the mend."""


class Dimension(BaseModel):
    """One searched parameter: a list of values, or a range."""

    model_config = ConfigDict(extra="forbid")

    values: list[Any] | None = None
    low: float | None = None
    high: float | None = None
    log: bool = False
    int: bool = False

    @model_validator(mode="after")
    def _values_or_range(self) -> "Dimension":
        if self.values:
            return self
        if self.low is None or self.high is None:
            raise ValueError("give either values = [...] or low and high")
        if not self.low < self.high:
            raise ValueError("low must be below high")
        if self.log and self.low <= 0:
            raise ValueError("a logarithmic range needs low above 0")
        return self


class Metric(BaseModel):
    """[metric]"""

    name: str
    direction: Literal["max", "min"] = "max"


class Train(BaseModel):
    """[train]"""

    command: str = Field(min_length=1)
    workdir: str | None = None
    timeout_seconds: float = Field(default=3600.0, gt=0)


class BudgetTable(BaseModel):
    """[budget]: runs in all, and seeds for the baseline and for the best."""

    model_config = ConfigDict(extra="allow")

    runs: int = Field(default=20, ge=8)
    seeds: int = Field(default=3, ge=1)


class ProjectFile(BaseModel):
    """The tables of wildloop.toml that the agent needs."""

    train: Train
    metric: Metric
    search: dict[str, Dimension] = Field(min_length=1)
    baseline: dict[str, Any] = Field(default_factory=dict)
    budget: BudgetTable = Field(default_factory=BudgetTable)

    @model_validator(mode="after")
    def _baseline_is_complete(self) -> "ProjectFile":
        missing = [name for name in self.search if name not in self.baseline]
        if missing:
            raise ValueError(f"[baseline] has no value for {', '.join(missing)}")
        return self


class Surroundings(BaseModel):
    """Where the agent is, told by its environment."""

    phase: Literal["planning", "iteration", "reflection"]
    session_id: str
    server_url: str
    token: str | None
    tasks_path: Path
    session_dir: Path
    project: Path

    @property
    def experiments(self) -> Path:
        """Folder of the deliverables."""
        if (self.project / "exp").is_dir():
            return self.project / "exp"
        return self.project / ".wild" / "experiments" / self.session_id


def read_surroundings() -> Surroundings:
    """Read the environment.

    Raises:
        ConfigError: a variable is missing.
    """
    try:
        return Surroundings.model_validate(
            {
                "phase": os.environ["WILDLOOP_PHASE"],
                "session_id": os.environ["WILDLOOP_SESSION_ID"],
                "server_url": os.environ["WILDLOOP_SERVER_URL"].rstrip("/"),
                "token": os.environ.get("WILDLOOP_AUTH_TOKEN") or None,
                "tasks_path": os.environ["WILDLOOP_TASKS_PATH"],
                "session_dir": os.environ["WILDLOOP_SESSION_DIR"],
                "project": Path.cwd(),
            }
        )
    except (KeyError, ValidationError) as error:
        raise ConfigError(
            f"not started by Wildloop: {error} (WILDLOOP_PHASE, WILDLOOP_SESSION_ID, "
            "WILDLOOP_SERVER_URL, WILDLOOP_TASKS_PATH and WILDLOOP_SESSION_DIR are needed)"
        ) from error


def read_project(folder: Path) -> ProjectFile:
    """Read wildloop.toml.

    Raises:
        ConfigError: it is missing or broken.
    """
    path = folder / "wildloop.toml"
    try:
        return ProjectFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path} is missing: it must have [train] command, [metric] name, [search] and "
            "[baseline]"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigError(f"{path}: {place}: {first['msg']}") from error


def runnable(command: str) -> str:
    """The command, with this interpreter where there is no `python` on PATH."""
    first, space, rest = command.partition(" ")
    if first == "python" and shutil.which("python") is None:
        return f"{sys.executable}{space}{rest}"
    return command
