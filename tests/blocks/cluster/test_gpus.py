"""GPUs by NVML, against a stand-in library."""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from blocks.cluster.gpu import GpuReading, read_gpus, visible_gpus
from blocks.cluster.models import Gpu

SOURCE = Path(__file__).parents[2] / "fixtures" / "fake_nvml.c"
CODE = """
import asyncio, sys
from blocks.cluster.detect import detect_cluster
print(asyncio.run(detect_cluster(sys.argv[1] if sys.argv[1:] else None)).model_dump_json())
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a stand-in libnvidia-ml.so.1."""
    gcc = shutil.which("gcc") or shutil.which("cc")
    if gcc is None or sys.platform != "linux":
        pytest.skip("needs Linux and gcc, to build the stand-in NVML")
    folder = tmp_path_factory.mktemp("nvml")
    made = folder / "libnvidia-ml.so.1"
    name = "-Wl,-soname,libnvidia-ml.so.1"
    subprocess.run([gcc, "-shared", "-fPIC", "-O1", name, "-o", made, SOURCE], check=True)
    return folder


def detect(library: Path, preferred: str | None = None, **variables: str) -> dict[str, Any]:
    """Detect in a process of its own, since the library is chosen when it starts."""
    cleared = ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID", "KUBERNETES_SERVICE_HOST")
    env = {name: value for name, value in os.environ.items() if name not in cleared}
    env |= {"LD_LIBRARY_PATH": str(library), "PATH": "/nowhere"} | variables
    arguments = [sys.executable, "-c", CODE, *([preferred] if preferred else [])]
    done = subprocess.run(arguments, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def indexes(cluster: dict[str, Any]) -> list[int]:
    return [gpu["index"] for gpu in cluster["details"]["gpus"]]


def test_gpus_are_read_with_memory_load_and_processes(library: Path) -> None:
    cluster = detect(library, FAKE_NVML_GPUS="2", FAKE_NVML_BUSY="1", FAKE_NVML_PID="77")
    assert (cluster["type"], cluster["gpu_count"], cluster["status"]) == ("local_gpu", 2, "healthy")
    assert cluster["label"] == "2 x NVIDIA H100 80GB HBM3 (fake)"
    assert cluster["confidence"] > 0.9 and cluster["last_detected_at"] > 0 and cluster["host"]
    idle, busy = cluster["details"]["gpus"]
    assert (idle["utilisation"], idle["processes"], idle["memory_used_mib"]) == (0, [], 4.0)
    assert (busy["utilisation"], busy["memory_total_mib"]) == (90, 80 * 1024)
    assert busy["processes"] == [{"pid": 77, "memory_mib": 60 * 1024}]
    assert busy["uuid"] == "GPU-fa4e0000-0000-0000-0000-000000000001"


@pytest.mark.parametrize(
    ("visible", "expected"),
    [("2,0", [2, 0]), ("GPU-fa4e0000-0000-0000-0000-000000000003,1", [3, 1])],
)
def test_cuda_visible_devices_is_respected(
    library: Path, visible: str, expected: list[int]
) -> None:
    cluster = detect(library, CUDA_VISIBLE_DEVICES=visible)
    assert indexes(cluster) == expected and cluster["gpu_count"] == 2
    assert "2 of 4 GPUs visible" in " ".join(cluster["details"]["notes"])


def test_hidden_gpus_leave_the_cpu(library: Path) -> None:
    cluster = detect(library, CUDA_VISIBLE_DEVICES="")
    assert (cluster["type"], cluster["gpu_count"]) == ("cpu_only", 0)


@pytest.mark.parametrize(("count", "status"), [("0", "healthy"), ("-1", "degraded")])
def test_no_gpu_or_no_driver_leaves_the_cpu(library: Path, count: str, status: str) -> None:
    cluster = detect(library, FAKE_NVML_GPUS=count)
    assert (cluster["type"], cluster["status"]) == ("cpu_only", status)
    assert ("Driver Not Loaded" in str(cluster["details"]["notes"])) == (count == "-1")


def test_a_lost_gpu_is_left_out_and_said(library: Path) -> None:
    cluster = detect(library, FAKE_NVML_LOST="2")
    assert indexes(cluster) == [0, 1, 3]
    assert cluster["status"] == "degraded"
    assert "GPU 2 cannot be read" in cluster["details"]["notes"][0]


def test_mig_mode_is_noted(library: Path) -> None:
    cluster = detect(library, FAKE_NVML_MIG="0")
    assert [gpu["mig"] for gpu in cluster["details"]["gpus"]] == [True, False, False, False]
    assert "MIG mode" in cluster["details"]["notes"][0]


def test_preferring_what_is_not_there_is_noted(library: Path) -> None:
    cluster = detect(library, "slurm")
    assert cluster["type"] == "local_gpu"
    assert "'slurm' was asked for and not found" in cluster["details"]["notes"]


def test_cpu_can_be_preferred(library: Path) -> None:
    assert detect(library, "cpu_only")["type"] == "cpu_only"


async def test_hanging_driver_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def hang(visible: str | None) -> GpuReading:
        release.wait(60)
        return GpuReading()

    monkeypatch.setattr("blocks.cluster.gpu.read_gpus_now", hang)
    try:
        reading = await read_gpus(None, timeout_seconds=0.01)
    finally:
        release.set()
    assert reading.broken and "did not answer" in reading.notes[0]


async def test_unexpected_errors_are_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(visible: str | None) -> GpuReading:
        raise RuntimeError("odd")

    monkeypatch.setattr("blocks.cluster.gpu.read_gpus_now", fail)
    with pytest.raises(RuntimeError, match="odd"):
        await read_gpus(None)


GPUS = [Gpu(index=n, uuid=f"GPU-{n}{n}-abc", name="x") for n in range(3)]


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
