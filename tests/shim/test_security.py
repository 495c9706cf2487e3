"""Hosts, web origins, headers; secrets in logs, answers and artifacts."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.datastructures import Headers

from tests.support.project import make_project
from tests.support.server import Server, command_environment, start_server
from wildloop.flows.errors import InvalidRequest
from wildloop.flows.settings import Settings
from wildloop.shim.app import create_app
from wildloop.shim.limits import Limits
from wildloop.shim.security import AccessRules

REBOUND = "evil.example"


@pytest.mark.parametrize(
    ("bound", "called", "allowed"),
    [
        ("127.0.0.1", "127.0.0.1:10000", True),
        ("127.0.0.1", "localhost:10000", True),
        ("127.0.0.1", "LOCALHOST", True),
        ("127.0.0.1", "[::1]:10000", True),
        ("::1", "[::1]", True),
        ("127.0.0.2", "127.0.0.2:1", True),
        ("127.0.0.1", f"{REBOUND}:10000", False),
        ("127.0.0.1", "127.0.0.1.evil.example", False),
        ("127.0.0.1", "localhost.evil.example", False),
        ("127.0.0.1", "evil.example@localhost", False),
        ("127.0.0.1", "localhost/evil.example", False),
        ("127.0.0.1", "", False),
        ("127.0.0.1", "localhost:port", False),
        ("127.0.0.1", "[::1", False),
        ("0.0.0.0", "gpu7.cluster:10000", True),
    ],
)
def test_host_names_of_a_server(bound: str, called: str, allowed: bool) -> None:
    rules = AccessRules.from_environment(bound, variables={})
    assert (rules.fault(Headers({"host": called})) is None) is allowed


@pytest.mark.parametrize("bound", ["127.0.0.1", "0.0.0.0"])
def test_more_host_names_by_the_environment(bound: str) -> None:
    given = {"WILDLOOP_ALLOWED_HOSTS": "gpu7.cluster, [fe80::1]"}
    rules = AccessRules.from_environment(bound, variables=given)
    assert rules.fault(Headers({"host": "gpu7.cluster:10000"})) is None
    assert rules.fault(Headers({"host": "[fe80::1]:10000"})) is None
    assert "WILDLOOP_ALLOWED_HOSTS" in (rules.fault(Headers({"host": REBOUND})) or "")


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost:10000", True),
        ("https://notebook.example", True),
        ("https://notebook.example.evil", False),
        ("http://notebook.example", False),
        ("http://localhost:3000", False),
        ("null", False),
        ("", False),
        ("http://[", False),
    ],
)
def test_web_pages_of_other_origins_are_refused(origin: str, allowed: bool) -> None:
    given = {"WILDLOOP_CORS_ORIGINS": "https://Notebook.example/"}
    rules = AccessRules.from_environment("127.0.0.1", variables=given)
    headers = Headers({"host": "localhost:10000", "origin": origin})
    assert (rules.fault(headers) is None) is allowed


@pytest.mark.parametrize("text", ["*", "notebook.example", "https://a/path", "http://[", "ftp://a"])
def test_origin_that_is_none_is_refused_at_start(text: str) -> None:
    with pytest.raises(InvalidRequest, match="WILDLOOP_CORS_ORIGINS"):
        AccessRules.from_environment("127.0.0.1", variables={"WILDLOOP_CORS_ORIGINS": text})


def api(**variables: str) -> httpx.AsyncClient:
    settings = Settings(home=Path("/"), server_url="http://s", token=None, workdir=Path("/"))
    rules = AccessRules.from_environment("127.0.0.1", variables=variables)
    app = create_app(settings, rules=rules, limits=Limits(max_queued_runs=0))
    # What the app has once Prefect answers.
    for name in ("client", "picture", "burst", "budgets"):
        setattr(app.state, name, None)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


async def test_every_answer_has_the_security_headers() -> None:
    async with api() as http:
        answers = [
            await http.get("/health"),
            await http.get("/nothing"),
            await http.get("/health", headers={"Host": REBOUND}),
        ]
    assert [answer.status_code for answer in answers] == [200, 404, 403]
    for answer in answers:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Frame-Options"] == "DENY"


async def test_cors_is_off_by_default() -> None:
    asked = {"Origin": "http://page.example", "Access-Control-Request-Method": "POST"}
    async with api() as http:
        answer = await http.options("/runs", headers=asked)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


async def test_allowed_origin_may_ask_with_the_token_header() -> None:
    asked = {
        "Origin": "http://page.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-auth-token",
    }
    async with api(WILDLOOP_CORS_ORIGINS="http://page.example") as http:
        preflight = await http.options("/runs", headers=asked)
        answer = await http.get("/health", headers={"Origin": "http://page.example"})
    assert preflight.status_code == 200
    assert "x-auth-token" in preflight.headers["access-control-allow-headers"].lower()
    assert answer.headers["access-control-allow-origin"] == "http://page.example"
    assert "access-control-allow-credentials" not in answer.headers


async def test_web_form_without_a_token_is_not_taken_for_json() -> None:
    async with api() as http:
        answer = await http.post(
            "/runs",
            content=b'{"name": "a", "command": "b"}',
            headers={"Content-Type": "text/plain"},
        )
    assert answer.status_code == 422


def test_public_address_without_a_token_is_refused(tmp_path: Path) -> None:
    env = command_environment(tmp_path) | {"WILDLOOP_AUTH_TOKEN": ""}
    command = [sys.executable, "-P", "-m", "wildloop.shim.main", "--host", "0.0.0.0", "--port", "1"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "WILDLOOP_AUTH_TOKEN" in done.stderr


SECRETS = {
    "WILDLOOP_AUTH_TOKEN": "tok-wildloop-5e1f",
    "SOME_API_KEY": "key-some-77aa21",
    "DB_PASSWORD": "pw-db-90cc11",
    "HF_TOKEN": "hf-token-31bd08",
    "SESSION_SECRET": "secret-sess-4411",
}


@pytest.fixture
def secret_server(tmp_path: Path) -> Any:
    home = tmp_path / "home"
    home.mkdir()
    (home / "token").write_text(SECRETS["WILDLOOP_AUTH_TOKEN"])
    running = start_server(home, make_project(tmp_path / "project"), slots=1, extra=SECRETS)
    yield running
    running.stop()


@pytest.mark.e2e
def test_secrets_are_in_no_log_answer_or_artifact(secret_server: Server) -> None:
    server, key = secret_server, SECRETS["SOME_API_KEY"]
    goal = f"Beat {key} with {SECRETS['DB_PASSWORD']}"
    server.post("/sweeps/wild", {"name": f"sweep {key}", "goal": goal})
    run = server.run("echo done", name="quiet")
    server.ended(run["id"])
    failing = server.run(f"echo {key}; exit 3", name="loud")
    server.ended(failing["id"])
    refused = server.http.get(f"/runs/{key}")
    bad = server.http.post("/runs", json={"name": "x", "command": "y", "workdir": f"/{key}"})
    wrong = server.http.get(f"/runs?token={key}", headers={"X-Auth-Token": "wrong-" + key})
    assert (refused.status_code, bad.status_code, wrong.status_code) == (404, 422, 401)
    artifacts = server.prefect.post("/artifacts/filter", json={"limit": 200}).text
    logs = server.prefect.post("/logs/filter", json={"limit": 200}).text
    files = [path for path in (server.home / "logs").iterdir() if path.is_file()]
    assert len(files) >= 3
    texts = {path.name: path.read_text(errors="replace") for path in files}
    texts |= {"up.log": (server.home / "up.log").read_text(), "artifacts": artifacts}
    texts |= {"flow logs": logs, "errors": refused.text + bad.text + wrong.text}
    assert "[redacted]" in artifacts
    assert "[redacted]" in texts["errors"]
    found = [
        (name, what) for name, text in texts.items() for what in SECRETS.values() if what in text
    ]
    assert found == []
