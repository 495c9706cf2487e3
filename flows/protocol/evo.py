"""The <evo_sweep> block: a JSON object that describes one evolutionary sweep."""

import json
from collections import Counter
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from wildloop.flows.models.evo import EvoSweepSpec

SIZE_LIMIT = 100_000
FAULT_LIMIT = 10
_FIELDS = ", ".join(EvoSweepSpec.model_fields)


def parse_evo_sweep(raw: str) -> tuple[EvoSweepSpec | None, list[str]]:
    """The sweep of a block, or None and its faults as sentences for the agent.

    Each fault names the field and the mend. Never raises on any text.
    """
    if len(raw) > SIZE_LIMIT:
        return None, [f"<evo_sweep> is {len(raw)} characters long; at most {SIZE_LIMIT} are read."]
    try:
        data = json.loads(raw, object_pairs_hook=_object, parse_constant=_no_constant)
    except RecursionError:
        return None, ["<evo_sweep> is nested too deeply: a search space has two levels."]
    except json.JSONDecodeError as error:
        return None, [
            f"<evo_sweep> is not valid JSON: {error.msg} in line {error.lineno}, column "
            f"{error.colno}: write one JSON object, names in double quotes, no comments and no "
            "comma before a closing bracket."
        ]
    except ValueError as error:
        return None, [f"<evo_sweep> is not usable: {error}."]
    if not isinstance(data, dict):
        return None, [
            "<evo_sweep> takes one JSON object with target_script, fitness_metric and search_space."
        ]
    try:
        return EvoSweepSpec.model_validate(data), []
    except ValidationError as error:
        faults = [_told(one) for one in error.errors()[:FAULT_LIMIT]]
        if error.error_count() > FAULT_LIMIT:
            faults.append(f"<evo_sweep> has {error.error_count() - FAULT_LIMIT} more faults.")
        return None, faults


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
    if twice:
        raise ValueError(f"'{twice[0][:50]}' is there twice: keep one")
    return dict(pairs)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number: give a finite one")


def _told(error: ErrorDetails) -> str:
    """One fault with its field and its mend."""
    place = ".".join(str(part) for part in error["loc"])[:100]
    match error["type"]:
        case "missing":
            mend = "is required"
        case "extra_forbidden":
            known = "low, high, log, int" if "." in place else _FIELDS
            mend = f"is no field here ({known})"
        case _:
            mend = error["msg"].removeprefix("Value error, ")
    return f"<evo_sweep>{f' {place}' if place else ''}: {mend}."
