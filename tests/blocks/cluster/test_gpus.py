"""GPUs by the real pynvml, on a stand-in library."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.nvml import LIBRARY, FakeNvml, build_nvml, gpu_uuid, mig_uuid
from tests.support.pace import patient
from wildloop.blocks.cluster.gpu import GpuReader, GpuReading, read_gpus, settled_gpus, visible_gpus
from wildloop.blocks.cluster.models import Gpu

CODE = """
import asyncio, sys
from wildloop.blocks.cluster.detect import detect_cluster
print(asyncio.run(detect_cluster(sys.argv[1] if sys.argv[1:] else None)).model_dump_json())
"""
# One living process that reads again at each line of its standard input.
LIVE = """
import os, sys
from wildloop.blocks.cluster.gpu import read_gpus_now, settled_gpus
first = None
for _ in sys.stdin:
    reading = read_gpus_now(os.environ.get("CUDA_VISIBLE_DEVICES"))
    first = first or reading.gpus
    settled = [gpu.device for gpu in settled_gpus(first, reading.gpus)]
    print(*settled, reading.broken, reading.notes, sep="|", flush=True)
"""

# What each child sees that is given one of the devices.
CHILDREN = """
import os
from wildloop.blocks.cluster.gpu import read_gpus_now
for gpu in read_gpus_now(os.environ.get("CUDA_VISIBLE_DEVICES")).gpus:
    print(gpu.uuid, *[seen.uuid for seen in read_gpus_now(gpu.device).gpus])
"""


def host(nvml: FakeNvml, **variables: str) -> dict[str, str]:
    """The environment of a process on a host with these GPUs and no Slurm."""
    cleared = ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID", "KUBERNETES_SERVICE_HOST")
    env = {name: value for name, value in os.environ.items() if name not in cleared}
    return env | nvml.environment | {"PATH": "/nowhere"} | variables


def detect(nvml: FakeNvml, preferred: str | None = None, **variables: str) -> dict[str, Any]:
    """Detect in a process of its own, since the library is chosen when it starts."""
    arguments = [sys.executable, "-c", CODE, *([preferred] if preferred else [])]
    env = host(nvml, **variables)
    done = subprocess.run(arguments, env=env, capture_output=True, text=True, timeout=patient(60))
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def indexes(cluster: dict[str, Any]) -> list[int]:
    return [gpu["index"] for gpu in cluster["details"]["gpus"]]


def notes(cluster: dict[str, Any]) -> str:
    return "\n".join(cluster["details"]["notes"])


def test_gpus_are_read_with_memory_load_and_processes(nvml: FakeNvml) -> None:
    nvml.occupy(1, 77, 60 * 1024)
    nvml.occupy(1, 76, None)
    cluster = detect(nvml)
    assert (cluster["type"], cluster["gpu_count"], cluster["status"]) == ("local_gpu", 4, "healthy")
    assert cluster["label"] == "4 x NVIDIA Stand-in 80GB"
    assert cluster["confidence"] > 0.9 and cluster["last_detected_at"] > 0 and cluster["host"]
    idle, busy = cluster["details"]["gpus"][:2]
    assert (idle["utilisation"], idle["processes"]) == (0, [])
    assert (busy["utilisation"], busy["memory_total_mib"]) == (90, 80 * 1024)
    processes = [(one["pid"], one["memory_mib"], one["graphics"]) for one in busy["processes"]]
    assert processes == [(76, None, False), (77, 60 * 1024, False)]
    assert busy["uuid"] == gpu_uuid(1)
    assert cluster["details"]["notes"] == []


def test_what_the_driver_reserves_is_not_counted_as_used(nvml: FakeNvml) -> None:
    assert detect(nvml)["details"]["gpus"][0]["memory_used_mib"] == 4


def test_a_process_that_draws_is_told_from_one_that_computes(nvml: FakeNvml) -> None:
    nvml.occupy(0, 10, 100, graphics=True)
    nvml.occupy(0, 11, 500)
    nvml.occupy(0, 11, 500, graphics=True)
    found = detect(nvml)["details"]["gpus"][0]["processes"]
    assert [(process["pid"], process["graphics"]) for process in found] == [(10, True), (11, False)]


def test_old_drivers_are_read_too(nvml: FakeNvml, tmp_path: Path) -> None:
    nvml.library = build_nvml(tmp_path / "old", old_driver=True)
    nvml.occupy(2, 77, 1000)
    nvml.occupy(2, 78, 90, graphics=True)
    cluster = detect(nvml)
    assert (cluster["gpu_count"], cluster["status"]) == (4, "healthy")
    assert [process["pid"] for process in cluster["details"]["gpus"][2]["processes"]] == [77, 78]


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("2,0", [2, 0]),
        (f"{gpu_uuid(3)},1", [3, 1]),
        (f"{gpu_uuid(2)},{gpu_uuid(1)}", [2, 1]),
    ],
)
def test_cuda_visible_devices_is_respected(
    nvml: FakeNvml, visible: str, expected: list[int]
) -> None:
    cluster = detect(nvml, CUDA_VISIBLE_DEVICES=visible)
    assert indexes(cluster) == expected and cluster["gpu_count"] == 2
    assert "2 of 4 GPUs visible" in notes(cluster)


@pytest.mark.parametrize(
    ("own", "devices"),
    [
        ({}, 5),
        ({"CUDA_VISIBLE_DEVICES": "3,0"}, 2),
        ({"CUDA_VISIBLE_DEVICES": f"{gpu_uuid(2)},1"}, 3),
    ],
)
def test_device_ids_mean_the_same_gpu_to_a_child(
    nvml: FakeNvml, own: dict[str, str], devices: int
) -> None:
    nvml.split(1, 2)
    done = subprocess.run(
        [sys.executable, "-c", CHILDREN], env=host(nvml, **own), capture_output=True, text=True
    )
    seen = [line.split() for line in done.stdout.splitlines()]
    assert len(seen) == devices, done.stderr
    assert all(mine == childs for mine, childs in seen)


def test_hidden_gpus_leave_the_cpu(nvml: FakeNvml) -> None:
    cluster = detect(nvml, CUDA_VISIBLE_DEVICES="")
    assert (cluster["type"], cluster["gpu_count"]) == ("cpu_only", 0)


def test_driver_without_gpus_leaves_the_cpu(nvml: FakeNvml) -> None:
    for number in range(4):
        nvml.remove(number)
    cluster = detect(nvml)
    assert (cluster["type"], cluster["status"]) == ("cpu_only", "healthy")


def test_driver_that_is_not_loaded_leaves_the_cpu_and_is_said(nvml: FakeNvml) -> None:
    nvml.load_driver(False)
    cluster = detect(nvml)
    assert (cluster["type"], cluster["status"]) == ("cpu_only", "degraded")
    assert "Driver Not Loaded" in notes(cluster)


def test_library_that_cannot_be_loaded_is_a_broken_driver(nvml: FakeNvml, tmp_path: Path) -> None:
    nvml.library = tmp_path / "damaged"
    nvml.library.mkdir()
    (nvml.library / LIBRARY).write_bytes(b"")
    cluster = detect(nvml)
    assert (cluster["type"], cluster["status"]) == ("cpu_only", "degraded")
    assert "cannot be loaded" in notes(cluster) and "too short" in notes(cluster)


@pytest.mark.parametrize("halfway", [False, True])
def test_a_lost_gpu_is_left_out_and_said(nvml: FakeNvml, halfway: bool) -> None:
    nvml.lose(2, halfway)
    cluster = detect(nvml)
    assert indexes(cluster) == [0, 1, 3]
    assert cluster["status"] == "degraded"
    assert "GPU 2 cannot be read and is left out: GPU is lost" in notes(cluster)


@pytest.mark.parametrize("visible", ["2,1", f"{gpu_uuid(2)},{gpu_uuid(1)}"])
def test_a_lost_gpu_does_not_hide_those_named_after_it(nvml: FakeNvml, visible: str) -> None:
    nvml.lose(2)
    assert indexes(detect(nvml, CUDA_VISIBLE_DEVICES=visible)) == [1]


def test_a_living_process_sees_gpus_come_and_go(nvml: FakeNvml) -> None:
    worker = subprocess.Popen(
        [sys.executable, "-c", LIVE],
        env=host(nvml, CUDA_VISIBLE_DEVICES="0,1,3"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdin is not None and worker.stdout is not None

    def look() -> list[str]:
        assert worker.stdin is not None and worker.stdout is not None
        print(file=worker.stdin, flush=True)
        return worker.stdout.readline().split("|")

    try:
        assert look()[:4] == ["0", "1", "3", "False"]
        nvml.lose(1)
        assert look()[:3] == ["0", "3", "True"]
        nvml.load_driver(False)
        assert look()[0] == "True"
        nvml.load_driver()
        nvml.restore(1)
        assert look()[:4] == ["0", "1", "3", "False"]
        nvml.remove(1)
        assert look()[:2] == ["0", "False"]
    finally:
        worker.stdin.close()
        worker.stdout.close()
        worker.wait(patient(30))


def test_mig_instances_are_counted_one_by_one(nvml: FakeNvml) -> None:
    nvml.split(1, 2)
    nvml.occupy(1, 77, 5000, place=1)
    cluster = detect(nvml)
    assert cluster["gpu_count"] == 5
    free, busy = cluster["details"]["gpus"][1:3]
    assert (free["uuid"], busy["uuid"]) == (mig_uuid(1, 0), mig_uuid(1, 1))
    assert busy["parent"] == gpu_uuid(1) and busy["mig"] and busy["index"] == 1
    assert (free["memory_used_mib"], busy["memory_used_mib"]) == (0, 5000)
    assert (len(free["processes"]), len(busy["processes"])) == (0, 1)
    assert "each instance is counted as a GPU" in notes(cluster)


def test_mig_mode_without_instances_offers_nothing(nvml: FakeNvml) -> None:
    nvml.split(0, 0)
    cluster = detect(nvml)
    assert indexes(cluster) == [1, 2, 3]
    assert "GPU 0 is in MIG mode without instances" in notes(cluster)


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (mig_uuid(0, 1), [mig_uuid(0, 1)]),
        (f"{mig_uuid(0, 1)},2", [mig_uuid(0, 1), "2"]),
        ("0", [mig_uuid(0, 0), mig_uuid(0, 1)]),
        (gpu_uuid(0), [mig_uuid(0, 0), mig_uuid(0, 1)]),
    ],
)
def test_mig_instances_can_be_named(nvml: FakeNvml, visible: str, expected: list[str]) -> None:
    nvml.split(0, 2)
    found = detect(nvml, CUDA_VISIBLE_DEVICES=visible)["details"]["gpus"]
    assert [Gpu.model_validate(gpu).device for gpu in found] == expected


def test_preferring_what_is_not_there_is_noted(nvml: FakeNvml) -> None:
    cluster = detect(nvml, "slurm")
    assert cluster["type"] == "local_gpu"
    assert "'slurm' was asked for and not found" in cluster["details"]["notes"]


def test_cpu_can_be_preferred(nvml: FakeNvml) -> None:
    assert detect(nvml, "cpu_only")["type"] == "cpu_only"


async def test_hanging_driver_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def hang(visible: str | None) -> GpuReading:
        release.wait(patient(60))
        return GpuReading()

    monkeypatch.setattr("wildloop.blocks.cluster.gpu.read_gpus_now", hang)
    try:
        reading = await read_gpus(None, timeout_seconds=0.01)
    finally:
        release.set()
    assert reading.broken and "did not answer" in reading.notes[0]


async def test_driver_that_hangs_holds_one_thread_until_it_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release, calls = threading.Event(), list[str | None]()

    def hang(visible: str | None) -> GpuReading:
        calls.append(visible)
        release.wait(patient(60))
        return GpuReading(notes=["answered"])

    monkeypatch.setattr("wildloop.blocks.cluster.gpu.read_gpus_now", hang)
    reader = GpuReader("1")
    try:
        for _ in range(3):
            assert (await reader.read(timeout_seconds=0.01)).broken
        assert calls == ["1"]
    finally:
        release.set()
    assert (await reader.read()).notes == ["answered"]
    assert (await reader.read()).notes == ["answered"]
    assert calls[:2] == ["1", "1"] and len(calls) <= 3


async def test_unexpected_errors_are_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(visible: str | None) -> GpuReading:
        raise RuntimeError("odd")

    monkeypatch.setattr("wildloop.blocks.cluster.gpu.read_gpus_now", fail)
    with pytest.raises(RuntimeError, match="odd"):
        await read_gpus(None)


GPUS = [Gpu(index=n, uuid=f"GPU-{n}{n}-abc", name="x") for n in range(3)]
PARTS = [
    *GPUS[:2],
    Gpu(index=2, uuid="MIG-1a", name="x", mig=True, parent="GPU-22-abc"),
    Gpu(index=2, uuid="MIG-1b", name="x", mig=True, parent="GPU-22-abc"),
]


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, [0, 1, 2]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("1", [1]),
        (" 2 , 0", [2, 0]),
        ("0,7,1", [0]),
        ("0,0,1", [0]),
        ("0,,1", [0]),
        ("GPU-11", [1]),
        ("GPU-", []),
        ("MIG-abc", []),
    ],
)
def test_visible_gpus(visible: str | None, expected: list[int]) -> None:
    assert [gpu.index for gpu in visible_gpus(GPUS, visible)] == expected


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, ["0", "1", "MIG-1a", "MIG-1b"]),
        ("MIG-1b,1", ["MIG-1b", "1"]),
        ("2,0", ["MIG-1a", "MIG-1b", "0"]),
        ("MIG-1", []),
        ("1,MIG-1b,2", ["1", "MIG-1b"]),
        ("GPU-22,MIG-1a", ["MIG-1a", "MIG-1b"]),
    ],
)
def test_visible_instances(visible: str | None, expected: list[str]) -> None:
    assert [gpu.device for gpu in visible_gpus(PARTS, visible)] == expected


@pytest.mark.parametrize(
    ("visible", "lost", "expected"),
    [
        ("3,0", {3}, [0]),
        ("4,0", {3}, []),
        ("GPU-gone,0", {3}, [0]),
        ("GPU-gone,0", set(), []),
        ("-1,0", {3}, []),
    ],
)
def test_names_of_lost_gpus_are_passed_over(
    visible: str, lost: set[int], expected: list[int]
) -> None:
    assert [gpu.index for gpu in visible_gpus(GPUS, visible, lost)] == expected


@given(names=st.lists(st.sampled_from(["0", "1", "2", "7", "", "GPU-00", "GPU-11-abc", "-1"])))
def test_no_gpu_is_visible_twice(names: Sequence[str]) -> None:
    found = [gpu.uuid for gpu in visible_gpus(GPUS, ",".join(names))]
    assert len(found) == len(set(found))


def moved(gpus: Sequence[Gpu], gone: int) -> list[Gpu]:
    """The GPUs after one was taken off the bus: those behind it move up."""
    left = [gpu for gpu in gpus if gpu.index != gone]
    return [gpu.model_copy(update={"index": place}) for place, gpu in enumerate(left)]


def test_gpu_whose_index_has_moved_is_not_taken_for_the_one_that_had_it() -> None:
    assert [gpu.uuid for gpu in settled_gpus(GPUS, moved(GPUS, gone=1))] == [GPUS[0].uuid]
    assert settled_gpus(GPUS, moved(GPUS, gone=2)) == GPUS[:2]


def test_gpu_that_is_back_or_new_is_settled() -> None:
    new = Gpu(index=3, uuid="GPU-33-abc", name="x")
    assert settled_gpus(GPUS, [*GPUS, new]) == [*GPUS, new]
    assert settled_gpus([], GPUS) == GPUS
