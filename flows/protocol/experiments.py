"""The <experiments> block: a YAML list, one run each."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from flows.models.run import RunSpec

SIZE_LIMIT = 200_000
ITEM_LIMIT = 500
_ALIAS = re.compile(r"(?:^|[\s\[{,:-])[&*][A-Za-z0-9_]+")


class ExperimentRequest(BaseModel):
    """One experiment as an agent asks for it."""

    model_config = ConfigDict(extra="forbid")

    goal: str = Field(min_length=1)
    command: str = Field(min_length=1)
    workdir: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    gpus: int = Field(default=1, ge=0, le=1024)
    timeout_seconds: float | None = Field(default=None, gt=0)
    name: str | None = Field(default=None, max_length=200)

    @field_validator("goal", "command")
    @classmethod
    def _not_blank(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("must not be blank")
        return value.strip()

    @field_validator("parameters", mode="before")
    @classmethod
    def _no_parameters(cls, value: Any) -> Any:
        return {} if value is None else value

    def to_run_spec(self, project_root: Path, session_id: str, sweep_id: str | None) -> RunSpec:
        """The run: parameters appended to the command as `--key=value`, shell-quoted.

        Booleans become true and false, lists and mappings JSON; a parameter without a value
        (null) is left out.
        """
        flags = [
            f"--{key}={flag_value(value)}"
            for key, value in self.parameters.items()
            if value is not None
        ]
        seed = self.parameters.get("seed")
        return RunSpec(
            name=self.name or self._default_name(),
            command=" ".join([self.command, *map(shlex.quote, flags)]),
            workdir=str(project_root / self.workdir) if self.workdir else str(project_root),
            parameters=self.parameters,
            gpus=self.gpus,
            timeout_seconds=self.timeout_seconds,
            seed=seed if isinstance(seed, int) and not isinstance(seed, bool) else None,
            sweep_id=sweep_id,
            chat_session_id=session_id,
        )

    def _default_name(self) -> str:
        slug = re.sub(r"[^a-z0-9]+", "-", self.goal.lower()).strip("-")[:40] or "experiment"
        suffix = "-".join(f"{key}{flag_value(value)}" for key, value in self.parameters.items())
        return f"{slug}-{suffix}"[:80].rstrip("-") if suffix else slug


def flag_value(value: Any) -> str:
    """A parameter's value on a command line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return json.dumps(value)
    return str(value)


def parse_experiments(raw: str) -> tuple[list[ExperimentRequest], list[str]]:
    """The experiments of a block, and its faults as sentences for the agent.

    A good item counts beside a broken one.
    """
    if len(raw) > SIZE_LIMIT:
        return [], [f"<experiments> is {len(raw)} characters long; at most {SIZE_LIMIT} are read."]
    if _ALIAS.search(raw) and "&" in raw:
        try:
            if _has_alias(raw):
                return [], ["<experiments>: YAML anchors and aliases are not read; write it out."]
        except yaml.YAMLError as error:
            return [], [f"<experiments> is not valid YAML: {_one_line(error)}"]
    try:
        data = yaml.safe_load(raw)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return [], [f"<experiments> is not valid YAML: {_one_line(error)}"]
    if isinstance(data, dict) and set(data) == {"experiments"}:
        data = data["experiments"]
    if not isinstance(data, list):
        return [], ["<experiments> takes a YAML list of mappings with goal and command."]
    faults = []
    if len(data) > ITEM_LIMIT:
        faults.append(f"<experiments> has {len(data)} items; the first {ITEM_LIMIT} count.")
    requests = []
    for number, item in enumerate(data[:ITEM_LIMIT], start=1):
        if not isinstance(item, dict):
            faults.append(f"Experiment {number} is no mapping with goal and command.")
            continue
        try:
            requests.append(ExperimentRequest.model_validate(item))
        except ValidationError as error:
            faults += [
                f"Experiment {number}, {'.'.join(map(str, fault['loc']))}: {fault['msg']}."
                for fault in error.errors()
            ]
    return requests, faults


def _has_alias(raw: str) -> bool:
    return any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(raw))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
