"""Examples of request bodies, for the OpenAPI schema and the prompts made from it."""

from typing import Any

# Where the required fields alone would not show what the request is for.
BODIES: dict[tuple[str, str], Any] = {
    ("post", "/runs"): {
        "name": "lr-0.01-seed-0",
        "command": "python train.py --lr 0.01 --seed 0",
        "auto_start": True,
    },
    ("put", "/runs/{run_id}"): {"name": "lr-0.01-seed-1"},
    ("post", "/runs/{run_id}/rerun"): {"auto_start": True},
    ("post", "/runs/{run_id}/metrics"): {"step": 1, "loss": 0.3},
    ("post", "/sweeps"): {
        "name": "learning rates",
        "base_command": "python train.py",
        "parameters": {"lr": [0.01, 0.1], "seed": [0, 1]},
        "auto_start": True,
    },
    ("post", "/sweeps/wild"): {"name": "learning rates", "goal": "Find the best learning rate"},
    ("post", "/cluster"): {"type": "slurm", "gpu_count": 8, "node_count": 2},
    ("post", "/wild/v2/start"): {
        "goal": "Get validation accuracy above 0.97",
        "agent": "baseline",
        "max_iterations": 5,
    },
}
# Values of required fields, by name: a type alone makes a poor example.
FIELDS: dict[str, Any] = {
    "name": "lr-0.01-seed-0",
    "command": "python train.py --lr 0.01 --seed 0",
    "base_command": "python train.py",
    "goal": "Get validation accuracy above 0.97",
    "context": "Try a smaller learning rate first.",
    "message": "The loss is NaN from step 120 on.",
    "id": "my_skill",
    "description": "When to use it, in one line.",
    "content": "Batch norm needs batches of 16 or more.",
    "text": "Batch norm needs batches of 16 or more.",
    "choice": "ignore",
    "choices": ["ignore", "stop"],
    "template": "Reach the goal: {{ goal }}",
}


def example_of(schema: dict[str, Any], method: str, path: str, body: dict[str, Any]) -> Any:
    """A body that the schema allows, with its required fields."""
    found = BODIES.get((method, path))
    return found if found is not None else _value(schema, body, "")


def resolve(schema: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """A part of the schema without references; of several alternatives, the first but null."""
    while True:
        if "$ref" in part:
            part = schema["components"]["schemas"][part["$ref"].rsplit("/", 1)[-1]]
            continue
        choices = part.get("anyOf") or part.get("oneOf")
        if not choices:
            return part
        part = next(choice for choice in choices if choice.get("type") != "null")


def _value(schema: dict[str, Any], part: dict[str, Any], name: str) -> Any:
    part = resolve(schema, part)
    if part.get("examples"):
        return part["examples"][0]
    if "const" in part:
        return part["const"]
    if part.get("enum"):
        return part["enum"][0]
    kind = part.get("type")
    if kind == "object" or "properties" in part:
        fields = part.get("properties", {})
        return {field: _value(schema, fields[field], field) for field in part.get("required", ())}
    if kind == "array" and isinstance(FIELDS.get(name), list):
        return FIELDS[name]
    if kind == "array":
        return [_value(schema, part.get("items", {}), name)]
    if kind in ("integer", "number"):
        return part.get("default", max(1, part.get("minimum", 1)))
    if kind == "boolean":
        return part.get("default", True)
    shown = FIELDS.get(name, "text")
    return shown if isinstance(shown, str) else "text"
