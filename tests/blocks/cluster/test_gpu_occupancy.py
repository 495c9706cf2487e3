"""Who uses the GPUs: ours are told from others, on hosts and in containers."""

import json
import os
import subprocess
import sys
import threading
from typing import Any

import psutil
import pytest

from tests.support.nvml import FakeNvml, mig_uuid
from tests.support.pace import patient
from wildloop.blocks.cluster.contention import (
    DISPLAY_MIB,
    UNLISTED_MIB,
    outside_users,
    read_occupancy,
    sees_host_pids,
)
from wildloop.blocks.cluster.gpu import GpuReader, GpuReading
from wildloop.blocks.cluster.models import Gpu, GpuProcess

CODE = """
import asyncio, json, os, sys
from wildloop.blocks.cluster.contention import read_occupancy
from wildloop.blocks.cluster.gpu import GpuReader
own, held = json.loads(sys.argv[1])
reader = GpuReader(os.environ.get("CUDA_VISIBLE_DEVICES"))
occupancy = asyncio.run(read_occupancy(reader, own, held))
print(json.dumps([occupancy.model_dump(mode="json"), sorted(occupancy.in_outside_use)]))
"""


def occupancy(
    nvml: FakeNvml, own: list[int] | None = None, held: list[str] | None = None, **variables: str
) -> tuple[dict[str, Any], list[str]]:
    """What a worker on this host sees, and the devices that it leaves alone."""
    env = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    done = subprocess.run(
        [sys.executable, "-c", CODE, json.dumps([own or [], held or []])],
        env=env | nvml.environment | variables,
        capture_output=True,
        text=True,
        timeout=patient(60),
    )
    assert done.returncode == 0, done.stderr
    found, busy = json.loads(done.stdout)
    return found, busy


def gpu(*processes: GpuProcess, used: float | None = 4.0, index: int = 0) -> Gpu:
    return Gpu(
        index=index,
        uuid=f"GPU-{index}",
        name="x",
        processes=list(processes),
        memory_used_mib=used,
        memory_total_mib=80_000,
    )


def test_idle_gpus_are_in_nobodys_use(nvml: FakeNvml) -> None:
    found, busy = occupancy(nvml)
    assert busy == [] and not found["broken"] and found["notes"] == []
    assert [sample["device"] for sample in found["samples"]] == ["0", "1", "2", "3"]
    assert found["taken_at"] > 0 and found["load"] >= 0


def test_outside_process_makes_its_gpu_one_to_leave_alone(nvml: FakeNvml) -> None:
    nvml.occupy(2, os.getpid(), 9000)
    found, busy = occupancy(nvml)
    assert busy == ["2"]
    sample = found["samples"][2]
    assert (sample["utilisation"], sample["memory_used_mib"]) == (90, 9004)
    (user,) = sample["outside"]
    assert (user["pid"], user["memory_mib"]) == (os.getpid(), 9000)
    if sees_host_pids():
        me = psutil.Process()
        assert (user["name"], user["user"]) == (me.name(), me.username())


def test_only_visible_gpus_are_looked_at(nvml: FakeNvml) -> None:
    nvml.occupy(0, 4242)
    nvml.occupy(3, 4242)
    found, busy = occupancy(nvml, CUDA_VISIBLE_DEVICES="3,1")
    assert [sample["device"] for sample in found["samples"]] == ["3", "1"]
    assert busy == ["3"]


def test_own_run_is_no_outside_user(nvml: FakeNvml) -> None:
    nvml.occupy(0, 4242)
    assert occupancy(nvml, own=[4242], held=["0"])[1] == []


@pytest.mark.skipif(not sees_host_pids(), reason="in a container, pids cannot be matched")
def test_outsider_beside_an_own_run_is_seen(nvml: FakeNvml) -> None:
    nvml.occupy(0, 4242, 1000)
    nvml.occupy(0, 999_999, 1000)
    found, busy = occupancy(nvml, own=[4242], held=["0"])
    assert busy == ["0"]
    assert [user["pid"] for user in found["samples"][0]["outside"]] == [999_999]


def test_memory_that_no_process_has_counts_as_outside_use(nvml: FakeNvml) -> None:
    nvml.fill(1, 5000)
    found, busy = occupancy(nvml)
    assert busy == ["1"]
    assert found["samples"][1]["outside"][0]["pid"] == 0
    assert occupancy(nvml, held=["1"])[1] == []


def test_outside_use_of_one_mig_instance_leaves_the_others_free(nvml: FakeNvml) -> None:
    nvml.split(0, 3)
    nvml.occupy(0, 4242, 5000, place=1)
    assert occupancy(nvml)[1] == [mig_uuid(0, 1)]


def test_driver_that_is_not_loaded_is_told_and_not_raised(nvml: FakeNvml) -> None:
    nvml.load_driver(False)
    found, busy = occupancy(nvml)
    assert busy == [] and found["samples"] == [] and found["broken"]
    assert "Driver Not Loaded" in found["notes"][0]


def test_lost_gpu_is_told_and_the_others_are_seen(nvml: FakeNvml) -> None:
    nvml.lose(1)
    nvml.occupy(3, 4242)
    found, busy = occupancy(nvml)
    assert [sample["device"] for sample in found["samples"]] == ["0", "2", "3"]
    assert busy == ["3"] and found["broken"] and "GPU 1 cannot be read" in found["notes"][0]


async def test_hanging_driver_is_told_and_not_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def hang(visible: str | None) -> GpuReading:
        release.wait(patient(60))
        return GpuReading()

    monkeypatch.setattr("wildloop.blocks.cluster.gpu.read_gpus_now", hang)
    try:
        found = await read_occupancy(GpuReader(None), timeout_seconds=0.01)
    finally:
        release.set()
    assert found.broken and "did not answer within 0.01 s" in found.notes[0]
    assert found.in_outside_use == frozenset()


SMALL, LARGE = DISPLAY_MIB - 1, DISPLAY_MIB


@pytest.mark.parametrize(
    ("process", "counts"),
    [
        (GpuProcess(pid=5, memory_mib=SMALL, graphics=True), False),
        (GpuProcess(pid=5, memory_mib=LARGE, graphics=True), True),
        (GpuProcess(pid=5, memory_mib=None, graphics=True), True),
        (GpuProcess(pid=5, memory_mib=SMALL), True),
        (GpuProcess(pid=5, memory_mib=None), True),
        (GpuProcess(pid=7, memory_mib=9000), False),
    ],
)
def test_who_counts_as_an_outside_user(process: GpuProcess, counts: bool) -> None:
    expected = {"0": [process]} if counts else {}
    assert outside_users([gpu(process)], own={7, 8}) == expected


@pytest.mark.parametrize(
    ("used", "listed", "outsiders"),
    [
        (UNLISTED_MIB, 0.0, 0),
        (UNLISTED_MIB + 1, 0.0, 1),
        (UNLISTED_MIB + 500, 500.0, 0),
        (UNLISTED_MIB + 501, 500.0, 1),
        (UNLISTED_MIB + 501, None, 0),
        (None, 0.0, 0),
    ],
)
def test_unlisted_memory(used: float | None, listed: float | None, outsiders: int) -> None:
    own = GpuProcess(pid=7, memory_mib=listed)
    found = outside_users([gpu(own, used=used)], own={7})
    assert [user.pid for user in found.get("0", [])] == [0] * outsiders


@pytest.mark.parametrize("pids_match", [True, False])
def test_unnumbered_processes_are_ours_only_on_devices_that_we_hold(pids_match: bool) -> None:
    nameless = GpuProcess(pid=0, memory_mib=5000)
    gpus = [gpu(nameless, used=5000, index=n) for n in range(2)]
    assert outside_users(gpus, own={0}, held={"1"}, pids_match=pids_match) == {"0": [nameless]}


def test_in_a_container_equal_pids_are_a_coincidence() -> None:
    stranger = GpuProcess(pid=7, memory_mib=5000)
    gpus = [gpu(stranger, used=5000, index=n) for n in range(2)]
    assert outside_users(gpus, own={7}, held={"1"}, pids_match=False) == {"0": [stranger]}
    assert outside_users(gpus, own={7}, held={"1"}) == {}


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="a pid namespace needs Linux and root"
)
def test_a_pid_namespace_of_its_own_is_noticed() -> None:
    code = "from wildloop.blocks.cluster.contention import sees_host_pids; print(sees_host_pids())"
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=patient(60))
    if done.returncode != 0 and "unshare" in done.stderr:
        pytest.skip(f"no pid namespaces here: {done.stderr.strip()}")
    assert done.stdout.strip() == "False", done.stderr
