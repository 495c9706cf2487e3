"""The series of each host's use: one artifact per host, rewritten in place."""

from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.exceptions import ObjectNotFound
from pydantic import ValidationError

from wildloop.flows.models.cluster import host_key
from wildloop.flows.models.use import UseRecord
from wildloop.flows.store import artifacts

PREFIX = "use-of-"
MOST_HOSTS = 1000


async def read_uses(client: PrefectClient) -> list[UseRecord]:
    """The series of all hosts, by name."""
    found = await artifacts.latest_by_prefix(client, PREFIX, MOST_HOSTS)
    records = []
    for artifact in found.values():
        try:
            record = artifacts.record_of(artifact)
            records.append(UseRecord.model_validate_json(record))
        except (KeyError, ValidationError):
            # Anybody may write an artifact whose key begins like ours.
            continue
    return sorted(records, key=lambda one: one.host)


async def write_use(client: PrefectClient, record: UseRecord, version: UUID | None) -> UUID:
    """Write a host's series over that of before; return the id of the artifact that holds it."""
    text = f"The use of host `{record.host}`: {len(record.samples)} samples, on the page."
    document = record.model_dump_json(exclude_defaults=True)
    if version is not None:
        try:
            await artifacts.rewrite(client, version, text=text, record=document)
            return version
        except ObjectNotFound:
            # Somebody has deleted it.
            pass
    return await artifacts.write(
        client,
        PREFIX + host_key(record.host).removeprefix("cluster-"),
        text=text,
        description="How this host was used.",
        record=document,
    )
