"""The embedded Prefect server and the internals of Prefect that it leans on."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.pace import patient
from tests.support.waiting import wait_for
from wildloop.flows.prefect_inside import block_types
from wildloop.shim import prefect_server
from wildloop.shim.database import DatabaseKind
from wildloop.shim.net import free_ports
from wildloop.shim.plan import Plan

AUTH = ("wildloop", "s3cret")


def environment(home: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    return kept | {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_API_AUTH_STRING": ":".join(AUTH),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    home, (port,) = tmp_path_factory.mktemp("server"), free_ports(1)
    go = home / "database-ready"
    command = [sys.executable, "-P", "-m", "wildloop.shim.prefect_server", "--port", str(port)]
    command += ["--database-ready", str(go)]
    process = subprocess.Popen(command, env=environment(home))
    go.touch()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:

        def answers() -> bool:
            assert process.poll() is None, "the server ended at start"
            try:
                return client.get("/api/health").is_success
            except httpx.TransportError:
                return False

        try:
            wait_for(answers, "the server answers")
            yield client
        finally:
            process.terminate()
            assert process.wait(patient(20)) == -signal.SIGTERM


@pytest.mark.parametrize("path", ["/", "/api/health", "/api/flows/filter"])
def test_web_pages_of_others_are_refused(server: httpx.Client, path: str) -> None:
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        answer = server.get(path, headers=headers, auth=AUTH)
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers
    own = server.get("/api/health", headers={"Origin": str(server.base_url).rstrip("/")})
    assert own.status_code == 200


def test_api_is_closed_without_the_token(server: httpx.Client) -> None:
    assert server.post("/api/flows/filter", json={}).status_code == 401
    assert server.post("/api/flows/filter", json={}, auth=("wildloop", "no")).status_code == 401
    assert server.post("/api/flows/filter", json={}, auth=AUTH).status_code == 200


def test_ui_is_served_and_asks_for_the_login(server: httpx.Client) -> None:
    assert "text/html" in server.get("/", follow_redirects=True).headers["content-type"]
    assert server.get("/ui-settings").json()["auth"] == "BASIC"


def test_block_types_are_there_soon_after_the_start(server: httpx.Client) -> None:
    def slugs() -> set[str]:
        answer = server.post("/api/block_types/filter", json={}, auth=AUTH).raise_for_status()
        return {block["slug"] for block in answer.json()}

    wait_for(
        lambda: {"secret", "local-file-system", "slack-webhook"} <= slugs(),
        "the block types are there",
    )


@pytest.mark.parametrize(("said", "wanted"), [(None, True), ("true", True), ("false", False)])
def test_block_types_are_left_out_for_good_where_the_environment_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str | None, wanted: bool
) -> None:
    if said is None:
        monkeypatch.delenv(block_types.SETTING, raising=False)
    else:
        monkeypatch.setenv(block_types.SETTING, said)
    monkeypatch.setenv("PREFECT_MEMOIZE_BLOCK_AUTO_REGISTRATION", "")
    plan = Plan(tmp_path, "127.0.0.1", 1, tmp_path, "t", database=DatabaseKind.SQLITE)
    assert plan.server_environment(None).get(block_types.SETTING) == said
    assert block_types.leave_out_at_start() is wanted
    assert os.environ[block_types.SETTING] == "false"


async def test_failed_registration_of_blocks_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails() -> None:
        raise RuntimeError("no table")

    monkeypatch.setattr(prefect_server, "REGISTER_BLOCKS_AFTER_S", 0.0)
    monkeypatch.setattr(block_types, "register", fails)
    caplog.handler.setLevel("ERROR")
    with pytest.raises(RuntimeError):
        await prefect_server.register_blocks_later()
