"""What the API tells is what Prefect has, whatever happens to events, servers and flow runs."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.gates import Gate
from tests.support.server import Server, end_politely
from tests.support.waiting import wait_for
from wildloop.shim.net import free_ports

pytestmark = pytest.mark.e2e


@pytest.fixture
def told(rough_server: Server) -> Server:
    """A server of this file's own, with no run that it lists."""
    for run in rough_server.get("/runs", limit=200):
        rough_server.post(f"/runs/{run['id']}/archive")
    rough_server.wait_for(lambda: rough_server.get("/runs") == [], "no run is listed")
    return rough_server


@pytest.fixture
def other(told: Server) -> Iterator[httpx.Client]:
    """A client of another API process on the same Prefect server."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{told.prefect_port}/api"
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "wildloop.shim.main", "--port", str(port)],
        env={
            **told.env,
            "PREFECT_API_URL": url,
            "PREFECT_API_AUTH_STRING": f"wildloop:{told.token}",
            "WILDLOOP_AUTH_TOKEN": told.token,
        },
        cwd=told.workdir,
    )
    headers = {"X-Auth-Token": told.token}
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60)

    def answers() -> bool:
        try:
            return client.get("/health").is_success
        except httpx.TransportError:
            return False

    wait_for(answers, "the other API answers", 60)
    yield client
    client.close()
    end_politely(process)


def in_prefect(server: Server) -> dict[str, tuple[str, str]]:
    """State and name of each run, as Prefect has them."""
    wanted = {"flow_runs": {"tags": {"all_": ["wildloop:experiment"]}}, "limit": 200}
    found = server.prefect.post("/flow_runs/filter", json=wanted).json()
    return {one["id"]: (one["state_type"], one["name"]) for one in found}


def in_api(client: httpx.Client) -> dict[str, tuple[str, str]]:
    """As `in_prefect`, by an API."""
    words = {
        "ready": "PAUSED",
        "queued": "SCHEDULED",
        "finished": "COMPLETED",
        "failed": "FAILED",
        "stopped": "CANCELLED",
    }
    found = client.get("/runs", params={"archived": "all", "limit": 200}).json()
    return {one["id"]: (words.get(one["status"], "RUNNING"), one["name"]) for one in found}


def same(server: Server, client: httpx.Client, seconds: float = 90) -> None:
    """Wait until an API tells what Prefect has."""
    wait_for(lambda: in_api(client) == in_prefect(server), "the API tells the truth", seconds)


def test_what_is_done_in_prefect_itself_is_told(told: Server) -> None:
    server = told
    kept, gone, cancelled, renamed = (
        server.post("/runs", {"name": f"r{n}", "command": "true", "gpus": 0})["id"]
        for n in range(4)
    )
    assert server.get("/wild/v2/system-health")["ready"] == 4
    assert server.prefect.delete(f"/flow_runs/{gone}").is_success
    state = {"type": "CANCELLED", "name": "Cancelled"}
    body = {"state": state, "force": True}
    assert server.prefect.post(f"/flow_runs/{cancelled}/set_state", json=body).is_success
    tags = ["wildloop:experiment", "sweep:theirs"]
    patch = {"name": "by hand", "tags": tags}
    assert server.prefect.patch(f"/flow_runs/{renamed}", json=patch).is_success
    same(server, server.http)
    assert server.http.get(f"/runs/{gone}").status_code == 404
    assert [run["id"] for run in server.get("/runs", sweep_id="theirs")] == [renamed]
    assert server.get("/wild/v2/system-health")["ready"] == 2
    server.post(f"/runs/{kept}/start")
    server.ended(kept)


def test_two_servers_tell_the_same_and_each_what_it_was_told(
    told: Server, other: httpx.Client, tmp_path: Path
) -> None:
    server, gate = told, Gate(tmp_path / "gate")
    run: dict[str, Any] = server.run(gate.wait, gpus=0)
    assert [one["id"] for one in server.get("/runs")] == [run["id"]]
    wait_for(lambda: other.get("/runs").json(), "the other one sees it", 30)
    server.reaches(run["id"], "running")
    wait_for(lambda: other.get(f"/runs/{run['id']}").json()["status"] == "running", "it runs", 30)
    other.put(f"/runs/{run['id']}", json={"name": "renamed"}).raise_for_status()
    assert other.get("/runs").json()[0]["name"] == "renamed"
    wait_for(lambda: server.get("/runs")[0]["name"] == "renamed", "the first one sees it", 30)
    assert other.post(f"/runs/{run['id']}/stop").is_success
    gate.open()
    server.ended(run["id"])
    other.post(f"/runs/{run['id']}/archive").raise_for_status()
    assert other.get("/runs").json() == []
    wait_for(lambda: server.get("/runs") == [], "archived here as well", 30)
    dated = server.http.get("/runs")
    assert float(dated.headers["X-Wildloop-As-Of"]) > run["created_at"]


def test_a_prefect_server_that_is_killed_and_back_is_told_as_it_is(
    told: Server, tmp_path: Path
) -> None:
    server, gate = told, Gate(tmp_path / "gate")
    held = server.run(gate.wait, gpus=0)
    server.reaches(held["id"], "running")
    child = server.child("wildloop.shim.prefect_server")
    child.send_signal(signal.SIGKILL)
    gate.open()
    # Until it is back, the answer is 503.
    server.wait_for(lambda: _status(server, held["id"]) == "finished", "its end is told", 120)
    assert in_api(server.http) == in_prefect(server)


def _status(server: Server, id: str) -> str | None:
    answer = server.http.get(f"/runs/{id}")
    assert answer.is_success or answer.status_code == 503, answer.text
    return str(answer.json()["status"]) if answer.is_success else None
