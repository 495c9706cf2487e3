"""wildloop.toml: what a project tells Wildloop about itself."""

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from wildloop.blocks.agents.entry import AgentEntry
from wildloop.flows.errors import InvalidRequest
from wildloop.flows.models.alert import AlertKind
from wildloop.flows.models.compute import ComputeWish
from wildloop.flows.models.guard import parse_guard

FILE = "wildloop.toml"
SHOWN_ERRORS = 10
BUILT_IN = ("baseline", "claude", "codex", "opencode", "openai", "command")
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


def _pattern(value: str) -> str:
    try:
        compiled = re.compile(value)
    except re.error as error:
        raise ValueError(f"is no regular expression ({error}): mend it") from error
    if not compiled.groups:
        raise ValueError("has no group: put the number into one, as in 'score is ([0-9.]+)'")
    return value


def _guard(value: str) -> str:
    return parse_guard(value).text


def _agent_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z][\w-]*", value) or value in BUILT_IN:
        raise ValueError(
            f"'{value}' cannot be an agent's name: use letters, digits and -, and none of "
            f"{', '.join(BUILT_IN)}"
        )
    return value


Text = Annotated[str, AfterValidator(_text)]
Pattern = Annotated[str, AfterValidator(_pattern)]
ProjectPath = Annotated[Text, AfterValidator(_inside)]


class ProjectSection(BaseModel):
    """[project]"""

    model_config = ConfigDict(extra="forbid")

    name: Text | None = None
    goal: Text | None = Field(
        default=None, description="What research here is after, where a session is given no goal."
    )
    setup: list[Text] = Field(
        default_factory=list, description="Shell commands run at preflight, in the project."
    )
    protected: list[ProjectPath] = Field(
        default_factory=list,
        description="Files and patterns that an agent must not edit, relative to the project.",
    )
    not_code: list[ProjectPath] = Field(
        default_factory=list,
        description="Files and patterns that cannot change what a run measures, such as outputs "
        "that runs leave in the project.",
    )


class MetricConfig(BaseModel):
    """[metric]: the primary metric."""

    model_config = ConfigDict(extra="forbid")

    name: Text = Field(
        description="As it is logged; `val_acc`, `val/accuracy`, `Validation accuracy` are one."
    )
    direction: Literal["max", "min"] = Field(default="max", description="Which way is better.")
    target: float | None = Field(
        default=None, allow_inf_nan=False, description="The value that the user wants to reach."
    )
    pattern: Pattern | None = Field(
        default=None,
        description="Where the log says it, if no reader does: a regular expression with the value "
        "in a group `value` or else its first; a group `step` or `epoch` tells where it stands.",
    )
    guards: list[Annotated[Text, AfterValidator(_guard)]] = Field(
        default_factory=list,
        description="Bounds on other metrics that a change must keep, as 'latency_ms at most 20'.",
    )


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


class ChecksConfig(BaseModel):
    """[checks]: what a change that won must pass before it is kept."""

    model_config = ConfigDict(extra="forbid")

    commands: list[Text] = Field(
        default_factory=list,
        description="Shell commands, run by Wildloop in the project: tests, types, lint.",
    )
    timeout_seconds: float = Field(default=600.0, gt=0, description="For each of them.")


class GitConfig(BaseModel):
    """[git]: how an iteration's change is committed."""

    model_config = ConfigDict(extra="forbid")

    hooks: bool = Field(
        default=False,
        description="Run the repository's hooks when an iteration's change is committed.",
    )


class EvaluateConfig(BaseModel):
    """[evaluate]: the command that gives a run's value, run by Wildloop on the run's outputs."""

    model_config = ConfigDict(extra="forbid")

    command: Text = Field(
        description="Shell command, run on the files that the session began with. A run's outputs "
        "lie in $WILDLOOP_EVALUATED_RUN_DIR; it prints `NAME: value`, or writes metrics.jsonl into "
        "$WILDLOOP_RUN_DIR."
    )
    timeout_seconds: float = Field(default=1800.0, gt=0)
    gpus: int = Field(default=0, ge=0, description="Slots of the GPU limit that it takes.")


class HoldoutConfig(BaseModel):
    """[holdout]: the command that gives the sealed value of what is confirmed."""

    model_config = ConfigDict(extra="forbid")

    command: Text = Field(
        description="As [evaluate] command; the sealed data lie in $WILDLOOP_SEALED_DIR."
    )
    timeout_seconds: float = Field(default=1800.0, gt=0)


class ConfirmConfig(BaseModel):
    """[confirm]: runs that Wildloop makes itself, on seeds that it chooses."""

    model_config = ConfigDict(extra="forbid")

    seeds: int = Field(
        default=7, ge=0, le=100, description="Fresh seeds of a candidate; 0: none is confirmed."
    )
    share: float = Field(
        default=1.0,
        ge=0,
        le=10,
        description="So many runs more than the agent's, as a share of these; one candidate is "
        "always confirmed.",
    )
    further: int = Field(
        default=5,
        ge=0,
        le=100,
        description="Seeds of the best and of the baseline at the end of a session, beside those "
        "that decided: they decide nothing, so the gain by them is neither lucky nor unlucky. As "
        "many as half an hour has room for, two at least; 0: none.",
    )


class HooksConfig(BaseModel):
    """[hooks]: the user's own commands, which get the position as JSON on their standard input."""

    model_config = ConfigDict(extra="forbid")

    before_iteration: Text | None = Field(
        default=None,
        description="Shell command before each call of an iteration; what it prints (2 kB) stands "
        "in the call's prompt.",
    )
    after_iteration: Text | None = Field(
        default=None, description="The same after the call, for the next prompt."
    )
    timeout_seconds: float = Field(default=60.0, gt=0, le=3600)


class IsolationConfig(BaseModel):
    """[isolation]: of runs that execute a snapshot of the code."""

    model_config = ConfigDict(extra="forbid")

    link: list[ProjectPath] = Field(
        default_factory=lambda: list(LINKED),
        description="Files and folders outside git that a snapshot gets as symbolic links.",
    )


class ComputeConfig(ComputeWish):
    """[compute]: where runs go that do not say it."""


class ReferencesConfig(BaseModel):
    """[references]: what is to be read before planning; relative to the project, or absolute."""

    model_config = ConfigDict(extra="forbid")

    papers: list[Text] = Field(default_factory=list, description="Files or folders of papers.")
    notes: list[Text] = Field(default_factory=list, description="Files or folders of notes.")
    urls: dict[Text, Text] = Field(
        default_factory=dict, description="Of a page or a paper: the file that holds it here."
    )

    def missing(self, workdir: Path) -> list[str]:
        """Those that are not there, as wildloop.toml names them."""
        named = [*self.papers, *self.notes, *self.urls.values()]
        return [one for one in dict.fromkeys(named) if not (workdir / _home(one)).exists()]


def _home(path: str) -> Path:
    return Path(path).expanduser()


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
    agents: dict[Annotated[str, AfterValidator(_agent_name)], AgentEntry] = Field(
        default_factory=dict, description="Commands that are agents: `--agent NAME`."
    )
    keep: KeepConfig = Field(default_factory=KeepConfig)
    isolation: IsolationConfig = Field(default_factory=IsolationConfig)
    git: GitConfig = Field(default_factory=GitConfig)
    checks: ChecksConfig = Field(default_factory=ChecksConfig)
    hooks: HooksConfig = Field(default_factory=HooksConfig)
    evaluate: EvaluateConfig | None = None
    holdout: HoldoutConfig | None = None
    confirm: ConfirmConfig = Field(default_factory=ConfirmConfig)
    references: ReferencesConfig = Field(default_factory=ReferencesConfig)
    compute: ComputeConfig = Field(default_factory=ComputeConfig)
    protected: list[ProjectPath] = Field(
        default_factory=list, description="The same as [project] protected, above all tables."
    )

    @property
    def protected_patterns(self) -> list[str]:
        """What an agent must not edit, wherever the file says so."""
        return list(dict.fromkeys([*self.protected, *self.project.protected]))


TABLES: dict[str, type[BaseModel]] = {
    "": ProjectConfig,
    "project": ProjectSection,
    "metric": MetricConfig,
    "alerts": AlertsConfig,
    "agent": AgentConfig,
    "agents": AgentEntry,
    "keep": KeepConfig,
    "isolation": IsolationConfig,
    "git": GitConfig,
    "checks": ChecksConfig,
    "hooks": HooksConfig,
    "evaluate": EvaluateConfig,
    "holdout": HoldoutConfig,
    "confirm": ConfirmConfig,
    "references": ReferencesConfig,
    "compute": ComputeConfig,
}
"""The tables by name; the built-in agent's own are not among them."""


def missing_references(config: ProjectConfig, workdir: Path) -> str | None:
    """What [references] names and is not there, with the mend; None where all of it is."""
    found = config.references.missing(workdir)
    if not found:
        return None
    names = ", ".join(f"'{one}'" for one in found[:SHOWN_ERRORS])
    return f"[references] names what is not there: {names}: put it there, or take the line out"


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
        known = ", ".join(TABLES[table].model_fields) if table in TABLES else ""
        word = "key" if table else "table"
        return f"{_name(place)} is no known {word}: use one of {known}, or remove it"
    if error["type"] == "missing":
        return f"{_name(place)} is missing: give it"
    return f"{_name(place)}: {error['msg'].removeprefix('Value error, ')}"


def _name(place: Sequence[int | str]) -> str:
    """[table] key, as a reader of the file looks for it."""
    table, *keys = place
    return " ".join([f"[{table}]", ".".join(str(key) for key in keys)]).strip()
