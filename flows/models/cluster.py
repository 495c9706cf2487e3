"""The compute of all hosts together, and what a user may set by hand."""

import re
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, Field

from wildloop.blocks.cluster.models import Cluster, ClusterDetails, ClusterType
from wildloop.flows.models.body import Body, Word
from wildloop.flows.models.capacity import slots

_NOT_IN_KEYS = re.compile(r"[^a-z0-9]+")


class HostRecord(BaseModel):
    """One host's compute, as its worker has found it."""

    host: str
    cluster: Cluster
    slots_override: int | None = Field(
        default=None, description="Slots set by the user (`--slots`) instead of the GPUs found."
    )

    cpus: int | None = Field(
        default=None, description="Runs without a GPU that may go at once; none: not known."
    )

    @property
    def slots(self) -> int:
        """Slots of the GPU limit that this host adds."""
        return slots(self.cluster.type.value, self.cluster.gpu_count, self.slots_override)

    @property
    def largest(self) -> int:
        """How many devices one run can have here: those of the host, or any slots of Slurm."""
        if self.cluster.type is ClusterType.LOCAL_GPU:
            return min(self.slots, len(self.cluster.details.gpus) or self.slots)
        return self.slots


class ManualCluster(Body):
    """Body of `POST /cluster`: the compute as the user knows it, instead of what was detected."""

    type: Word[ClusterType]
    gpu_count: int | None = Field(default=None, ge=0, le=100_000)
    node_count: int = Field(default=1, ge=1, le=100_000)
    label: str | None = Field(default=None, max_length=200)
    description: str = Field(default="", max_length=2000)
    head_node: str | None = Field(default=None, max_length=200)
    status: Literal["healthy", "degraded", "unknown"] = "unknown"
    notes: str = Field(default="", max_length=2000, description="Shown among the details.")


def host_key(host: str) -> str:
    """The artifact key of a host's record."""
    return "cluster-" + _NOT_IN_KEYS.sub("-", host.lower()).strip("-")


def total_slots(records: Sequence[HostRecord]) -> int:
    """g over all hosts, at least 1. Hosts that submit to one Slurm count it once."""
    shared: dict[str, int] = {}
    own = 0
    for record in records:
        if record.cluster.type is ClusterType.SLURM:
            label = record.cluster.label
            shared[label] = max(record.slots, shared.get(label, 0))
        else:
            own += record.slots
    return max(1, own + sum(shared.values()))


def total_cpus(records: Sequence[HostRecord]) -> int:
    """Runs without a GPU on all hosts at once, at least 2; hosts of one Slurm count once."""
    shared = [one.cpus or 0 for one in records if one.cluster.type is ClusterType.SLURM]
    own = [one.cpus or 0 for one in records if one.cluster.type is not ClusterType.SLURM]
    return max(2, max(shared, default=0) + sum(own))


def merge(records: Sequence[HostRecord]) -> Cluster:
    """One view of the compute of several hosts; `records` must not be empty."""
    clusters = [record.cluster for record in records]
    first = clusters[0]
    if len(clusters) == 1:
        return first
    kinds = {cluster.type for cluster in clusters}
    healthy = all(cluster.status == "healthy" for cluster in clusters)
    return Cluster(
        type=next((kind for kind in ClusterType if kind in kinds), first.type),
        status="healthy" if healthy else "degraded",
        source="manual" if any(one.source == "manual" for one in clusters) else "detected",
        label="; ".join(f"{record.host}: {record.cluster.label}" for record in records),
        description=f"{len(records)} hosts, a worker on each.",
        gpu_count=sum(cluster.gpu_count for cluster in clusters),
        node_count=sum(cluster.node_count for cluster in clusters),
        head_node=first.head_node,
        confidence=min(cluster.confidence for cluster in clusters),
        details=ClusterDetails(
            gpus=[gpu for cluster in clusters for gpu in cluster.details.gpus],
            partitions=[part for cluster in clusters for part in cluster.details.partitions],
            notes=[
                f"{record.host}: {note}"
                for record in records
                for note in record.cluster.details.notes
            ],
        ),
        last_detected_at=min(cluster.last_detected_at for cluster in clusters),
        host=", ".join(record.host for record in records),
    )
