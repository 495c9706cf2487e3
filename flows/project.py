"""wildloop.toml: what a project tells Wildloop about itself."""

import tomllib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from flows.errors import InvalidRequest
from flows.models.alert import AlertKind

FILE = "wildloop.toml"
SHOWN_ERRORS = 10
# What most projects keep out of git and need to run.
LINKED = (".venv", "venv", "data", "datasets")


def _text(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be blank")
    if "\x00" in value:
        raise ValueError("must not contain a NUL character")
    return value.strip()


def _inside(value: str) -> str:
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError("must be a path or pattern inside the project, as 'eval.py' or 'data/**'")
    return value


Text = Annotated[str, AfterValidator(_text)]
ProjectPath = Annotated[Text, AfterValidator(_inside)]


class ProjectSection(BaseModel):
    """[project]"""

    model_config = ConfigDict(extra="forbid")

    name: Text | None = None
    setup: list[Text] = Field(
        default_factory=list, description="Shell commands run at preflight, in the project."
    )
    protected: list[ProjectPath] = Field(
        default_factory=list,
        description="Files and patterns that an agent must not edit, relative to the project.",
    )


class MetricConfig(BaseModel):
    """[metric]: the primary metric."""

    model_config = ConfigDict(extra="forbid")

    name: Text
    direction: Literal["max", "min"] = "max"


class BudgetConfig(BaseModel):
    """[budget]: how many runs a session may take; the agent's own keys are accepted."""

    model_config = ConfigDict(extra="allow")

    runs: int | None = Field(default=None, ge=1, strict=True)


class AlertsConfig(BaseModel):
    """[alerts]: when Wildloop raises alerts by itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    silence_minutes: float = Field(
        default=10.0, gt=0, description="The shortest silence of a run that is told of."
    )
    silence_factor: float = Field(
        default=10.0, ge=1, description="And it is this many times the run's usual gap."
    )
    spike_factor: float = Field(
        default=15.0,
        ge=1,
        description="How many robust standard deviations above its running median a loss jumps.",
    )
    disk_free_percent: float = Field(
        default=5.0, ge=0, le=100, description="Free space that is too little, by share..."
    )
    disk_free_gb: float = Field(default=10.0, ge=0, description="...and by amount.")
    off: list[AlertKind] = Field(default_factory=list, description="Kinds that are not raised.")
    stop_on: list[AlertKind] = Field(
        default_factory=list, description="Kinds that stop the run at once, nobody asked."
    )


class AgentConfig(BaseModel):
    """[agent]: what an agent may touch in this project; see the sandbox of the agent blocks."""

    model_config = ConfigDict(extra="forbid")

    sandbox: bool | Literal["auto"] | None = Field(
        default=None, description="true: bubblewrap or no session; auto: where it works."
    )
    sandbox_network: bool = Field(default=True, description="false: it reaches nothing at all.")
    sandbox_writable: list[Text] = Field(default_factory=list)
    sandbox_hidden: list[Text] = Field(default_factory=list)


class KeepConfig(BaseModel):
    """[keep]: of sessions that keep only what is shown to be better."""

    model_config = ConfigDict(extra="forbid")

    spare: list[ProjectPath] = Field(
        default_factory=list,
        description="Files and folders that stay when a change is taken back, as 'exp' or 'notes'.",
    )


class IsolationConfig(BaseModel):
    """[isolation]: of runs that execute a snapshot of the code."""

    model_config = ConfigDict(extra="forbid")

    link: list[ProjectPath] = Field(
        default_factory=lambda: list(LINKED),
        description="Files and folders outside git that a snapshot gets as symbolic links.",
    )


class ProjectConfig(BaseModel):
    """wildloop.toml. The tables of the built-in agent are its own business."""

    model_config = ConfigDict(extra="forbid")

    project: ProjectSection = Field(default_factory=ProjectSection)
    metric: MetricConfig | None = None
    train: dict[str, Any] = Field(default_factory=dict)
    search: dict[str, Any] = Field(default_factory=dict)
    baseline: dict[str, Any] = Field(default_factory=dict)
    budget: BudgetConfig = Field(default_factory=BudgetConfig)
    alerts: AlertsConfig = Field(default_factory=AlertsConfig)
    agent: AgentConfig = Field(default_factory=AgentConfig)
    keep: KeepConfig = Field(default_factory=KeepConfig)
    isolation: IsolationConfig = Field(default_factory=IsolationConfig)
    protected: list[ProjectPath] = Field(
        default_factory=list, description="The same as [project] protected, above all tables."
    )

    @property
    def protected_patterns(self) -> list[str]:
        """What an agent must not edit, wherever the file says so."""
        return list(dict.fromkeys([*self.protected, *self.project.protected]))


_TABLES: dict[str, type[BaseModel]] = {
    "": ProjectConfig,
    "project": ProjectSection,
    "metric": MetricConfig,
    "alerts": AlertsConfig,
    "agent": AgentConfig,
    "keep": KeepConfig,
    "isolation": IsolationConfig,
}


def load_project(workdir: Path) -> ProjectConfig | None:
    """Read `<workdir>/wildloop.toml`; None if there is none.

    Raises:
        InvalidRequest: it is broken; the text names the file, the place and the mend.
    """
    path = workdir / FILE
    try:
        return ProjectConfig.model_validate(tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidRequest(
            f"{path} cannot be read ({error.strerror}): make it a readable file"
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{path} is not UTF-8 ({error.reason}): save it as UTF-8") from error
    except RecursionError as error:
        raise InvalidRequest(f"{path} is nested too deeply: flatten it") from error
    except tomllib.TOMLDecodeError as error:
        raise InvalidRequest(f"{path} is not valid TOML: {error}: mend that line") from error
    except ValidationError as error:
        said = "; ".join(_told(one) for one in error.errors()[:SHOWN_ERRORS])
        raise InvalidRequest(f"{path}: {said}") from error


def _told(error: ErrorDetails) -> str:
    """One fault with its place and its mend."""
    place = error["loc"]
    table = str(place[0]) if len(place) > 1 else ""
    if error["type"] == "extra_forbidden":
        known = ", ".join(_TABLES[table].model_fields) if table in _TABLES else ""
        word = "key" if table else "table"
        return f"{_name(place)} is no known {word}: use one of {known}, or remove it"
    if error["type"] == "missing":
        return f"{_name(place)} is missing: give it"
    return f"{_name(place)}: {error['msg'].removeprefix('Value error, ')}"


def _name(place: Sequence[int | str]) -> str:
    """[table] key, as a reader of the file looks for it."""
    table, *keys = place
    return " ".join([f"[{table}]", ".".join(str(key) for key in keys)]).strip()
