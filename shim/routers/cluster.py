"""The compute over HTTP."""

from fastapi import APIRouter

from wildloop.flows.models.cluster import ManualCluster
from wildloop.flows.store.cluster import ClusterView
from wildloop.shim.apart import READ
from wildloop.shim.deps import ClusterAccess
from wildloop.shim.errors import RESPONSES
from wildloop.shim.models import DetectRequest

router = APIRouter(prefix="/cluster", tags=["cluster"], responses=RESPONSES)


@router.get("", summary="The compute, its capacity and the runs on it", openapi_extra=READ)
async def get_cluster(cluster: ClusterAccess) -> ClusterView:
    """g slots, r held, q queued, and how many queued runs may start."""
    return await cluster.view()


@router.post("", summary="Set the compute by hand")
async def set_cluster(cluster: ClusterAccess, body: ManualCluster) -> ClusterView:
    """Instead of what was detected, until the next `/cluster/detect`."""
    return await cluster.set_manual(body)


@router.post("/detect", summary="Detect the compute anew")
async def detect(cluster: ClusterAccess, body: DetectRequest | None = None) -> ClusterView:
    """Finds local GPUs or Slurm, and keeps the slot limit in step."""
    return await cluster.detect(body.preferred_type if body else None)
