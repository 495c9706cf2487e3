"""The job variables of the work pool: what a deployment of a team's own flow may ask for."""

from pathlib import Path
from typing import Any

from prefect.workers.base import BaseJobConfiguration, BaseVariables, BaseWorkerResult
from pydantic import Field, field_validator

SLOTS = Field(
    default=0,
    ge=0,
    le=1024,
    title="GPU slots",
    description="For a flow of your own: how many slots of the GPU limit it holds while it runs. "
    "It waits until they are free, and finds the ids of its devices in CUDA_VISIBLE_DEVICES. "
    "Wildloop's runs say this by their parameter `gpus`.",
)
WORKING_DIR = Field(
    default=None,
    title="Working directory",
    description="For a flow of your own: the folder that its process begins in, before pull steps; "
    "by default an empty one that is removed afterwards. Wildloop's flows have their parameter "
    "`workdir`.",
)


class WildloopJobConfiguration(BaseJobConfiguration):
    """How a flow of a team's own is run. Wildloop's own run inside the worker and need none."""

    slots: int = SLOTS
    working_dir: Path | None = WORKING_DIR

    @field_validator("working_dir")
    @classmethod
    def _is_absolute(cls, value: Path | None) -> Path | None:
        if value is not None and not value.expanduser().is_absolute():
            raise ValueError(f"'{value}' is no absolute path, and a worker may run anywhere")
        return value.expanduser() if value is not None else None


class WildloopVariables(BaseVariables):
    """Variables of the work pool's base job template."""

    env: dict[str, str | None] = Field(
        default_factory=dict,
        title="Environment variables",
        description="For a flow of your own: variables of its process, beside those of the worker.",
    )
    slots: int = SLOTS
    working_dir: Path | None = WORKING_DIR


class WildloopWorkerResult(BaseWorkerResult):
    """Result of a flow run: always 0, since the flow run's state tells the outcome."""


def completed(template: dict[str, Any]) -> dict[str, Any] | None:
    """A pool's base job template with the variables that it lacks; None where it has them all.

    A pool may be older than they are. What people have set in it stays.
    """
    ours = {"slots", "working_dir"}
    there = template.get("variables", {}).get("properties", {})
    if ours <= set(there):
        return None
    schema = WildloopVariables.model_json_schema()["properties"]
    variables = {"type": "object"} | template.get("variables", {})
    variables["properties"] = {name: schema[name] for name in sorted(ours)} | there
    names = {name: f"{{{{ {name} }}}}" for name in sorted(ours)}
    configuration = names | template.get("job_configuration", {})
    return template | {"job_configuration": configuration, "variables": variables}
