"""Where this worker's runs go: the GPUs of this host, or a Slurm cluster."""

import os
import re
import time

from prefect.blocks.core import Block
from prefect.logging import get_logger

from wildloop.blocks.cluster.detect import detect_cluster
from wildloop.blocks.cluster.models import Cluster, ClusterType
from wildloop.blocks.cluster.slurm import SlurmShare, read_share
from wildloop.blocks.launchers.choice import ComputeBlock, Launchers
from wildloop.blocks.launchers.kubernetes_compute import KubernetesCompute
from wildloop.blocks.launchers.slurm_compute import SlurmCompute
from wildloop.flows.errors import InvalidRequest
from wildloop.flows.models.cluster import HostRecord
from wildloop.flows.models.compute import GpuKind
from wildloop.flows.worker.compute_kubernetes import (
    KUBERNETES_SLUG,
    kubernetes_block,
    kubernetes_record,
)

AUTO, LOCAL, SLURM = "auto", "local", "slurm"
SLUG = "wildloop-slurm-compute"
DEFAULT_BLOCK = f"{SLUG}/default"
RENEW_SECONDS = 15.0
# The block is read from Prefect; the nodes are counted by sinfo, which is not to be asked often.
COUNT_SECONDS = 300.0
MANY = 1000
_GRES_TYPE = re.compile(r"(?:^|,)gpu:([A-Za-z][^:,{}]*):")
logger = get_logger("wildloop.compute")
Found = tuple[HostRecord, ComputeBlock | None]
CHOICES = (
    f"auto, local, slurm, a saved block as '{SLUG}/<name>' or '{KUBERNETES_SLUG}/<name>', or "
    "several with commas"
)


async def find_compute(choice: str) -> tuple[Cluster, SlurmCompute | None]:
    """The compute, and how Slurm is asked for it; None where runs stay on this host.

    Args:
        choice: `auto` takes Slurm where it is found (outside of a Slurm job), else this host;
            `local` this host; `slurm` Slurm, with the block named "default" if there is one; or a
            saved compute block as `wildloop-slurm-compute/<name>`.

    Raises:
        InvalidRequest: Slurm was asked for and is not there, or there is no such block.
    """
    if choice == LOCAL:
        here = await detect_cluster(ClusterType.LOCAL_GPU)
        # A login node without GPUs: what Slurm has is not this host's.
        is_slurm = here.type is ClusterType.SLURM
        return await detect_cluster(ClusterType.CPU_ONLY) if is_slurm else here, None
    if choice not in (AUTO, SLURM) and not choice.startswith(f"{SLUG}/"):
        raise InvalidRequest(f"--compute '{choice}' is unknown: give {CHOICES}")
    cluster = await detect_cluster(None if choice == AUTO else ClusterType.SLURM)
    if cluster.type is not ClusterType.SLURM:
        if choice == AUTO:
            return cluster, None
        notes = "; ".join(cluster.details.notes)
        raise InvalidRequest(f"--compute '{choice}': no Slurm cluster is found here ({notes})")
    block = await _block(choice)
    return await _used(cluster, block), block


async def find_record(choice: str, host: str, slots: int | None) -> Found:
    """As `find_compute`, with what this host's record is to say.

    Raises:
        InvalidRequest: as `find_compute`.
    """
    if choice.startswith(f"{KUBERNETES_SLUG}/"):
        kubernetes = await kubernetes_block(choice)
        return await kubernetes_record(choice, kubernetes, host, slots), kubernetes
    cluster, slurm = await find_compute(choice)
    cpus = os.cpu_count() or 1
    if slurm is None:
        return HostRecord(host=host, cluster=cluster, slots_override=slots, cpus=cpus), None
    share = await read_share(slurm.partition, _type_in_gres(slurm))
    # Of a cluster that does not tell, any number: Slurm itself holds back what has no room.
    cpus = share.cpus // (slurm.cpus_per_task or 1) if share is not None else MANY
    record = HostRecord(
        host=host,
        cluster=cluster,
        slots_override=slots,
        cpus=max(1, cpus),
        compute=name_of(choice),
        kinds=_kinds(slurm, share, cluster.gpu_count),
        partitions=list(share.partitions) if share is not None else [],
        partition_type=_type_in_gres(slurm),
    )
    return record, slurm


def name_of(choice: str) -> str:
    """What runs call a compute; empty: by its type."""
    return choice.rpartition("/")[2] if "/" in choice else ""


def _kinds(block: SlurmCompute, share: SlurmShare | None, gpus: int) -> list[GpuKind]:
    """The types that jobs of a block can have: the block's own, else those that sinfo names."""
    memory = block.gpu_memory_gb
    fixed = block.gpu_type or _type_of(block.gres)
    if fixed is not None:
        return [GpuKind(type=fixed, count=gpus, memory_gb=memory)]
    if block.gres is not None or share is None:
        return []
    return [GpuKind(type=kind, count=count, memory_gb=memory) for kind, count in share.types]


def _type_of(gres: str | None) -> str | None:
    found = _GRES_TYPE.search(gres or "")
    return found[1] if found is not None else None


def _type_in_gres(block: SlurmCompute) -> str | None:
    """The type by which a block's GPUs are counted in what sinfo lists."""
    return None if block.gpu_type_by == "constraint" else block.gpu_type


class ComputeRenewal:
    """Takes changes of the compute block, and of the cluster, over into a worker at work.

    Args:
        choice: as for `find_compute`.
        launchers: those of the worker.
        block: the block as it was at the start; None: runs stay on this host, and nothing changes.
        name: of a further compute; None: it is the worker's first.
    """

    def __init__(
        self,
        choice: str,
        launchers: Launchers,
        block: ComputeBlock | None,
        name: str | None = None,
    ) -> None:
        self._choice, self._launchers, self._block = choice, launchers, block
        self._name = name
        self._counted = time.monotonic()
        self._due = self._counted + RENEW_SECONDS

    async def look(self, record: HostRecord) -> HostRecord | None:
        """The record as it should be now; None while nothing has changed."""
        if self._block is None or time.monotonic() < self._due:
            return None
        self._due = time.monotonic() + RENEW_SECONDS
        try:
            is_same = (await self._saved()).model_dump() == self._block.model_dump()
            if is_same and time.monotonic() - self._counted < COUNT_SECONDS:
                return None
            self._counted = time.monotonic()
            found, block = await find_record(self._choice, record.host, record.slots_override)
        except InvalidRequest as error:
            logger.warning("the compute block is kept as it was: %s", error)
            return None
        if block is None:
            # sinfo does not answer now: that makes no local host of a cluster.
            return None
        if block.model_dump() != self._block.model_dump():
            logger.info("the compute block has changed: new jobs follow it")
            self._block = block
            self._launchers.renew(block, self._name)
        if record.cluster.source == "manual":
            return None
        found = found.model_copy(update={"compute": record.compute, "further": record.further})
        return None if _told(found) == _told(record) else found

    async def _saved(self) -> ComputeBlock:
        if isinstance(self._block, KubernetesCompute):
            return await kubernetes_block(self._choice)
        return await _block(self._choice)


def _told(record: HostRecord) -> tuple[object, ...]:
    """What changes of a record are to be noted."""
    cluster = record.cluster
    return cluster.gpu_count, cluster.label, record.cpus, record.kinds


async def _used(cluster: Cluster, block: SlurmCompute) -> Cluster:
    """The cluster, with the nodes counted that the block's partitions have."""
    share = await read_share(block.partition, _type_in_gres(block))
    if share is None:
        return cluster
    kind = f" {block.gpu_type}" if block.gpu_type else ""
    names = ", ".join(share.partitions)
    note = f"counted: {share.gpus}{kind} GPUs of partition {names}, which the compute block uses"
    notes = [*cluster.details.notes, note]
    return cluster.model_copy(
        update={
            "gpu_count": share.gpus,
            "node_count": share.nodes,
            "details": cluster.details.model_copy(update={"notes": notes}),
        }
    )


async def _block(choice: str) -> SlurmCompute:
    name = choice if "/" in choice else DEFAULT_BLOCK
    try:
        found = await Block.aload(name)
    except ValueError as error:
        if choice in (AUTO, SLURM):
            return SlurmCompute()
        raise InvalidRequest(
            f"--compute '{choice}': no such block; create it in the Prefect UI, under Blocks"
        ) from error
    if not isinstance(found, SlurmCompute):
        raise InvalidRequest(f"--compute '{choice}' is no Slurm compute block: give {CHOICES}")
    return found
