"""wildloop.toml: what a project tells Wildloop about itself."""

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flows.errors import InvalidRequest

FILE = "wildloop.toml"


class ProjectSection(BaseModel):
    """[project]"""

    model_config = ConfigDict(extra="forbid")

    name: str | None = None
    setup: list[str] = Field(default_factory=list, description="Shell commands run at preflight.")
    protected: list[str] = Field(default_factory=list, description="Files an agent must not edit.")


class MetricConfig(BaseModel):
    """[metric]: the primary metric."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1)
    direction: Literal["max", "min"] = "max"


class ProjectConfig(BaseModel):
    """wildloop.toml. The tables of the built-in agent are its own business."""

    model_config = ConfigDict(extra="forbid")

    project: ProjectSection = Field(default_factory=ProjectSection)
    metric: MetricConfig | None = None
    train: dict[str, Any] = Field(default_factory=dict)
    search: dict[str, Any] = Field(default_factory=dict)
    baseline: dict[str, Any] = Field(default_factory=dict)
    budget: dict[str, Any] = Field(default_factory=dict)


def load_project(workdir: Path) -> ProjectConfig | None:
    """Read `<workdir>/wildloop.toml`; None if there is none.

    Raises:
        InvalidRequest: it is broken; the text names the place and the mend.
    """
    path = workdir / FILE
    try:
        return ProjectConfig.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path} is not valid TOML: {error}; mend it") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidRequest(f"{path}: [{place}]: {first['msg']}; mend or remove it") from error
