"""Runs on a host with made-up GPUs: each has its devices to itself."""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest

from tests.support.nvml import FakeNvml
from tests.support.project import make_project
from tests.support.server import Server, start_server

pytestmark = pytest.mark.e2e


@pytest.fixture
def gpu_server(nvml: FakeNvml, tmp_path: Path) -> Iterator[Server]:
    """A `wildloop up` with a slot for each of four GPUs."""
    project = make_project(tmp_path / "project")
    running = start_server(tmp_path / "home", project, slots=4, extra=nvml.environment)
    yield running
    running.stop()


def test_runs_at_the_same_time_never_share_a_device(gpu_server: Server) -> None:
    command = 'echo "visible=[$CUDA_VISIBLE_DEVICES] order=$CUDA_DEVICE_ORDER"; sleep 1'
    asked = [1, 2, 1, 4, 0, 3, 1]
    created = [gpu_server.run(command, gpus=count)["id"] for count in asked]
    runs = [gpu_server.ended(id) for id in created]
    for run, count in zip(runs, asked, strict=True):
        assert run["status"] == "finished" and len(set(run["gpus"])) == count
        log = gpu_server.get(f"/runs/{run['id']}/logs")["content"]
        assert log.strip() == f"visible=[{','.join(run['gpus'])}] order=PCI_BUS_ID"
    for one, other in combinations(runs, 2):
        if one["started_at"] < other["finished_at"] and other["started_at"] < one["finished_at"]:
            assert not set(one["gpus"]) & set(other["gpus"]), (one, other)
    assert gpu_server.get("/cluster")["cluster"]["gpu_count"] == 4
