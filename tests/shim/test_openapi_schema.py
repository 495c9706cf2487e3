"""The OpenAPI schema: complete for every operation."""

from typing import Any

import jsonschema
import pytest

from tests.support.openapi import openapi
from wildloop.shim.auth import is_open
from wildloop.shim.limits import CREATING
from wildloop.shim.openapi import TAGS, operations

SCHEMA = openapi()
OPERATIONS = {f"{method} {path}": (method, path, op) for method, path, op in operations(SCHEMA)}


@pytest.fixture(params=OPERATIONS)
def operation(request: pytest.FixtureRequest) -> tuple[str, str, dict[str, Any]]:
    return OPERATIONS[request.param]


def model_of(response: dict[str, Any]) -> str:
    schema = response["content"]["application/json"]["schema"]
    return str(schema.get("$ref", schema.get("items", schema.get("anyOf", "")))).rsplit("/", 1)[-1]


def test_operation_says_what_it_does(operation: tuple[str, str, dict[str, Any]]) -> None:
    _, _, found = operation
    assert found["summary"] and found["description"]
    assert not found["summary"].endswith(".")
    assert set(found["tags"]) <= {tag["name"] for tag in TAGS}
    assert all(tag["description"] for tag in TAGS)


def test_operation_has_a_model_of_success(operation: tuple[str, str, dict[str, Any]]) -> None:
    _, _, found = operation
    good = [answer for status, answer in found["responses"].items() if status.startswith("2")]
    assert good
    for answer in good:
        # Streams and metrics are text; what has no body has no content.
        json_answer = answer.get("content", {}).get("application/json")
        assert json_answer is None or json_answer["schema"], "give the route a return type"


def test_operation_has_the_errors_that_apply(operation: tuple[str, str, dict[str, Any]]) -> None:
    method, path, found = operation
    errors = {status for status in found["responses"] if status[0] in "45"}
    assert ("401" in errors) is not is_open(method.upper(), path)
    assert ("413" in errors) is ("requestBody" in found)
    assert ("429" in errors) is (method == "post" and CREATING.match(path) is not None)
    if "{" in path:
        assert "404" in errors
    if found.get("parameters") or "requestBody" in found:
        assert "422" in errors or all(p["in"] == "path" for p in found.get("parameters", ()))
    if found["tags"][0] not in ("health", "prompt-skills"):
        assert "503" in errors
    for status in errors:
        expected = "InvalidBody" if status == "422" else "ErrorAnswer"
        assert model_of(found["responses"][status]) == expected
        assert found["responses"][status]["content"]["application/json"]["example"]["detail"]


def test_example_of_a_body_is_one_that_the_schema_allows(
    operation: tuple[str, str, dict[str, Any]],
) -> None:
    _, _, found = operation
    for media in found.get("requestBody", {}).get("content", {}).values():
        schema = media["schema"] | {"components": SCHEMA["components"]}
        jsonschema.validate(media["example"], schema)


def test_security_is_told(operation: tuple[str, str, dict[str, Any]]) -> None:
    method, path, found = operation
    assert (found["security"] == []) is is_open(method.upper(), path)


def test_schema_names_no_model_that_is_not_there() -> None:
    names = set(SCHEMA["components"]["schemas"])
    references = {
        part.split('"')[0].split("'")[0] for part in str(SCHEMA).split("#/components/schemas/")[1:]
    }
    assert references <= names
    assert "HTTPValidationError" not in names


def test_rate_answer_tells_when_to_come_again() -> None:
    answer = SCHEMA["paths"]["/runs"]["post"]["responses"]["429"]
    assert "Retry-After" in answer["headers"]


@pytest.mark.parametrize("path", ["/wild/v2/verify", "/wild/v2/steer", "/runs"])
def test_what_a_body_names_may_not_be_there(path: str) -> None:
    assert "404" in SCHEMA["paths"][path]["post"]["responses"]
