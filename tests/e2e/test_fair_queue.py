"""Large runs among small ones, and sessions beside one that floods the queue, on four devices."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gates import Gate
from tests.support.nvml import FakeNvml
from tests.support.project import make_project
from tests.support.server import Server, start_server

pytestmark = pytest.mark.e2e
PATIENCE_SECONDS = 2.0


@pytest.fixture(scope="module")
def shared_server(nvml_library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A `wildloop up` with four GPUs, where a large run is passed for two seconds."""
    folder = tmp_path_factory.mktemp("fair")
    gpus = FakeNvml(nvml_library, folder / "nvml-state")
    extra = {**gpus.environment, "WILDLOOP_LARGE_WAIT_SECONDS": str(PATIENCE_SECONDS)}
    project = make_project(folder / "project")
    running = start_server(folder / "home", project, slots=4, extra=extra)
    yield running
    running.stop()


@pytest.fixture
def fair_server(shared_server: Server) -> Iterator[Server]:
    yield shared_server
    shared_server.stop_all()


def test_small_runs_pass_a_large_one_but_not_for_ever(fair_server: Server, tmp_path: Path) -> None:
    server, gate = fair_server, Gate(tmp_path / "gate")
    first = server.run(gate.command)
    gate.await_runs(1)
    large = server.run("sleep 0.2", gpus=4)
    small = [server.run("sleep 1") for _ in range(24)]
    passing = server.ended(small[0]["id"])
    assert server.get(f"/runs/{large['id']}")["status"] == "queued"
    gate.open()
    big = server.ended(large["id"])
    assert (passing["status"], big["status"]) == ("finished", "finished")
    assert server.ended(first["id"])["finished_at"] <= big["started_at"]
    last = server.ended(small[-1]["id"])
    assert passing["finished_at"] <= big["started_at"] < last["started_at"]


def test_session_that_floods_the_queue_leaves_another_its_share(
    fair_server: Server, tmp_path: Path
) -> None:
    server = fair_server
    sessions = []
    for name in ("flood", "other"):
        project = make_project(tmp_path / name)
        sessions.append(server.start(project, "command:sleep 900"))
    held, gate = Gate(tmp_path / "held"), Gate(tmp_path / "gate")
    server.run(held.command, gpus=4)
    held.await_runs(1)
    of_flood, of_other = (
        [server.run(gate.command, chat_session_id=id)["id"] for _ in range(count)]
        for id, count in zip(sessions, (12, 4), strict=True)
    )
    held.open()
    gate.await_runs(4)
    begun = [
        sum(server.get(f"/runs/{id}")["status"] != "queued" for id in ids)
        for ids in (of_flood, of_other)
    ]
    gate.open()
    assert begun == [2, 2]
    last = server.ended(of_other[-1])
    assert last["started_at"] < server.ended(of_flood[-1])["started_at"]
