"""Where this worker's runs go: the GPUs of this host, or a Slurm cluster."""

from prefect.blocks.core import Block

from wildloop.blocks.cluster.detect import detect_cluster
from wildloop.blocks.cluster.models import Cluster, ClusterType
from wildloop.blocks.launchers.slurm_compute import SlurmCompute
from wildloop.flows.errors import InvalidRequest

AUTO, LOCAL, SLURM = "auto", "local", "slurm"
SLUG = "wildloop-slurm-compute"
DEFAULT_BLOCK = f"{SLUG}/default"
CHOICES = f"auto, local, slurm, or a saved block as '{SLUG}/<name>'"


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
        return await detect_cluster(ClusterType.LOCAL_GPU), None
    if choice not in (AUTO, SLURM) and not choice.startswith(f"{SLUG}/"):
        raise InvalidRequest(f"--compute '{choice}' is unknown: give {CHOICES}")
    cluster = await detect_cluster(None if choice == AUTO else ClusterType.SLURM)
    if cluster.type is not ClusterType.SLURM:
        if choice == AUTO:
            return cluster, None
        notes = "; ".join(cluster.details.notes)
        raise InvalidRequest(f"--compute '{choice}': no Slurm cluster is found here ({notes})")
    return cluster, await _block(choice)


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
