"""Finds the compute: Slurm, local GPUs, or the CPU alone."""

import asyncio
import os
import socket
from datetime import UTC, datetime

from blocks.cluster.gpu import read_gpus
from blocks.cluster.models import Cluster, ClusterDetails, ClusterType
from blocks.cluster.slurm import read_partitions


async def detect_cluster(preferred_type: str | None = None) -> Cluster:
    """Detect the compute of this host.

    Args:
        preferred_type: take this kind if it is there, whatever else is found.
    """
    gpus, gpu_notes = await asyncio.to_thread(read_gpus, os.environ.get("CUDA_VISIBLE_DEVICES"))
    partitions, slurm_notes = await read_partitions()
    details = ClusterDetails(gpus=gpus, partitions=partitions, notes=gpu_notes + slurm_notes)
    host, now = socket.gethostname(), datetime.now(UTC).timestamp()
    if partitions and preferred_type in (None, ClusterType.SLURM):
        count = sum(partition.gpus for partition in partitions)
        return Cluster(
            type=ClusterType.SLURM,
            label=f"Slurm, {len(partitions)} partitions, {count} GPUs",
            description="sinfo lists partitions on this host.",
            gpu_count=count,
            node_count=sum(partition.nodes for partition in partitions),
            head_node=host,
            confidence=0.95,
            details=details,
            last_detected_at=now,
            host=host,
        )
    if gpus and preferred_type in (None, ClusterType.LOCAL_GPU, ClusterType.SLURM):
        return Cluster(
            type=ClusterType.LOCAL_GPU,
            label=f"{len(gpus)} x {gpus[0].name}",
            description="The NVIDIA driver lists GPUs on this host.",
            gpu_count=len(gpus),
            head_node=host,
            confidence=0.95,
            details=details,
            last_detected_at=now,
            host=host,
        )
    return Cluster(
        type=ClusterType.CPU_ONLY,
        label=f"CPU only, {os.cpu_count()} cores",
        description="Neither Slurm nor a usable NVIDIA GPU was found.",
        head_node=host,
        confidence=0.8,
        details=details,
        last_detected_at=now,
        host=host,
    )
