"""Artifacts: one key a thing, a new version at every change, so that history is the audit trail.

What a person reads and what Wildloop reads back travel together: the record is a JSON document in
an HTML comment at the end of the Markdown. (Prefect cuts metadata values at 500 characters.)
"""

import re
from collections.abc import Sequence
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.client.schemas.filters import (
    ArtifactCollectionFilter,
    ArtifactCollectionFilterFlowRunId,
    ArtifactCollectionFilterKey,
)
from prefect.client.schemas.objects import Artifact, ArtifactCollection
from prefect.client.schemas.sorting import ArtifactCollectionSort

from flows.redaction import redact

PAGE = 200
_RECORD = re.compile(r"\n<!-- wildloop (\{.*\}) -->\s*\Z", re.DOTALL)


async def write(
    client: PrefectClient,
    key: str,
    *,
    text: str,
    description: str = "",
    record: str | None = None,
    flow_run_id: UUID | None = None,
) -> UUID:
    """Write a new version of Markdown artifact `key`, without this process's secrets.

    Returns the version's id.

    Args:
        client: the Prefect client.
        key: lower-case letters, digits and dashes.
        text: what a person reads.
        description: one line above it.
        record: a JSON object, read back by `record_of`.
        flow_run_id: the flow run whose page shows it.
    """
    created = await client.create_artifact(
        ArtifactCreate(
            key=key,
            type="markdown",
            description=redact(description) or None,
            data=_document(text, record),
            flow_run_id=flow_run_id,
        )
    )
    return created.id


async def rewrite(
    client: PrefectClient, version: UUID, *, text: str, record: str | None = None
) -> None:
    """Replace the text and record of a version: for steps too small to be kept in the history."""
    await client.update_artifact(version, ArtifactUpdate(data=_document(text, record)))


def _document(text: str, record: str | None) -> str:
    if record is None:
        return redact(text)
    # Inside an HTML comment no `-->` may stand; JSON has another way to write `>`.
    return redact(f"{text}\n<!-- wildloop {record.replace('>', chr(92) + 'u003e')} -->")


async def latest(client: PrefectClient, *keys: str) -> dict[str, ArtifactCollection]:
    """The latest versions of the artifacts with these keys."""
    if not keys:
        return {}
    return await _read(client, ArtifactCollectionFilterKey(any_=list(keys)), len(keys))


async def latest_by_prefix(
    client: PrefectClient, prefix: str, limit: int, flow_run_ids: Sequence[UUID] | None = None
) -> dict[str, ArtifactCollection]:
    """The latest versions of all artifacts whose key begins with `prefix`, newest first.

    With `flow_run_ids`, only those written for these flow runs.
    """
    key = ArtifactCollectionFilterKey(like_=f"{prefix}%")
    return await _read(client, key, limit, flow_run_ids)


def record_of(artifact: ArtifactCollection | Artifact) -> str:
    """The JSON document of an artifact.

    Raises:
        KeyError: the artifact is not one of ours.
    """
    match = _RECORD.search(artifact.data) if isinstance(artifact.data, str) else None
    if match is None:
        raise KeyError(f"artifact '{artifact.key}' has no Wildloop record")
    return match[1]


async def _read(
    client: PrefectClient,
    key: ArtifactCollectionFilterKey,
    limit: int,
    flow_run_ids: Sequence[UUID] | None = None,
) -> dict[str, ArtifactCollection]:
    found: list[ArtifactCollection] = []
    flow_runs = (
        ArtifactCollectionFilterFlowRunId(any_=list(flow_run_ids))
        if flow_run_ids is not None
        else None
    )
    while len(found) < limit:
        page = await client.read_latest_artifacts(
            artifact_filter=ArtifactCollectionFilter(key=key, flow_run_id=flow_runs),
            sort=ArtifactCollectionSort.UPDATED_DESC,
            limit=min(PAGE, limit - len(found)),
            offset=len(found),
        )
        found += page
        if len(page) < PAGE:
            break
    return {artifact.key: artifact for artifact in found if artifact.key}
