"""The catalog of the API that prompts hold."""

from typing import Any

from wildloop.flows.prompt.catalog import api_catalog

HEADER = '-H "X-Auth-Token: $WILDLOOP_AUTH_TOKEN"'


def schema_of(path: str, method: str, **operation: Any) -> dict[str, Any]:
    return {
        "tags": [{"name": "runs", "description": "Things that run."}, {"name": "unused"}],
        "paths": {path: {method: {"tags": ["runs"], "summary": "Do it", **operation}}},
        "components": {"schemas": {"R": {"properties": {"name": {}, "gpus": {}}}}},
    }


def body(example: Any) -> dict[str, Any]:
    media = {"schema": {"$ref": "#/components/schemas/R"}, "example": example}
    return {"content": {"application/json": media}}


def test_body_is_quoted_for_the_shell_and_other_fields_are_named() -> None:
    text = api_catalog(schema_of("/runs", "post", requestBody=body({"name": "it's"})), HEADER)
    assert "# Do it [gpus]" in text
    assert """-d '{"name": "it'"'"'s"}' "$WILDLOOP_SERVER_URL/runs\"""" in text
    assert "-X" not in text


def test_path_parameters_are_shell_variables() -> None:
    text = api_catalog(schema_of("/runs/{run_id}/files/{path:path}", "put"), HEADER)
    assert f'-X PUT {HEADER} "$WILDLOOP_SERVER_URL/runs/$RUN_ID/files/$PATH"' not in text
    assert f'-X PUT {HEADER} "$WILDLOOP_SERVER_URL/runs/$RUN_ID/files/$FILE_PATH"' in text


def test_required_queries_are_given_and_others_named() -> None:
    parameters = [
        {"name": "q", "in": "query", "required": True, "schema": {"type": "string"}},
        {"name": "limit", "in": "query", "schema": {"type": "integer"}},
    ]
    text = api_catalog(schema_of("/runs", "get", parameters=parameters), HEADER)
    assert "# Do it [?limit]" in text
    assert '/runs?q=text"' in text


def test_open_operations_need_no_header_and_tags_without_operations_are_left_out() -> None:
    text = api_catalog(schema_of("/health", "get", security=[]), HEADER)
    assert 'curl -sS "$WILDLOOP_SERVER_URL/health"' in text
    assert "**runs**: Things that run." in text
    assert "unused" not in text
