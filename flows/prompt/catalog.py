"""The HTTP API in short, for prompts: made from the OpenAPI schema, so it is never out of date."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

BASE = "$WILDLOOP_SERVER_URL"
# Whether an agent's token may call an operation.
AGENTS = "x-wildloop-agents"
CLOSED = "closed"
METHODS = ("get", "post", "put", "patch", "delete")
_PLACEHOLDER = re.compile(r"\{(\w+)(?::\w+)?\}")


def api_catalog(openapi: Mapping[str, Any], auth_header: str) -> str:
    """A curl line for every operation that an agent's token may call, by tag.

    Args:
        openapi: the API's schema.
        auth_header: curl's option with the token's variable, never the token.
    """
    groups: dict[str, list[str]] = {
        tag["name"]: [f"**{tag['name']}**: {tag.get('description', '')}", "```bash"]
        for tag in openapi.get("tags", ())
    }
    used = set()
    for path, item in openapi.get("paths", {}).items():
        for method, operation in item.items():
            if method not in METHODS or operation.get(AGENTS) == CLOSED:
                continue
            tag = (operation.get("tags") or ["other"])[0]
            lines = groups.setdefault(tag, [f"**{tag}**:", "```bash"])
            lines += _entry(openapi, method, path, operation, auth_header)
            used.add(tag)
    head = (
        f"`{BASE}` and the token's variable are set in your environment. Replace $RUN_ID, "
        "$SESSION_ID and the like by ids; names in brackets are optional. An error is "
        '`{"detail": ...}` and says what to do.'
    )
    shown = ("\n".join([*lines, "```"]) for tag, lines in groups.items() if tag in used)
    return "\n\n".join([head, *shown])


def variable_of(name: str) -> str:
    """The shell variable that stands for a path parameter: `run_id` is RUN_ID."""
    # PATH is the shell's own.
    return "FILE_PATH" if name == "path" else name.upper()


def _entry(
    openapi: Mapping[str, Any],
    method: str,
    path: str,
    operation: Mapping[str, Any],
    auth_header: str,
) -> Iterator[str]:
    queries = [p for p in operation.get("parameters", ()) if p.get("in") == "query"]
    optional = [f"?{p['name']}" for p in queries if not p.get("required")]
    media = operation.get("requestBody", {}).get("content", {}).get("application/json")
    options = [] if method == "get" else [f"-X {method.upper()}"]
    if operation.get("security") != []:
        options.append(auth_header)
    if media is not None:
        example = media.get("example", {})
        optional += _other_fields(openapi, media.get("schema", {}), example)
        options += ["-H 'Content-Type: application/json'", f"-d {shlex.quote(json.dumps(example))}"]
        options.remove("-X POST") if method == "post" else None
    text = operation.get("summary", "")
    yield f"# {text}" + (f" [{', '.join(optional)}]" if optional else "")
    url = _PLACEHOLDER.sub(lambda match: "$" + variable_of(match[1]), path)
    required = "&".join(f"{p['name']}={_sample(p)}" for p in queries if p.get("required"))
    yield " ".join(["curl -sS", *options, f'"{BASE}{url}{"?" if required else ""}{required}"'])


def _sample(parameter: Mapping[str, Any]) -> str:
    """A value of a required query parameter."""
    schema = parameter.get("schema", {})
    return str(parameter.get("example") or (schema.get("examples") or ["text"])[0])


def _other_fields(
    openapi: Mapping[str, Any], schema: Mapping[str, Any], example: Any
) -> Iterator[str]:
    """Fields of a body that its example does not show."""
    for part in (schema, *schema.get("anyOf", ())):
        name = part.get("$ref", "").rsplit("/", 1)[-1]
        model = openapi.get("components", {}).get("schemas", {}).get(name, {})
        for field in model.get("properties", {}):
            if not isinstance(example, dict) or field not in example:
                yield field
