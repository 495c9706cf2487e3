"""Runs on a host with made-up GPUs: each has its devices to itself."""

import json
import os
import signal
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from tests.support.gates import Gate
from tests.support.nvml import FakeNvml
from tests.support.project import make_project
from tests.support.server import Server, start_server

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def gpus(nvml_library: Path, tmp_path_factory: pytest.TempPathFactory) -> FakeNvml:
    """The four GPUs of the server's host."""
    return FakeNvml(nvml_library, tmp_path_factory.mktemp("gpus") / "nvml-state")


@pytest.fixture(scope="module")
def shared_server(gpus: FakeNvml, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A `wildloop up` with a slot for each of four GPUs."""
    folder = tmp_path_factory.mktemp("gpu-server")
    project = make_project(folder / "project")
    extra = {**gpus.environment, "WILDLOOP_LARGE_WAIT_SECONDS": "0"}
    running = start_server(folder / "home", project, slots=4, extra=extra)
    yield running
    running.stop()


@pytest.fixture
def gpu_server(shared_server: Server, gpus: FakeNvml) -> Iterator[Server]:
    """The server, with four free GPUs and nothing else to do."""
    yield shared_server
    for number in range(4):
        gpus.vacate(number)
        gpus.restore(number)
    shared_server.stop_runs()


def test_runs_at_the_same_time_never_share_a_device(gpu_server: Server, tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    command = 'echo "visible=[$CUDA_VISIBLE_DEVICES] order=$CUDA_DEVICE_ORDER"'
    command += f"; {gate.command}; sleep 0.5"
    asked = [1, 2, 1, 4, 0, 3, 1]
    created = [gpu_server.run(command, gpus=count)["id"] for count in asked]
    # The first three hold all devices, the fifth needs none.
    gate.await_runs(4)
    gate.open()
    runs = [gpu_server.ended(id) for id in created]
    for run, count in zip(runs, asked, strict=True):
        assert run["status"] == "finished" and len(set(run["gpus"])) == count
        log = gpu_server.get(f"/runs/{run['id']}/logs")["content"]
        assert log.strip() == f"visible=[{','.join(run['gpus'])}] order=PCI_BUS_ID"
    for one, other in combinations(runs, 2):
        if one["started_at"] < other["finished_at"] and other["started_at"] < one["finished_at"]:
            held = [
                (r["name"], r["gpus"], r["launched_at"], r["started_at"], r["finished_at"])
                for r in (one, other)
            ]
            assert not set(one["gpus"]) & set(other["gpus"]), held
    assert gpu_server.get("/cluster")["cluster"]["gpu_count"] == 4


def held(server: Server, run: dict[str, Any], count: int) -> dict[str, Any]:
    """The run, once it runs with `count` devices."""

    def look() -> dict[str, Any] | None:
        found = dict(server.get(f"/runs/{run['id']}"))
        return found if found["status"] == "running" and len(found["gpus"]) == count else None

    return server.wait_for(look, f"it runs on {count} devices")


def test_more_devices_than_any_host_has_are_refused_at_once(gpu_server: Server) -> None:
    answer = gpu_server.http.post("/runs", json={"name": "x", "command": "true", "gpus": 5})
    assert answer.status_code == 422
    assert "gpus" in answer.json()["detail"] and "4" in answer.json()["detail"]


def test_device_that_others_use_is_left_alone_until_they_leave(
    gpu_server: Server, gpus: FakeNvml
) -> None:
    gpus.occupy(1, pid=999_999)
    runs = [gpu_server.run("sleep 900", name=f"r{n}") for n in range(3)]
    taken = [held(gpu_server, run, 1)["gpus"][0] for run in runs]
    assert sorted(taken) == ["0", "2", "3"]
    careless = gpu_server.run("true", gpuwrap_config={"enabled": False})
    assert gpu_server.ended(careless["id"])["gpus"] == ["1"]
    careful = gpu_server.run("echo $CUDA_VISIBLE_DEVICES")
    pair = gpu_server.run("echo $CUDA_VISIBLE_DEVICES", gpus=2)
    assert gpu_server.get(f"/runs/{careful['id']}")["status"] == "queued"
    gpus.vacate(1)
    assert gpu_server.ended(careful["id"])["gpus"] == ["1"]
    gpu_server.post(f"/runs/{runs[1]['id']}/stop")
    assert sorted(gpu_server.ended(pair["id"])["gpus"]) == ["1", "2"]


def test_device_that_vanishes_is_given_to_nobody(gpu_server: Server, gpus: FakeNvml) -> None:
    gpus.lose(2)
    runs = [gpu_server.run("sleep 900", name=f"r{n}") for n in range(4)]
    taken = sorted(held(gpu_server, run, 1)["gpus"][0] for run in runs[:3])
    assert taken == ["0", "1", "3"]
    assert gpu_server.get(f"/runs/{runs[3]['id']}")["status"] == "queued"
    gpus.restore(2)
    assert held(gpu_server, runs[3], 1)["gpus"] == ["2"]


def test_large_request_is_not_starved_by_small_ones(gpu_server: Server, tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    first = [gpu_server.run(gate.command) for _ in range(3)]
    gate.await_runs(3)
    large = gpu_server.run("sleep 0.2", gpus=4)
    later = [gpu_server.run("sleep 0.2") for _ in range(3)]
    gate.open()
    ended = [gpu_server.ended(run["id"]) for run in [*first, large, *later]]
    big = ended[3]
    assert all(run["finished_at"] <= big["started_at"] for run in ended[:3])
    assert all(run["started_at"] >= big["finished_at"] for run in ended[4:])


def test_what_ends_in_time_goes_before_a_large_request_that_devices_are_kept_for(
    gpu_server: Server, tmp_path: Path
) -> None:
    gate = Gate(tmp_path / "gate")
    first = gpu_server.run(gate.command, gpus=2, timeout_seconds=900)
    gate.await_runs(1)
    large = gpu_server.run("sleep 0.2", gpus=4)
    endless = gpu_server.run("sleep 0.2")
    short = gpu_server.ended(gpu_server.run("sleep 0.2", timeout_seconds=300)["id"])
    assert short["status"] == "finished"
    waiting = [gpu_server.get(f"/runs/{run['id']}")["status"] for run in (large, endless)]
    assert waiting == ["queued", "queued"]
    gate.open()
    big, late = (gpu_server.ended(run["id"]) for run in (large, endless))
    assert gpu_server.ended(first["id"])["finished_at"] <= big["started_at"]
    assert big["finished_at"] <= late["started_at"]


def test_adopted_run_keeps_its_devices_and_an_ended_one_frees_them(gpu_server: Server) -> None:
    server = gpu_server
    kept = held(server, server.run("until [ -e go ]; do sleep 0.1; done", gpus=3), 3)
    killed = held(server, server.run("sleep 900"), 1)
    process = json.loads((Path(killed["run_dir"]) / "process.json").read_text())
    server.child("wildloop.flows.worker.main").kill()
    os.killpg(process["pid"], signal.SIGKILL)
    again = server.run("echo $CUDA_VISIBLE_DEVICES")
    assert server.ended(killed["id"])["status"] == "failed"
    assert server.ended(again["id"])["gpus"] == killed["gpus"]
    (server.workdir / "go").touch()
    assert server.ended(kept["id"])["status"] == "finished"


def test_run_that_waits_for_its_next_attempt_is_stopped_though_all_devices_are_busy(
    gpu_server: Server,
) -> None:
    server = gpu_server
    failing = server.run("exit 1", retries=1, retry_delay_seconds=600)
    server.wait_for(
        lambda: (
            (found := server.get(f"/runs/{failing['id']}"))["attempt"] == 1
            and found["status"] == "queued"
        ),
        "it waits for its second attempt",
    )
    held(server, server.run("sleep 900", gpus=4), 4)
    server.post(f"/runs/{failing['id']}/stop")
    assert server.ended(failing["id"])["status"] == "stopped"


def test_run_that_died_for_want_of_gpu_memory_is_tried_again(gpu_server: Server) -> None:
    fault = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
    command = (
        f"echo x >> tries; [ $(wc -l < tries) = 3 ] || {{ echo '{fault}' >&2; exit 1; }}; echo ok"
    )
    wrap = {"enabled": True, "retries": 3, "retry_delay_seconds": 0.2}
    ended = gpu_server.ended(gpu_server.run(command, gpuwrap_config=wrap)["id"])
    assert (ended["status"], ended["attempt"]) == ("finished", 2)
    own = gpu_server.run("echo 'ValueError: wrong' >&2; exit 1", gpuwrap_config=wrap)
    assert (gpu_server.ended(own["id"])["attempt"], own["attempt"]) == (0, 0)
