"""Finds the compute: Slurm, local GPUs, or the CPU alone."""

import asyncio
import os
import socket
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from wildloop.blocks.cluster.gpu import GpuReading, read_gpus
from wildloop.blocks.cluster.models import Cluster, ClusterDetails, ClusterType, Gpu
from wildloop.blocks.cluster.slurm import SlurmReading, read_slurm

SURE, LIKELY, GUESS = 0.95, 0.8, 0.5


async def detect_cluster(preferred_type: str | None = None) -> Cluster:
    """Detect the compute that this host offers.

    Slurm is taken before local GPUs, unless this process runs inside a Slurm job that has been
    given GPUs: those are then the compute.

    Args:
        preferred_type: a `ClusterType`, taken if it is there, whatever else is found; if it is
            not, a note says so.

    Raises:
        ValueError: `preferred_type` is no `ClusterType`.
    """
    if preferred_type is not None and preferred_type not in set(ClusterType):
        raise ValueError(
            f"preferred_type '{preferred_type}' is unknown: give one of {', '.join(ClusterType)}"
        )
    wanted = ClusterType(preferred_type) if preferred_type is not None else None
    gpus, slurm = await asyncio.gather(
        read_gpus(os.environ.get("CUDA_VISIBLE_DEVICES")), read_slurm()
    )
    return choose(wanted, gpus, slurm, os.environ, socket.gethostname(), time.time())


def choose(
    wanted: ClusterType | None,
    gpus: GpuReading,
    slurm: SlurmReading,
    environment: Mapping[str, str],
    host: str,
    now: float,
) -> Cluster:
    """The cluster that the readings speak for."""
    notes = gpus.notes + slurm.notes
    if "KUBERNETES_SERVICE_HOST" in environment:
        notes.append("this host is a Kubernetes pod: only what the pod was given is counted")
    inside_job = "SLURM_JOB_ID" in environment and bool(gpus.gpus)
    if inside_job and slurm.partitions:
        notes.append("inside a Slurm job that has GPUs")
    there = [ClusterType.SLURM] if slurm.partitions else []
    there += [ClusterType.LOCAL_GPU] if gpus.gpus else []
    if inside_job:
        there.reverse()
    there.append(ClusterType.CPU_ONLY)
    found = wanted if wanted in there else there[0]
    if wanted not in (None, ClusterType.UNKNOWN, found):
        notes.append(f"'{wanted}' was asked for and not found")
    if found is ClusterType.CPU_ONLY and found is not there[0]:
        notes.append(f"'{wanted}' was asked for: '{there[0]}', found too, is not used")
    base = _base(found, gpus, slurm, host)
    return base.model_copy(
        update={
            "details": ClusterDetails(gpus=gpus.gpus, partitions=slurm.partitions, notes=notes),
            "last_detected_at": now,
        }
    )


def _base(found: ClusterType, gpus: GpuReading, slurm: SlurmReading, host: str) -> Cluster:
    if found is ClusterType.SLURM:
        name = f"Slurm cluster {slurm.cluster_name}" if slurm.cluster_name else "Slurm"
        return Cluster(
            type=found,
            status="healthy" if slurm.node_count else "degraded",
            label=f"{name}: {_many(slurm.node_count, 'node')}, {_many(slurm.gpu_count, 'GPU')}",
            description=f"sinfo lists {_many(len(slurm.partitions), 'partition')} on this host.",
            gpu_count=slurm.gpu_count,
            node_count=slurm.node_count,
            head_node=slurm.head_node,
            confidence=SURE if slurm.head_node else LIKELY,
            last_detected_at=0,
            host=host,
        )
    if found is ClusterType.LOCAL_GPU:
        return Cluster(
            type=found,
            status="degraded" if gpus.broken else "healthy",
            label=_gpu_label(gpus.gpus),
            description=f"The NVIDIA driver lists {_many(len(gpus.gpus), 'GPU')} on this host.",
            gpu_count=len(gpus.gpus),
            head_node=host,
            confidence=LIKELY if gpus.broken else SURE,
            last_detected_at=0,
            host=host,
        )
    broken = gpus.broken or slurm.broken
    return Cluster(
        type=ClusterType.CPU_ONLY,
        status="degraded" if broken else "healthy",
        label=f"CPU only, {_many(os.cpu_count() or 1, 'core')}",
        description="Slurm or an NVIDIA driver is there but does not answer: see the notes."
        if broken
        else "Runs use the CPU: see the notes for what else was looked for.",
        head_node=host,
        confidence=GUESS if broken else SURE,
        last_detected_at=0,
        host=host,
    )


def _gpu_label(gpus: Sequence[Gpu]) -> str:
    return ", ".join(f"{n} x {name}" for name, n in Counter(gpu.name for gpu in gpus).items())


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
