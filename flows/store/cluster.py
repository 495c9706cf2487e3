"""The cluster: an artifact per host with what was found; its capacity from the runs themselves."""

import os
import socket
import time

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import WorkerStatus
from prefect.events import emit_event
from pydantic import BaseModel

from blocks.cluster.detect import detect_cluster
from blocks.cluster.models import Cluster
from flows.capacity import Capacity, capacity
from flows.models.cluster import HostRecord, ManualCluster, host_key, merge, total_slots
from flows.models.run import RunCounts, RunStatus
from flows.settings import CPU_QUEUE, POOL_NAME, RUNS_QUEUE
from flows.store import artifacts
from flows.store.base import Store
from flows.store.runs import RunStore

PREFIX = "cluster-"
WORKER_PREFIX = "wildloop-"
MOST_HOSTS = 1000
CLUSTER_EVENT = "wildloop.cluster.changed"
CLUSTER_RESOURCE = "wildloop.cluster"


class ClusterView(BaseModel):
    """What `GET /cluster` shows."""

    cluster: Cluster
    run_summary: RunCounts
    capacity: Capacity


class ClusterStore(Store):
    """Read, detect and set the compute."""

    async def view(self) -> ClusterView:
        """The cluster as last detected, the runs by status, and the capacity."""
        runs = RunStore(self.client, self.settings)
        return ClusterView(
            cluster=await self.cluster(),
            run_summary=await runs.counts(),
            capacity=await self.capacity(),
        )

    async def detect(self, preferred_type: str | None = None) -> ClusterView:
        """Detect the compute of this host anew; what was set by hand is given up."""
        cluster = await detect_cluster(preferred_type)
        await self._set(cluster)
        return await self.view()

    async def set_manual(self, body: ManualCluster) -> ClusterView:
        """Take the user's word for the compute of this host."""
        await self._set(
            Cluster(
                type=body.type,
                status="unknown",
                source="manual",
                label=body.label or f"{body.type.value}, set by hand",
                description=body.description,
                gpu_count=body.gpu_count or 0,
                node_count=body.node_count,
                head_node=body.head_node,
                last_detected_at=time.time(),
                host=socket.gethostname(),
            )
        )
        return await self.view()

    async def cluster(self) -> Cluster:
        """The compute of all hosts; of this one, detected now, if none was ever recorded."""
        records = await live_hosts(self.client)
        return merge(records) if records else await detect_cluster(None)

    async def capacity(self) -> Capacity:
        """g, r, q and max_new_runs now."""
        active = await RunStore(self.client, self.settings).active()
        queue = await self.client.read_work_queue_by_name(RUNS_QUEUE, POOL_NAME)
        held = [run.gpus_requested for run in active if run.status.is_active]
        queued = [run.gpus_requested for run in active if run.status is RunStatus.QUEUED]
        return capacity(queue.concurrency_limit or 1, held, queued)

    async def _set(self, cluster: Cluster) -> None:
        host = socket.gethostname()
        known = await read_host(self.client, host)
        override = known.slots_override if known else None
        record = HostRecord(host=host, cluster=cluster, slots_override=override)
        await publish_host(self.client, record)
        # The worker of this host takes its slots from the record: tell it to read.
        emit_event(CLUSTER_EVENT, resource={"prefect.resource.id": CLUSTER_RESOURCE})


async def read_host(client: PrefectClient, host: str) -> HostRecord | None:
    """What is recorded of a host; None if nothing is."""
    key = host_key(host)
    found = await artifacts.latest(client, key)
    return HostRecord.model_validate_json(artifacts.record_of(found[key])) if found else None


async def live_hosts(client: PrefectClient) -> list[HostRecord]:
    """The hosts whose worker is online, by name; all that are known if none is."""
    found = await artifacts.latest_by_prefix(client, PREFIX, MOST_HOSTS)
    records = [
        HostRecord.model_validate_json(artifacts.record_of(artifact)) for artifact in found.values()
    ]
    workers = await client.read_workers_for_work_pool(POOL_NAME)
    online = {worker.name for worker in workers if worker.status is WorkerStatus.ONLINE}
    living = [record for record in records if WORKER_PREFIX + record.host in online]
    return sorted(living or records, key=lambda record: record.host)


async def publish_host(client: PrefectClient, record: HostRecord) -> None:
    """Record a host's compute and keep the queues' concurrency limits in step."""
    cluster = record.cluster
    await artifacts.write(
        client,
        host_key(record.host),
        text=f"## {cluster.label}\n\n{cluster.description}\n\n"
        f"- host: `{record.host}`\n"
        f"- type: `{cluster.type.value}` ({cluster.source}, confidence {cluster.confidence})\n"
        f"- GPUs: {cluster.gpu_count}\n- slots: {record.slots}\n"
        + "".join(f"- {note}\n" for note in cluster.details.notes),
        description="The compute that Wildloop uses on this host.",
        record=record.model_dump_json(),
    )
    await sync_limits(client, record)


async def sync_limits(client: PrefectClient, own: HostRecord) -> int:
    """Set the queues' concurrency limits to the slots of all live hosts; return g.

    Args:
        client: the Prefect client.
        own: this host's record: it counts, whether or not its worker has sent a heartbeat yet.
    """
    others = [record for record in await live_hosts(client) if record.host != own.host]
    g = total_slots([*others, own])
    for name, limit in ((RUNS_QUEUE, g), (CPU_QUEUE, max(2, os.cpu_count() or 2))):
        queue = await client.read_work_queue_by_name(name, POOL_NAME)
        if queue.concurrency_limit != limit:
            await client.update_work_queue(queue.id, concurrency_limit=limit)
    return g
