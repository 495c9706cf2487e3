"""The token check."""

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from wildloop.shim.auth import TokenCheck, bearer, is_open


@pytest.mark.parametrize(
    ("method", "path", "open_to_all"),
    [
        ("GET", "/health", True),
        ("GET", "/ready", True),
        ("GET", "/docs", True),
        ("GET", "/openapi.json", True),
        ("GET", "/wild/v2/system-health", True),
        ("GET", "/prompt-skills", True),
        ("GET", "/prompt-skills/a/b", True),
        ("POST", "/prompt-skills", False),
        ("DELETE", "/prompt-skills/a", False),
        ("POST", "/wild/v2/system-health", False),
        ("GET", "/runs", False),
        ("GET", "/healthy", False),
        ("GET", "/health/../runs", False),
        ("GET", "/prompt-skillsx", False),
    ],
)
def test_what_needs_no_token(method: str, path: str, open_to_all: bool) -> None:
    assert is_open(method, path) is open_to_all


@pytest.mark.parametrize(
    ("value", "token"),
    [("Bearer abc", "abc"), ("bearer abc", "abc"), ("Basic abc", None), ("", None), (None, None)],
)
def test_bearer(value: str | None, token: str | None) -> None:
    assert bearer(value) == token


@pytest.fixture
def client() -> TestClient:
    async def answer(_: object) -> PlainTextResponse:
        return PlainTextResponse("in")

    inner = Starlette(routes=[Route("/runs", answer, methods=["GET", "POST"])])
    return TestClient(TokenCheck(inner, "secret"))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Auth-Token": "wrong"},
        {"X-Auth-Token": "secre"},
        {"Authorization": "Bearer no"},
        {"X-Auth-Token": "sécret"},
    ],
)
def test_wrong_token_is_refused_without_showing_the_right_one(
    client: TestClient, headers: dict[str, str]
) -> None:
    encoded = {name: value.encode() for name, value in headers.items()}
    response = client.get("/runs", headers=encoded)  # type: ignore[arg-type]
    assert response.status_code == 401
    assert "X-Auth-Token" in response.json()["detail"]
    assert "secret" not in response.text


@pytest.mark.parametrize(
    "headers", [{"X-Auth-Token": "secret"}, {"Authorization": "Bearer secret"}]
)
def test_right_token_passes(client: TestClient, headers: dict[str, str]) -> None:
    assert client.get("/runs", headers=headers).text == "in"
