"""The compute of all hosts together, and what a user may set by hand."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, Field

from wildloop.blocks.cluster.models import Cluster, ClusterDetails, ClusterType, Gpu
from wildloop.flows.models.body import Body, Word
from wildloop.flows.models.capacity import slots
from wildloop.flows.models.compute import LOCAL, ComputeOffer, GpuKind

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
    compute: str = Field(
        default="", description="Name of its block; empty: `local`, or that of the cluster's type."
    )
    kinds: list[GpuKind] = Field(
        default_factory=list, description="GPUs by type, of compute that is not this host's own."
    )
    partitions: list[str] = Field(
        default_factory=list, description="Of Slurm, whose GPUs are counted; none: not known."
    )
    partition_type: str | None = Field(
        default=None, description="The type of GPU that is counted of them; none: all."
    )
    further: list[ComputeOffer] = Field(
        default_factory=list, description="Other computes that its worker sends runs to."
    )

    @property
    def slots(self) -> int:
        """Slots of its first compute, those of the host's GPU limit."""
        return slots(self.cluster.type.value, self.cluster.gpu_count, self.slots_override)

    @property
    def own(self) -> ComputeOffer:
        """Its first compute: what `cluster` says."""
        kind, gpus = self.cluster.type, self.cluster.details.gpus
        is_away = kind in (ClusterType.SLURM, ClusterType.KUBERNETES)
        largest = self.slots
        if kind is ClusterType.LOCAL_GPU:
            largest = min(self.slots, len(gpus) or self.slots)
        return ComputeOffer(
            name=self.compute or (kind.value if is_away else LOCAL),
            kind=kind.value if is_away else LOCAL,
            slots=self.slots,
            largest=largest,
            places=self.cpus,
            kinds=self.kinds if is_away else kinds_of(gpus),
            shared=self.cluster.label if kind is ClusterType.SLURM else None,
            pool=",".join(sorted(self.partitions)) or None,
            pool_type=self.partition_type,
        )

    @property
    def offers(self) -> list[ComputeOffer]:
        """All computes that its worker sends runs to, the first one first."""
        return [self.own, *self.further]

    @property
    def largest(self) -> int:
        """How many devices one run can have: those of the host, or any slots of Slurm."""
        return max(offer.largest for offer in self.offers)


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


def kinds_of(gpus: Sequence[Gpu]) -> list[GpuKind]:
    """The GPUs of a host by type and memory."""
    counts = Counter(
        (gpu.name, round(gpu.memory_total_mib / 1024, 1) if gpu.memory_total_mib else None)
        for gpu in gpus
    )
    return [GpuKind(type=name, memory_gb=memory, count=n) for (name, memory), n in counts.items()]


def total_slots(records: Sequence[HostRecord]) -> int:
    """g over all hosts, at least 1. Hosts that submit to one Slurm count it once.

    So do blocks that submit to the same partitions of one: those for one type of GPU each count
    together, unless one of all types counts more.
    """
    own, pools = 0, dict[tuple[str, str], dict[str | None, int]]()
    for offer in every_offer(records):
        if offer.shared is None or offer.pool is None:
            own += offer.slots
            continue
        cluster = offer.shared.removesuffix(f"/{offer.name}")
        types = pools.setdefault((cluster, offer.pool), {})
        types[offer.pool_type] = max(offer.slots, types.get(offer.pool_type, 0))
    return max(1, own + sum(_together(types) for types in pools.values()))


def _together(types: Mapping[str | None, int]) -> int:
    """The GPUs of some partitions, as they are counted by type; None: of all types."""
    return max(types.get(None, 0), sum(count for type, count in types.items() if type is not None))


def total_cpus(records: Sequence[HostRecord]) -> int:
    """Runs without a GPU on all hosts at once, at least 2; hosts of one Slurm count once."""
    return max(2, sum(offer.places or 0 for offer in every_offer(records)))


def every_offer(records: Sequence[HostRecord]) -> list[ComputeOffer]:
    """The computes of all hosts; what several share counts once, as large as one has seen it."""
    shared: dict[str, ComputeOffer] = {}
    own = []
    for offer in [offer for record in records for offer in record.offers]:
        if offer.shared is None:
            own.append(offer)
        elif (known := shared.get(offer.shared)) is None:
            shared[offer.shared] = offer
        else:
            larger = {
                "slots": max(known.slots, offer.slots),
                "largest": max(known.largest, offer.largest),
                "places": max(known.places or 0, offer.places or 0),
            }
            shared[offer.shared] = known.model_copy(update=larger)
    return [*own, *shared.values()]


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
