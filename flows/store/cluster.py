"""The cluster: an artifact per host with what was found; its capacity from the runs themselves."""

import socket
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from prefect.client.orchestration import PrefectClient
from prefect.events import emit_event
from pydantic import BaseModel, Field

from wildloop.blocks.cluster.detect import detect_cluster
from wildloop.blocks.cluster.models import Cluster, ClusterDetails
from wildloop.flows.errors import Conflict
from wildloop.flows.models.capacity import Capacity, capacity
from wildloop.flows.models.cluster import HostRecord, ManualCluster, every_offer, merge
from wildloop.flows.models.compute import ComputeOffer
from wildloop.flows.models.run import RunCounts, RunStatus
from wildloop.flows.settings import POOL_NAME, RUNS_QUEUE, Settings
from wildloop.flows.store.base import Store
from wildloop.flows.store.bounds import FRESH_SECONDS, Bound, Bounds, read_bounds
from wildloop.flows.store.hosts import live_hosts, publish_host, read_host
from wildloop.flows.store.recent import Recent
from wildloop.flows.store.runs import RunStore
from wildloop.flows.store.seen import Seen

CLUSTER_EVENT = "wildloop.cluster.changed"
CLUSTER_RESOURCE = "wildloop.cluster"
T = TypeVar("T")


class ClusterView(BaseModel):
    """What `GET /cluster` shows."""

    cluster: Cluster
    run_summary: RunCounts
    capacity: Capacity
    computes: list[ComputeOffer] = Field(
        default=[], description="What runs can be sent to: `compute` of a run names one."
    )
    limits: list[Bound] = Field(
        default=[],
        description="Prefect's limits that leave less than the hosts have; g is what they leave.",
    )


class ClusterStore(Store):
    """Read, detect and set the compute.

    Args:
        client, settings: as of `Store`.
        seen: the live picture, which answers in Prefect's stead.
        recent: where there is none: hosts and limit are read once in its time.
    """

    def __init__(
        self,
        client: PrefectClient,
        settings: Settings,
        seen: Seen | None = None,
        recent: Recent | None = None,
    ) -> None:
        super().__init__(client, settings)
        self.seen = seen
        self._recent = recent

    async def view(self) -> ClusterView:
        """The cluster as last detected, the runs by status, and the capacity."""
        runs = RunStore(self.client, self.settings, seen=self.seen)
        return ClusterView(
            cluster=await self.cluster(),
            run_summary=await runs.counts(),
            capacity=await self.capacity(),
            computes=every_offer(await self.hosts()),
            limits=(await self.bounds()).lowered,
        )

    async def detect(self, preferred_type: str | None = None) -> ClusterView:
        """Detect the compute of this host anew; what was set by hand is given up.

        Raises:
            Conflict: `preferred_type` is not here; nothing is changed then.
        """
        cluster = await detect_cluster(preferred_type)
        if preferred_type is not None and cluster.type.value != preferred_type:
            why = "; ".join(cluster.details.notes)
            raise Conflict(
                f"preferred_type '{preferred_type}' is not here, '{cluster.type.value}' is"
                + (f" ({why})" if why else "")
                + ": leave it out, or set the compute by hand (POST /cluster)"
            )
        await self._set(cluster)
        return await self.view()

    async def set_manual(self, body: ManualCluster) -> ClusterView:
        """Take the user's word for the compute of this host."""
        await self._set(
            Cluster(
                type=body.type,
                status=body.status,
                source="manual",
                label=body.label or f"{body.type.value}, set by hand",
                description=body.description,
                gpu_count=body.gpu_count or 0,
                node_count=body.node_count,
                head_node=body.head_node,
                details=ClusterDetails(notes=[body.notes] if body.notes else []),
                last_detected_at=time.time(),
                host=socket.gethostname(),
            )
        )
        return await self.view()

    async def cluster(self) -> Cluster:
        """The compute of all hosts; of this one, detected now, if none was ever recorded."""
        records = await self.hosts()
        return merge(records) if records else await detect_cluster(None)

    async def hosts(self) -> list[HostRecord]:
        """The hosts that are online."""
        return await self._lately("hosts", lambda: live_hosts(self.client))

    async def bounds(self) -> Bounds:
        """Prefect's limits that runs count in, 5 s old at most."""

        async def read() -> Bounds:
            return await read_bounds(self.client, await self.hosts())

        return await self._lately("bounds", read, FRESH_SECONDS)

    async def capacity(self) -> Capacity:
        """g, r, q and max_new_runs now; g is what lowered limits leave."""
        active = await RunStore(self.client, self.settings, seen=self.seen).active()
        limit = await self._lately("slots", self._limit)
        held = [run.gpus_requested for run in active if run.status.is_active]
        queued = [run.gpus_requested for run in active if run.status is RunStatus.QUEUED]
        return capacity((await self.bounds()).usable(limit), held, queued)

    async def _lately(
        self, key: str, read: Callable[[], Awaitable[T]], seconds: float | None = None
    ) -> T:
        if self.seen is not None:
            if seconds is not None:
                return await self.seen.lasting(key, read, seconds)
            return await self.seen.recent(key, read)
        if self._recent is not None:
            found, _ = await self._recent.get(key, None, read)
            return found
        return await read()

    async def _limit(self) -> int:
        limit = (await self.client.read_work_queue_by_name(RUNS_QUEUE, POOL_NAME)).concurrency_limit
        return 1 if limit is None else limit

    async def _set(self, cluster: Cluster) -> None:
        host = socket.gethostname()
        known = await read_host(self.client, host)
        record = HostRecord(host=host, cluster=cluster)
        if known is not None:
            record = known.model_copy(update={"cluster": cluster})
        await publish_host(self.client, record)
        # The worker of this host takes its slots from the record: tell it to read.
        emit_event(CLUSTER_EVENT, resource={"prefect.resource.id": CLUSTER_RESOURCE})
