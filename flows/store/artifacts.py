"""Artifacts: one key a thing, a new version at every change, so that history is the audit trail.

What a person reads and what Wildloop reads back travel together: the record is a JSON document in
an HTML comment at the end of the Markdown. (Prefect cuts metadata values at 500 characters.)
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast
from uuid import UUID

from httpx import Response
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.client.schemas.filters import (
    ArtifactCollectionFilter,
    ArtifactCollectionFilterFlowRunId,
    ArtifactCollectionFilterKey,
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
)
from prefect.client.schemas.objects import Artifact, ArtifactCollection
from prefect.client.schemas.sorting import ArtifactCollectionSort, ArtifactSort
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from pydantic import BaseModel

from wildloop.flows.text.redaction import redact

PAGE = 200
FEW = 10
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
    body = ArtifactCreate(
        key=key,
        type="markdown",
        description=redact(description) or None,
        data=_document(text, record),
        flow_run_id=flow_run_id,
    )
    created = await _send(client, "POST", "/artifacts/", body)
    return UUID(created.json()["id"])


async def attach(
    client: PrefectClient, flow_run_id: UUID, *, text: str, description: str, again: bool = False
) -> None:
    """Write Markdown that belongs to one flow run alone.

    It has no key: thousands of them would fill the list of all artifacts, and the server keeps
    what has a key twice. The flow run's own page shows it by its description.

    Args:
        client: the Prefect client.
        flow_run_id: the flow run whose page shows it.
        text: what a person reads.
        description: one line above it.
        again: it may have been written before a crash; then it is left as it is.
    """
    body = ArtifactCreate(
        type="markdown",
        description=redact(description),
        data=redact(text),
        flow_run_id=flow_run_id,
    )
    if again and body.data in await _attached(client, flow_run_id):
        return
    await _send(client, "POST", "/artifacts/", body)


async def _attached(client: PrefectClient, flow_run_id: UUID) -> list[Any]:
    found = await client.read_artifacts(
        artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id])),
        sort=ArtifactSort.CREATED_DESC,
        limit=FEW,
    )
    return [one.data for one in found]


async def rewrite(
    client: PrefectClient,
    version: UUID,
    *,
    text: str,
    record: str | None = None,
    description: str | None = None,
) -> None:
    """Replace the text and record of a version: for steps too small to be kept in the history.

    Its description stays, where none is given.

    Raises:
        ObjectNotFound: somebody has deleted it.
    """
    body = ArtifactUpdate(data=_document(text, record))
    await _replace(client, version, body, description)


async def _replace(
    client: PrefectClient, version: UUID, body: ArtifactUpdate, description: str | None
) -> None:
    if description is not None:
        body.description = redact(description)
    try:
        await _send(client, "PATCH", f"/artifacts/{version}", body)
    except PrefectHTTPStatusError as error:
        if error.response.status_code == 404:
            raise ObjectNotFound(http_exc=error) from error
        raise


class Tables:
    """Tables of one flow run, kept up to date in place; one that is as it was costs nothing.

    Args:
        client: the Prefect client.
        flow_run_id: the flow run whose page shows them.
    """

    def __init__(self, client: PrefectClient, flow_run_id: UUID) -> None:
        self._client, self._flow_run_id = client, flow_run_id
        self._written: dict[str, tuple[UUID, str]] = {}

    async def write(self, key: str, rows: Sequence[Mapping[str, Any]], description: str) -> None:
        """Bring table `key` up to date; nothing is made where there are no rows."""
        data = redact(json.dumps(list(rows), ensure_ascii=False))
        known = self._written.get(key)
        if not rows or (known is not None and known[1] == data):
            return
        version = known[0] if known is not None else await self._found(key)
        if version is not None:
            try:
                await _replace(self._client, version, ArtifactUpdate(data=data), description)
            except ObjectNotFound:
                # Somebody has deleted it.
                version = None
        if version is None:
            body = ArtifactCreate(
                key=key,
                type="table",
                description=redact(description),
                data=data,
                flow_run_id=self._flow_run_id,
            )
            answer = await _send(self._client, "POST", "/artifacts/", body)
            version = UUID(answer.json()["id"])
        self._written[key] = version, data

    async def _found(self, key: str) -> UUID | None:
        found = await latest(self._client, key)
        return found[key].latest_id if key in found else None


async def _send(
    client: PrefectClient, method: Literal["POST", "PATCH"], path: str, body: BaseModel
) -> Response:
    """Send what the client's own methods do, without the event that they tell besides.

    It holds the whole text once more and names all that the flow run belongs to: two thirds of
    what an iteration leaves in the database.
    """
    content = body.model_dump(mode="json", exclude_unset=True)
    return await client.request(method, cast(Any, path), json=content)


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
    """The latest versions of our artifacts whose key begins with `prefix`, newest first.

    Other people's flows may well write a `sweep-results`: what has no record is not ours.
    With `flow_run_ids`, only those written for these flow runs.
    """
    key = ArtifactCollectionFilterKey(like_=f"{prefix}%")
    found = await _read(client, key, limit, flow_run_ids)
    return {key: artifact for key, artifact in found.items() if _has_record(artifact)}


async def versions(client: PrefectClient, key: str, last: int | None = None) -> list[str]:
    """The JSON documents of the versions of artifact `key`, oldest first; the `last` ones of them.

    Versions that others have written hold none.
    """
    wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
    found: list[str] = []
    read = 0
    while last is None or len(found) < last:
        limit = PAGE if last is None else min(PAGE, last - len(found))
        page = await client.read_artifacts(
            artifact_filter=wanted,
            sort=ArtifactSort.CREATED_DESC,
            limit=limit,
            offset=read,
        )
        read += len(page)
        found += [record_of(version) for version in page if _has_record(version)]
        if len(page) < limit:
            break
    return list(reversed(found))


async def appended(client: PrefectClient, key: str, known: dict[UUID, str]) -> list[str]:
    """As `versions`, all of them; those in `known` are not read again, the new ones added to it."""
    fresh: dict[UUID, str] = {}
    limit = FEW if known else PAGE
    read = 0
    while True:
        page = await client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])),
            sort=ArtifactSort.CREATED_DESC,
            limit=limit,
            offset=read,
        )
        read += len(page)
        fresh |= {
            one.id: record_of(one) for one in page if one.id not in known and _has_record(one)
        }
        if len(page) < limit or any(one.id in known for one in page):
            break
    for id in reversed(fresh):
        known.setdefault(id, fresh[id])
    return list(known.values())


def _has_record(artifact: ArtifactCollection | Artifact) -> bool:
    return isinstance(artifact.data, str) and _RECORD.search(artifact.data) is not None


def record_of(artifact: ArtifactCollection | Artifact) -> str:
    """The JSON document of an artifact.

    Raises:
        KeyError: the artifact is not one of ours.
    """
    match = _RECORD.search(artifact.data) if isinstance(artifact.data, str) else None
    if match is None:
        raise KeyError(f"artifact '{artifact.key}' has no Wildloop record")
    return match[1]


def text_of(artifact: ArtifactCollection | Artifact) -> str:
    """What a person reads of an artifact."""
    return _RECORD.sub("", artifact.data) if isinstance(artifact.data, str) else ""


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
