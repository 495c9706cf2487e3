"""The runs of a sweep: every combination of its parameters' values, in a fixed order."""

import json
import math
from collections.abc import Mapping, Sequence
from itertools import islice, product
from pathlib import Path

from pydantic import BaseModel, JsonValue, ValidationError

from wildloop.flows.errors import InvalidRequest
from wildloop.flows.models.compute import wish_of
from wildloop.flows.models.run import RunSpec
from wildloop.flows.models.sweep import SweepRecord
from wildloop.flows.protocol.experiments import ExperimentRequest, is_open_ended


class Grid(BaseModel):
    """The configurations of a sweep, and what was left out of them."""

    configurations: list[dict[str, JsonValue]]
    skipped: int = 0
    notes: list[str] = []


def expand(parameters: Mapping[str, Sequence[JsonValue]], max_runs: int) -> Grid:
    """The first `max_runs` combinations; the last parameter changes fastest.

    A value that a parameter has twice counts once. No parameters make one configuration.
    """
    notes, axes = [], []
    for name, values in parameters.items():
        # By their JSON text: in Python 1, 1.0 and True are equal.
        distinct = {json.dumps(value, sort_keys=True): value for value in values}
        if len(distinct) < len(values):
            notes.append(
                f"parameters.{name}: {len(values) - len(distinct)} repeated values count once"
            )
        axes.append(list(distinct.values()))
    total = math.prod(map(len, axes))
    chosen = islice(product(*axes), max_runs)
    found = [dict(zip(parameters, values, strict=True)) for values in chosen]
    skipped = total - len(found)
    if skipped:
        notes.append(
            f"max_runs: the grid has {total} combinations, the first {len(found)} are run and "
            f"{skipped} left out: raise max_runs, or give fewer values"
        )
    return Grid(configurations=found, skipped=skipped, notes=notes)


def grid_specs(record: SweepRecord) -> list[RunSpec]:
    """The runs of a sweep's grid.

    Raises:
        InvalidRequest: a parameter cannot be a flag, or nothing can be appended to the command.
    """
    grid = expand(record.parameters, record.max_runs or 1)
    return [sweep_run(record, parameters) for parameters in grid.configurations]


def sweep_run(
    record: SweepRecord, parameters: Mapping[str, JsonValue], name: str | None = None
) -> RunSpec:
    """One run of a sweep: its base command with `--key=value` appended, shell-quoted.

    Raises:
        InvalidRequest: a parameter cannot be a flag, or nothing can be appended to the command.
    """
    if parameters and is_open_ended(record.base_command):
        raise InvalidRequest(
            "base_command: it ends in a comment or an operator, so parameters cannot be appended: "
            "put the training command last"
        )
    if any(not name.isprintable() for name in parameters):
        raise InvalidRequest("parameters: a name holds what cannot be printed: rename it")
    try:
        request = ExperimentRequest.model_validate(
            {
                "goal": record.name,
                "command": record.base_command,
                "parameters": dict(parameters),
                "gpus": record.gpus,
                **wish_of(record),
                "timeout_seconds": record.timeout_seconds,
                "name": name,
            }
        )
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"])
        place = {"command": "base_command", "goal": "name"}.get(place, place)
        raise InvalidRequest(f"{place}: {fault['msg'].removeprefix('Value error, ')}") from error
    return request.to_run_spec(
        Path(record.workdir or "."), record.chat_session_id, record.id
    ).model_copy(update={"workdir": record.workdir})
