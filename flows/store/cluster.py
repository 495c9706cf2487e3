"""The cluster: an artifact with what was detected; its capacity from the runs themselves."""

import os

from prefect.client.orchestration import PrefectClient
from pydantic import BaseModel

from blocks.cluster.detect import detect_cluster
from blocks.cluster.models import Cluster
from flows.capacity import Capacity, capacity, slots
from flows.models.run import RunCounts, RunStatus
from flows.settings import CPU_QUEUE, POOL_NAME, RUNS_QUEUE
from flows.store import artifacts
from flows.store.base import Store
from flows.store.runs import RunStore

KEY = "cluster"


class ClusterRecord(BaseModel):
    """What is stored: the cluster, and the slots that the user has set instead of its GPUs."""

    cluster: Cluster
    slots_override: int | None = None


class ClusterView(BaseModel):
    """What `GET /cluster` shows."""

    cluster: Cluster
    run_summary: RunCounts
    capacity: Capacity


class ClusterStore(Store):
    """Read and detect the compute."""

    async def view(self) -> ClusterView:
        """The cluster as last detected, the runs by status, and the capacity."""
        runs = RunStore(self.client, self.settings)
        return ClusterView(
            cluster=await self.cluster(),
            run_summary=await runs.counts(),
            capacity=await self.capacity(),
        )

    async def detect(self, preferred_type: str | None = None) -> ClusterView:
        """Detect the compute of this host anew and keep the slot limit in step with it."""
        record = await self._record()
        cluster = await detect_cluster(preferred_type)
        await publish_cluster(self.client, cluster, record.slots_override if record else None)
        return await self.view()

    async def cluster(self) -> Cluster:
        """The cluster as last detected; detected now if it never was."""
        record = await self._record()
        return record.cluster if record else await detect_cluster(None)

    async def _record(self) -> ClusterRecord | None:
        found = await artifacts.latest(self.client, KEY)
        if KEY not in found:
            return None
        return ClusterRecord.model_validate_json(artifacts.record_of(found[KEY]))

    async def capacity(self) -> Capacity:
        """g, r, q and max_new_runs now."""
        active = await RunStore(self.client, self.settings).active()
        queue = await self.client.read_work_queue_by_name(RUNS_QUEUE, POOL_NAME)
        held = [run.gpus_requested for run in active if run.status.is_active]
        queued = [run.gpus_requested for run in active if run.status is RunStatus.QUEUED]
        return capacity(queue.concurrency_limit or 1, held, queued)


async def publish_cluster(client: PrefectClient, cluster: Cluster, override: int | None) -> int:
    """Write the cluster artifact and set the queues' concurrency limits; return g.

    Args:
        client: the Prefect client.
        cluster: what was detected.
        override: number of slots set by the user (`--slots`).
    """
    g = slots(cluster.type.value, cluster.gpu_count, override)
    await artifacts.write(
        client,
        KEY,
        text=_markdown(cluster, g),
        description="The compute that Wildloop found.",
        record=ClusterRecord(cluster=cluster, slots_override=override).model_dump_json(),
    )
    for name, limit in ((RUNS_QUEUE, g), (CPU_QUEUE, max(2, os.cpu_count() or 2))):
        queue = await client.read_work_queue_by_name(name, POOL_NAME)
        if queue.concurrency_limit != limit:
            await client.update_work_queue(queue.id, concurrency_limit=limit)
    return g


def _markdown(cluster: Cluster, g: int) -> str:
    return (
        f"## {cluster.label}\n\n{cluster.description}\n\n"
        f"- type: `{cluster.type.value}` ({cluster.source}, confidence {cluster.confidence})\n"
        f"- GPUs: {cluster.gpu_count}\n- slots (g): {g}\n"
    )
