"""The compute of each host: an artifact per host, and the queues' limits that follow from them."""

import re

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import WorkerStatus

from wildloop.flows.models.cluster import HostRecord, host_key, total_cpus, total_slots
from wildloop.flows.settings import CPU_QUEUE, POOL_NAME, RUNS_QUEUE
from wildloop.flows.store import artifacts

PREFIX = "cluster-"
WORKER_PREFIX = "wildloop-"
MOST_HOSTS = 1000
_SET = re.compile(r"Wildloop has set it to (\d+); another stays\.")


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


async def sync_limits(client: PrefectClient, own: HostRecord, left: int = 0) -> int:
    """Set the queues' concurrency limits to the slots of all live hosts; return g.

    One that people have set is left as it is: see `queue_limit`.

    Args:
        client: the Prefect client.
        own: this host's record: it counts, whether or not its worker has sent a heartbeat yet.
        left: slots held by runs on hosts that are offline: the server counts these runs too.
    """
    others = [record for record in await live_hosts(client) if record.host != own.host]
    g = total_slots([*others, own]) + left
    for name, limit in ((RUNS_QUEUE, g), (CPU_QUEUE, total_cpus([*others, own]))):
        queue = await client.read_work_queue_by_name(name, POOL_NAME)
        about = queue.description or ""
        if (wanted := queue_limit(queue.concurrency_limit, about, limit)) is not None:
            await client.update_work_queue(
                queue.id, concurrency_limit=wanted, description=_noted(about, wanted)
            )
    return g


def queue_limit(there: int | None, about: str, limit: int) -> int | None:
    """What a queue's limit is to be set to; None where it is to stay.

    Args:
        there: what it is now; None: cleared, and so Wildloop's to set.
        about: the queue's description, which says what Wildloop has set. Any other is people's.
        limit: the slots of all live hosts.
    """
    said = set_by_wildloop(about)
    is_ours = there is None or said is None or said == there
    return limit if is_ours and (there != limit or said is None) else None


def set_by_wildloop(about: str) -> int | None:
    """The limit that Wildloop has set a queue to, as the queue's description says."""
    said = _SET.search(about)
    return int(said[1]) if said is not None else None


def _noted(about: str, limit: int) -> str:
    return f"{_SET.sub('', about).rstrip()} Wildloop has set it to {limit}; another stays.".lstrip()
