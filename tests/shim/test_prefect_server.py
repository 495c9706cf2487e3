"""The embedded Prefect server and the internals of Prefect that it leans on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from shim import prefect_server
from shim.net import free_ports

AUTH = ("wildloop", "s3cret")
PROBE = """
import asyncio
from prefect.server.database import provide_database_interface
from prefect.server.database.configurations import SQLITE_BEGIN_MODE
from shim.prefect_server import begin_immediately

begin_immediately()

async def main():
    async with provide_database_interface().session_context(begin_transaction=True):
        print("mode", SQLITE_BEGIN_MODE.get())

asyncio.run(main())
"""


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.1)


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
    command = [sys.executable, "-P", "-m", "shim.prefect_server", "--port", str(port)]
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
            wait_for(answers)
            yield client
        finally:
            process.terminate()
            assert process.wait(20) == -signal.SIGTERM


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

    wait_for(lambda: {"secret", "local-file-system", "slack-webhook"} <= slugs())


def test_sqlite_transactions_begin_immediately(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROBE],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "mode IMMEDIATE" in done.stdout, done.stderr


async def test_failed_registration_of_blocks_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails() -> None:
        raise RuntimeError("no table")

    monkeypatch.setattr(prefect_server, "REGISTER_BLOCKS_AFTER_S", 0.0)
    monkeypatch.setattr(prefect_server, "register_blocks", fails)
    caplog.handler.setLevel("ERROR")
    with pytest.raises(RuntimeError):
        await prefect_server.register_blocks_later()
