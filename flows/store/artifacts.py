"""Artifacts: one key a thing, a new version at every change, so that history is the audit trail."""

from typing import Any, Literal
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.filters import ArtifactCollectionFilter, ArtifactCollectionFilterKey
from prefect.client.schemas.objects import ArtifactCollection
from prefect.client.schemas.sorting import ArtifactCollectionSort

RECORD = "wildloop"
PAGE = 200


async def write(
    client: PrefectClient,
    key: str,
    *,
    type: Literal["markdown", "table"],
    data: Any,
    description: str = "",
    record: str | None = None,
    flow_run_id: UUID | None = None,
) -> None:
    """Write a new version of artifact `key`.

    `record` is a JSON document kept in the artifact's metadata: the machine-readable side of
    what `data` shows to a person.
    """
    await client.create_artifact(
        ArtifactCreate(
            key=key,
            type=type,
            description=description or None,
            data=data,
            metadata_={RECORD: record} if record is not None else None,
            flow_run_id=flow_run_id,
        )
    )


async def latest(client: PrefectClient, *keys: str) -> dict[str, ArtifactCollection]:
    """The latest versions of the artifacts with these keys."""
    if not keys:
        return {}
    return await _read(client, ArtifactCollectionFilterKey(any_=list(keys)), len(keys))


async def latest_by_prefix(
    client: PrefectClient, prefix: str, limit: int
) -> dict[str, ArtifactCollection]:
    """The latest versions of all artifacts whose key begins with `prefix`, newest first."""
    return await _read(client, ArtifactCollectionFilterKey(like_=f"{prefix}%"), limit)


def record_of(artifact: ArtifactCollection) -> str:
    """The JSON document of an artifact.

    Raises:
        KeyError: the artifact is not one of ours.
    """
    return (artifact.metadata_ or {})[RECORD]


async def _read(
    client: PrefectClient, key: ArtifactCollectionFilterKey, limit: int
) -> dict[str, ArtifactCollection]:
    found: list[ArtifactCollection] = []
    while len(found) < limit:
        page = await client.read_latest_artifacts(
            artifact_filter=ArtifactCollectionFilter(key=key),
            sort=ArtifactCollectionSort.UPDATED_DESC,
            limit=min(PAGE, limit - len(found)),
            offset=len(found),
        )
        found += page
        if len(page) < PAGE:
            break
    return {artifact.key: artifact for artifact in found if artifact.key}
