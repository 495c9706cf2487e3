"""A Kubernetes compute block, and what its nodes offer."""

import time
from collections import Counter

from prefect.blocks.core import Block

from wildloop.blocks.cluster.models import Cluster, ClusterDetails, ClusterType
from wildloop.blocks.launchers.base import LaunchFailed
from wildloop.blocks.launchers.kubernetes_api import Refused, Silent
from wildloop.blocks.launchers.kubernetes_compute import KubernetesCompute
from wildloop.blocks.launchers.kubernetes_pool import Target
from wildloop.flows.errors import InvalidRequest
from wildloop.flows.models.cluster import HostRecord
from wildloop.flows.models.compute import GpuKind
from wildloop.flows.text.plural import counted

KUBERNETES_SLUG = "wildloop-kubernetes-compute"
_MEMORY_LABEL = "nvidia.com/gpu.memory"


async def kubernetes_block(choice: str) -> KubernetesCompute:
    """The block that `--compute` names.

    Raises:
        InvalidRequest: it is not there.
    """
    try:
        found = await Block.aload(choice)
    except ValueError as error:
        raise InvalidRequest(
            f"--compute '{choice}': no such block; create it in the Prefect UI, under Blocks"
        ) from error
    if not isinstance(found, KubernetesCompute):
        raise InvalidRequest(f"--compute '{choice}' is no Kubernetes compute block")
    return found


async def kubernetes_record(
    choice: str, block: KubernetesCompute, host: str, slots: int | None
) -> HostRecord:
    """What a host's record says of a Kubernetes block.

    Raises:
        InvalidRequest: the cluster or the work pool is not to be had.
    """
    try:
        cluster, _ = await Target().of(block)
        nodes = await cluster.nodes(block.node_selector)
        notes: list[str] = []
    except LaunchFailed as error:
        raise InvalidRequest(f"--compute '{choice}': {error}") from error
    except (Refused, Silent) as error:
        if block.slots is None:
            raise InvalidRequest(
                f"--compute '{choice}': its nodes cannot be counted ({error}): set slots in the "
                "block, or allow this user to list nodes"
            ) from error
        nodes, notes = [], [f"its nodes were not counted: {error}"]
    kinds = _kinds(block, nodes)
    gpus = block.slots or sum(kind.count for kind in kinds)
    name = choice.rpartition("/")[2]
    return HostRecord(
        host=host,
        cluster=Cluster(
            type=ClusterType.KUBERNETES,
            label=f"Kubernetes '{name}': {counted(len(nodes), 'node')}, {counted(gpus, 'GPU')}",
            description=f"Jobs in the namespace '{cluster.namespace}'."
            if not notes
            else "Jobs of the compute block.",
            gpu_count=gpus,
            node_count=len(nodes),
            details=ClusterDetails(notes=notes),
            last_detected_at=time.time(),
            host=host,
        ),
        slots_override=slots,
        cpus=block.cpu_runs,
        compute=name,
        kinds=kinds,
    )


def _kinds(block: KubernetesCompute, nodes: list[dict[str, object]]) -> list[GpuKind]:
    """The GPUs by type: the block's own word, else what the nodes' labels say."""
    counts: Counter[tuple[str, float | None]] = Counter()
    for node in nodes:
        labels = _mapping(_mapping(node.get("metadata")).get("labels"))
        there = _mapping(_mapping(node.get("status")).get("allocatable"))
        number = str(there.get(block.gpu_resource, "0"))
        kind = block.gpu_type or labels.get(block.gpu_type_label)
        if kind is None or not number.isdigit() or not int(number):
            continue
        told = str(labels.get(_MEMORY_LABEL, ""))
        memory = block.gpu_memory_gb or (round(int(told) / 1024, 1) if told.isdigit() else None)
        counts[str(kind), memory] += int(number)
    if not counts and block.gpu_type is not None and block.slots is not None:
        return [GpuKind(type=block.gpu_type, count=block.slots, memory_gb=block.gpu_memory_gb)]
    return [
        GpuKind(type=kind, memory_gb=memory, count=count)
        for (kind, memory), count in sorted(counts.items(), key=str)
    ]


def _mapping(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}
