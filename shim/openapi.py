"""The OpenAPI schema: FastAPI's own, completed by what holds for all paths.

Which errors an operation may answer follows from its method, path and fields, so a new route needs
no list of its own.
"""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, Field

from wildloop.flows.prompt.catalog import AGENTS as MARK
from wildloop.flows.prompt.catalog import CLOSED
from wildloop.shim.auth import HEADER, is_open
from wildloop.shim.examples import example_of, resolve
from wildloop.shim.limits import CREATING

DESCRIPTION = """\
Autonomous ML research: sessions, sweeps, runs.

JSON in and out. Every error is `{"detail": ...}`: what was asked, what was found, what to do.
Send the token as `X-Auth-Token` or `Authorization: Bearer`; `/health`, `/ready`, `/docs`,
`/openapi.json`, `GET /prompt-skills...` and `GET /wild/v2/system-health` need none. Times are Unix
seconds. Ids are opaque strings. `x-wildloop-agents` says what an agent's token may do: `read`,
change what is its `own` session's, or nothing (`closed`). What is read is a second old at most and
knows all that this server was asked to write; `X-Wildloop-As-Of` says when it was so.
"""
TAGS = [
    {"name": "health", "description": "Whether the API answers, and its figures."},
    {"name": "runs", "description": "A run: one command, one configuration, one outcome."},
    {"name": "sweeps", "description": "A sweep: a named group of runs with one goal."},
    {"name": "alerts", "description": "What went wrong in a run, and what is to be done."},
    {"name": "wild", "description": "A session: plan, iterate, reflect, report."},
    {"name": "cluster", "description": "The compute, its slots, and the runs on it."},
    {"name": "prompt-skills", "description": "The prompts that agents are given."},
    {"name": "memories", "description": "Lessons that later sessions are told."},
]
ERRORS = {
    "400": ("The body cannot be read.", "There was an error parsing the body"),
    "401": ("Missing or wrong token.", f"missing or wrong token: send it as header {HEADER}"),
    "403": (
        "Not for this host name, web page, or token: an agent's writes into its own session only.",
        "POST /wild/v2/start is for the user",
    ),
    "404": ("No such thing.", "no run with id 'x'"),
    "409": ("Not possible in its state.", "run 'x' is 'finished': it cannot become 'queued'"),
    "413": ("The body is too large.", "the body is larger than 2097152 bytes"),
    "422": ("A value is not usable.", "workdir '/x' does not exist: create it or give another"),
    "429": ("Too many new runs: wait for `Retry-After` seconds.", "10000 runs are queued"),
    "503": ("The Prefect server does not answer.", "the Prefect server does not answer"),
}
RETRY_AFTER = {
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}
}
ABOUT_AN_ID = ("/wild/v2/verify",)
"""Paths whose body names by `id` what must be there."""
_WITHOUT_PREFECT = ("health", "prompt-skills")


class Fault(BaseModel):
    """One field that is wrong."""

    loc: list[str | int] = Field(description="Where: `body`, `query`, `path`; then the field.")
    msg: str = Field(description="What is wrong.")


class InvalidBody(BaseModel):
    """The answer to values that cannot be used: a text, or the fields that are wrong."""

    detail: str | list[Fault]


class ErrorAnswer(BaseModel):
    """Every other error: what was asked, what was found, what to do."""

    detail: str


class Api(FastAPI):
    """FastAPI with the completed schema."""

    def openapi(self) -> dict[str, Any]:
        """The schema, made once. Without a token nobody is told apart, so nothing is closed."""
        if self.openapi_schema is None:
            self.openapi_schema = complete(super().openapi())
            if getattr(self.state, "settings", None) and self.state.settings.token is None:
                for _, _, operation in operations(self.openapi_schema):
                    operation.pop(MARK)
        return self.openapi_schema


def operations(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and operation of each operation of a schema."""
    for path, item in schema["paths"].items():
        for method, operation in item.items():
            if method in ("get", "put", "post", "delete", "patch"):
                yield method, path, operation


def complete(schema: dict[str, Any]) -> dict[str, Any]:
    """Add errors, examples and security to each operation, in place."""
    components = schema.setdefault("components", {})
    models = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError", "ErrorBody"):
        models.pop(name, None)
    for model in (ErrorAnswer, InvalidBody, Fault):
        text = model.model_json_schema(ref_template="#/components/schemas/{model}")
        text.pop("$defs", None)
        models[model.__name__] = text
    components["securitySchemes"] = {
        "token": {"type": "apiKey", "in": "header", "name": HEADER},
        "bearer": {"type": "http", "scheme": "bearer"},
    }
    for method, path, operation in operations(schema):
        _complete(schema, method, path, operation)
    return schema


def _complete(schema: dict[str, Any], method: str, path: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    wanted = error_statuses(schema, method, path, operation)
    for status in ERRORS:
        responses.pop(status, None)
        if status in wanted:
            responses[status] = _error(status)
    open_to_all = is_open(method.upper(), path)
    operation["security"] = [] if open_to_all else [{"token": []}, {"bearer": []}]
    operation.setdefault(MARK, "read" if open_to_all else CLOSED)
    for media in operation.get("requestBody", {}).get("content", {}).values():
        if "example" not in media and "examples" not in media:
            media["example"] = example_of(schema, method, path, media.get("schema", {}))


def error_statuses(
    schema: dict[str, Any], method: str, path: str, operation: dict[str, Any]
) -> set[str]:
    """The errors that an operation may answer."""
    found = {"403"}
    if not is_open(method.upper(), path):
        found.add("401")
    if "422" in operation["responses"]:
        found.add("422")
    if "requestBody" in operation:
        found |= {"400", "413", "422"}
    names = list(_fields(schema, operation))
    if "{" in path or path in ABOUT_AN_ID or any(name.endswith("_id") for name in names):
        found.add("404")
    if method != "get":
        found.add("409")
    if method == "post" and CREATING.match(path):
        found.add("429")
    if not set(_WITHOUT_PREFECT) & set(operation.get("tags", ())):
        found.add("503")
    return found


def _fields(schema: dict[str, Any], operation: dict[str, Any]) -> Iterator[str]:
    """Names of an operation's parameters and of the fields of its body."""
    for parameter in operation.get("parameters", ()):
        yield parameter["name"]
    for media in operation.get("requestBody", {}).get("content", {}).values():
        yield from resolve(schema, media.get("schema", {})).get("properties", {})


def _error(status: str) -> dict[str, Any]:
    description, example = ERRORS[status]
    model = InvalidBody if status == "422" else ErrorAnswer
    answer = {
        "description": description,
        "content": {
            "application/json": {
                "schema": {"$ref": f"#/components/schemas/{model.__name__}"},
                "example": {"detail": example},
            }
        },
    }
    return answer | {"headers": RETRY_AFTER} if status == "429" else answer
