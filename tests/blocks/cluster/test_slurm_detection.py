"""Slurm's answers, read from text, and what is chosen from them."""

from pathlib import Path

import pytest

from wildloop.blocks.cluster.detect import choose, detect_cluster
from wildloop.blocks.cluster.gpu import GpuReading
from wildloop.blocks.cluster.models import Cluster, ClusterType, Gpu
from wildloop.blocks.cluster.slurm import (
    SlurmReading,
    count_gpus,
    parse_config,
    parse_share,
    parse_sinfo,
    read_slurm,
    summarise,
)

SINFO = """\
n1|gpu|up|idle|gpu:a100:4(S:0-1)|1-00:00:00
n2|gpu|up|mixed|gpu:a100:4(S:0-1)|1-00:00:00
n3|gpu|up|drained|gpu:a100:4(S:0-1)|1-00:00:00
n4|gpu|up|idle*|gpu:a100:4|1-00:00:00
n1|debug|up|idle|gpu:a100:4(S:0-1)|30:00
c1|cpu|up|idle~|(null)|infinite
x1|old|down|idle|gpu:2|infinite
slurm_load_partitions: something odd
"""
CONFIG = """\
Configuration data as of 2024-01-01T00:00:00
AccountingStorageHost   = localhost
ClusterName             = tiny
SlurmctldHost[0]        = head(10.0.0.1)
SlurmctldPort           = 6817
"""
GPUS = GpuReading(gpus=[Gpu(index=0, uuid="GPU-0", name="A100")])


@pytest.mark.parametrize(
    ("gres", "count"),
    [
        ("", 0),
        ("(null)", 0),
        ("gpu:4", 4),
        ("gpu:a100:4(S:0-1)", 4),
        ("gpu:a100:2,gpu:v100:1", 3),
        ("gpu:a100:2(IDX:0,1),shard:8", 2),
        ("mps:400,gpu:1", 1),
        ("gpu:1g.5gb:7", 7),
        ("license:gpu:3", 0),
        ("gpu", 0),
    ],
)
def test_gpus_of_a_gres_text(gres: str, count: int) -> None:
    assert count_gpus(gres) == count


def test_nodes_count_once_and_unusable_ones_not() -> None:
    reading = summarise(parse_sinfo(SINFO))
    assert (reading.gpu_count, reading.node_count) == (8, 3)
    gpu, debug, cpu, old = reading.partitions
    assert (gpu.name, gpu.state, gpu.nodes, gpu.gpus) == ("gpu", "up", 2, 8)
    assert gpu.gres == "gpu:a100:4,gpu:a100:4(S:0-1)" and gpu.time_limit == "1-00:00:00"
    assert (debug.gpus, debug.time_limit) == (4, "30:00")
    assert (cpu.nodes, cpu.gpus, cpu.gres) == (1, 0, "")
    assert (old.state, old.nodes) == ("down", 0)
    assert reading.notes == ["Slurm nodes left out: n3 (drained), n4 (idle*), x1 (down)"]


@pytest.mark.parametrize("text", ["", "\n\n", "a|b\n", "|||||\n"])
def test_text_of_another_form_yields_nothing(text: str) -> None:
    reading = summarise(parse_sinfo(text))
    assert (reading.partitions, reading.gpu_count, reading.notes) == ([], 0, [])


def test_config_is_read_by_name() -> None:
    config = parse_config(CONFIG)
    assert (config["ClusterName"], config["SlurmctldHost[0]"]) == ("tiny", "head(10.0.0.1)")


def commands(folder: Path, monkeypatch: pytest.MonkeyPatch, sinfo: str, scontrol: str) -> None:
    """Put commands of these names first on PATH."""
    for name, body in (("sinfo", sinfo), ("scontrol", scontrol)):
        path = folder / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def printing(text: str) -> str:
    return f"cat <<'END'\n{text}END"


async def test_slurm_is_asked_by_its_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands(tmp_path, monkeypatch, printing(SINFO), printing(CONFIG))
    reading = await read_slurm()
    assert (reading.gpu_count, reading.head_node, reading.cluster_name) == (8, "head", "tiny")
    cluster = await detect_cluster("slurm")
    assert (cluster.type, cluster.gpu_count, cluster.head_node) == (ClusterType.SLURM, 8, "head")
    assert cluster.label == "Slurm cluster tiny: 3 nodes, 8 GPUs"


async def test_slurm_without_its_controller_s_settings_is_still_slurm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands(tmp_path, monkeypatch, printing(SINFO), "echo no >&2; exit 1")
    reading = await read_slurm()
    assert reading.gpu_count == 8 and reading.head_node is None
    assert reading.notes[-1] == "scontrol failed: no"


@pytest.mark.parametrize(
    ("body", "seconds", "said"),
    [
        ("echo 'Unable to contact slurm controller' >&2; exit 1", 60, "sinfo failed: Unable"),
        ("exec sleep 600", 0.2, "sinfo did not answer within 0.2 s"),
    ],
)
async def test_silent_controller_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, seconds: float, said: str
) -> None:
    commands(tmp_path, monkeypatch, body, body)
    reading = await read_slurm(timeout_seconds=seconds)
    assert reading.broken and reading.partitions == []
    assert reading.notes[0].startswith(said)


async def test_no_slurm_is_no_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert await read_slurm() == SlurmReading()


def chosen(
    wanted: str | None, gpus: GpuReading, slurm: SlurmReading, **environment: str
) -> Cluster:
    return choose(ClusterType(wanted) if wanted else None, gpus, slurm, environment, "here", 1.0)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (None, "slurm"),
        ("unknown", "slurm"),
        ("slurm", "slurm"),
        ("local_gpu", "local_gpu"),
        ("cpu_only", "cpu_only"),
        ("kubernetes", "slurm"),
    ],
)
def test_preference_decides_among_what_is_there(wanted: str | None, expected: str) -> None:
    cluster = chosen(wanted, GPUS, summarise(parse_sinfo(SINFO)))
    assert cluster.type == expected
    assert (cluster.host, cluster.last_detected_at) == ("here", 1.0)
    assert ("not found" in str(cluster.details.notes)) == (wanted == "kubernetes")


def test_gpus_given_by_a_slurm_job_are_the_compute() -> None:
    cluster = chosen(None, GPUS, summarise(parse_sinfo(SINFO)), SLURM_JOB_ID="7")
    assert (cluster.type, cluster.gpu_count) == (ClusterType.LOCAL_GPU, 1)


def test_slurm_without_a_usable_node_is_degraded() -> None:
    reading = summarise(parse_sinfo("n1|gpu|up|down|gpu:4|1:00\n"))
    assert (chosen(None, GpuReading(), reading).status, reading.gpu_count) == ("degraded", 0)


def test_nothing_found_is_the_cpu_and_a_broken_part_lowers_confidence() -> None:
    sound = chosen(None, GpuReading(), SlurmReading())
    broken = chosen(None, GpuReading(broken=True, notes=["NVML hangs"]), SlurmReading())
    assert sound.type is broken.type is ClusterType.CPU_ONLY
    assert (sound.status, broken.status) == ("healthy", "degraded")
    assert broken.confidence < sound.confidence
    assert broken.details.notes == ["NVML hangs"]


def test_a_kubernetes_pod_is_noted() -> None:
    cluster = chosen(None, GPUS, SlurmReading(), KUBERNETES_SERVICE_HOST="10.0.0.1")
    assert cluster.type is ClusterType.LOCAL_GPU
    assert "Kubernetes pod" in cluster.details.notes[0]


async def test_unknown_preference_lists_what_is_valid() -> None:
    with pytest.raises(ValueError, match=r"'tpu' is unknown: give one of local_gpu, slurm"):
        await detect_cluster("tpu")


SHARED = """\
n1|gpu*|up|idle|gpu:a100:4|8
n1|all|up|idle|gpu:a100:4|8
n2|gpu*|up|mixed|gpu:a100:2,gpu:h100:2|16
n3|all|up|idle|(null)|32
n4|all|up|down*|gpu:a100:4|8
odd
"""


@pytest.mark.parametrize(
    ("partitions", "gpu_type", "gpus", "nodes", "cpus"),
    [
        (None, None, 8, 2, 24),
        ("gpu", "a100", 6, 2, 24),
        ("all", None, 4, 2, 40),
        ("all,gpu", None, 8, 3, 56),
    ],
)
def test_share_counts_each_usable_node_of_the_partitions_once(
    partitions: str | None, gpu_type: str | None, gpus: int, nodes: int, cpus: int
) -> None:
    share = parse_share(SHARED, partitions, gpu_type)
    assert share is not None and (share.gpus, share.nodes, share.cpus) == (gpus, nodes, cpus)
    assert parse_share(SHARED, "nowhere", None) is None
