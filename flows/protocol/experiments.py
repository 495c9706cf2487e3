"""The <experiments> block: a YAML list, one run each."""

import hashlib
import json
import math
import re
import shlex
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    model_validator,
)

from wildloop.flows.models.compute import check_wish, wish_of
from wildloop.flows.models.run import RunSpec
from wildloop.flows.text.storable import UNUSABLE, usable_text

SIZE_LIMIT = 100_000
ITEM_LIMIT = 500
NAME_LENGTH = 80
_KEY = re.compile(r"[A-Za-z_][\w./-]{0,99}", re.ASCII)
_ITEM = re.compile(r"^([ \t]*)-(?=[ \t\n])", re.MULTILINE)
_MENDS = {
    "missing": "is required",
    "extra_forbidden": "is no field of an experiment (goal, command, workdir, parameters, gpus, "
    "timeout_seconds, name, compute, gpu_type, gpu_memory_gb)",
}


class _Loader(yaml.SafeLoader):
    """YAML as agents mean it: 1e-3 is a number; yes, 1:30, 2026-01-02, 010 stay as written."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - the base class's own attribute, replaced whole
        first: [
            (tag, pattern)
            for tag, pattern in resolvers
            if tag.rpartition(":")[2] not in ("bool", "int", "float", "timestamp")
        ]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"(?:[Tt]rue|TRUE|[Ff]alse|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$"),
    list("-+.0123456789"),
)


def _plain(value: Any) -> Any:
    """Values that JSON and databases hold: what they cannot becomes the text of it."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("holds an integer of more than 64 bits")
    if isinstance(value, str) and UNUSABLE.search(value):
        raise ValueError("holds a NUL or half a character")
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {_plain(key): _plain(one) for key, one in value.items()}
    return value


def _parameters(value: Any) -> Any:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError("must be a mapping, as {lr: 0.1, seed: 1}")
    found = {}
    for key, one in value.items():
        name = key.lstrip("-") if isinstance(key, str) else str(key)
        if not _KEY.fullmatch(name):
            raise ValueError(f"'{name[:50]}' cannot be the name of a flag")
        try:
            found[name] = _plain(one)
        except ValueError as error:
            raise ValueError(f"'{name}' {error}") from error
    return found


Text = Annotated[str, AfterValidator(usable_text)]


class ExperimentRequest(BaseModel):
    """One experiment as an agent asks for it."""

    model_config = ConfigDict(extra="forbid")

    goal: Text
    command: Text
    workdir: Text | None = None
    parameters: Annotated[dict[str, JsonValue], BeforeValidator(_parameters)] = Field(
        default_factory=dict
    )
    gpus: int = Field(default=1, ge=0, le=1024)
    compute: Annotated[Text, Field(min_length=1, max_length=200)] | None = None
    gpu_type: Annotated[Text, Field(max_length=100, pattern=r"[A-Za-z0-9]")] | None = None
    gpu_memory_gb: float | None = Field(default=None, gt=0, le=10_000, allow_inf_nan=False)
    timeout_seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    name: Annotated[Text, Field(max_length=200)] | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        check_wish(self)
        return self

    def to_run_spec(
        self, project_root: Path, session_id: str | None, sweep_id: str | None
    ) -> RunSpec:
        """The run: parameters appended to the command as `--key=value`, shell-quoted.

        Booleans become true and false, lists and mappings JSON; a parameter without a value
        (null) is left out. A relative `workdir` starts at `project_root`.
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
            workdir=str(project_root / Path(self.workdir).expanduser())
            if self.workdir
            else str(project_root),
            parameters=dict(self.parameters),
            gpus=self.gpus,
            **wish_of(self),
            timeout_seconds=self.timeout_seconds,
            seed=seed if isinstance(seed, int) and not isinstance(seed, bool) else None,
            sweep_id=sweep_id,
            chat_session_id=session_id,
        )

    def _default_name(self) -> str:
        given = {key: value for key, value in self.parameters.items() if value is not None}
        slug = _slug(self.goal)[:40].strip("-") or "experiment"
        suffix = "-".join(f"{key}{_slug(flag_value(value))}" for key, value in given.items())
        name = f"{slug}-{suffix}".rstrip("-")
        if len(name) <= NAME_LENGTH:
            return name
        # Cut names of neighbouring configurations would be the same.
        digest = hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()[:6]
        return f"{name[: NAME_LENGTH - 7].rstrip('-.')}-{digest}"


def flag_value(value: JsonValue) -> str:
    """A parameter's value on a command line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return json.dumps(value)
    return str(value)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")


def parse_experiments(raw: str) -> tuple[list[ExperimentRequest], list[str]]:
    """The experiments of a block, and its faults as sentences for the agent.

    A good item counts beside a broken one, also where the YAML of that one is broken.
    """
    if len(raw) > SIZE_LIMIT:
        return [], [f"<experiments> is {len(raw)} characters long; at most {SIZE_LIMIT} are read."]
    items, faults = _items(raw)
    if len(items) > ITEM_LIMIT:
        faults.append(f"<experiments> has {len(items)} items; the first {ITEM_LIMIT} count.")
    requests = []
    for number, item in items[:ITEM_LIMIT]:
        request, broken = _request(number, item)
        faults += broken
        if request is not None:
            requests.append(request)
    return requests, faults


def _items(raw: str) -> tuple[list[tuple[int, Any]], list[str]]:
    """The numbered items of the list, and what could not be read."""
    data, fault = _load(raw)
    if fault is not None:
        return _salvage(raw, fault)
    if isinstance(data, dict) and set(data) == {"experiments"}:
        data = data["experiments"]
    if isinstance(data, dict) and "command" in data:
        data = [data]
    if not isinstance(data, list) or not data:
        return [], ["<experiments> takes a YAML list of mappings with goal and command."]
    return list(enumerate(data, start=1)), []


def _salvage(raw: str, fault: str) -> tuple[list[tuple[int, Any]], list[str]]:
    """Read a list whose YAML is broken item by item."""
    first = _ITEM.search(raw)
    starts = [item.start() for item in _ITEM.finditer(raw) if first and item[1] == first[1]]
    if not 2 <= len(starts) <= ITEM_LIMIT:
        return [], [f"<experiments> {fault}"]
    items: list[tuple[int, Any]] = []
    faults = []
    for number, (start, end) in enumerate(
        zip(starts, [*starts[1:], len(raw)], strict=True), start=1
    ):
        data, fault_of_item = _load(raw[start:end])
        if fault_of_item is not None or not isinstance(data, list):
            faults.append(f"Experiment {number} {fault_of_item or 'is no mapping'}.")
        else:
            items += [(number, one) for one in data]
    return items, faults


def _load(raw: str) -> tuple[Any, str | None]:
    """The data, or why there is none."""
    try:
        if "&" in raw and "*" in raw and _has_alias(raw):
            return None, "uses YAML anchors and aliases, which are not read: write it out"
        # A safe loader: it makes plain values only.
        return yaml.load(raw, Loader=_Loader), None
    except RecursionError:
        return None, "is nested too deeply"
    except (yaml.YAMLError, ValueError, TypeError) as error:
        return None, f"is not valid YAML: {' '.join(str(error).split())[:300]}"


def _has_alias(raw: str) -> bool:
    return any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(raw, Loader=_Loader))


def _request(number: int, item: Any) -> tuple[ExperimentRequest | None, list[str]]:
    if not isinstance(item, dict):
        return None, [f"Experiment {number} is no mapping with goal and command."]
    try:
        request = ExperimentRequest.model_validate({str(key): item[key] for key in item})
    except ValidationError as error:
        return None, [
            f"Experiment {number}, {'.'.join(str(part) for part in fault['loc'])[:100]}: "
            f"{_MENDS.get(fault['type'], fault['msg'].removeprefix('Value error, '))}."
            for fault in error.errors()[:10]
        ]
    if request.parameters and is_open_ended(request.command):
        return None, [
            f"Experiment {number}, command: it ends in a comment or an operator, so parameters "
            "cannot be appended: put the training command last."
        ]
    return request, []


def is_open_ended(command: str) -> bool:
    """Whether what is appended would be lost, in a comment or behind an operator."""
    last = command.rsplit("\n", 1)[-1]
    comment = (" " + last)[(" " + last).rfind(" #") :] if " #" in " " + last else ""
    return last.endswith((";", "&", "|", "\\")) or (
        bool(comment) and "'" not in comment and '"' not in comment
    )
