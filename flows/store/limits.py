"""Prefect's global concurrency limits that GPU slots are taken from, with whoever else takes them.

Two count: `wildloop-gpu:<host>`, which each worker makes, and `tag:gpu`, Prefect's limit on tasks
tagged `gpu`, where a team has made one. Slots are held by leases, which run out unless renewed.
"""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import (
    GlobalConcurrencyLimitCreate,
    GlobalConcurrencyLimitUpdate,
)
from prefect.client.schemas.objects import ConcurrencyLeaseHolder
from prefect.client.schemas.responses import GlobalConcurrencyLimitResponse
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound, PrefectHTTPStatusError

from wildloop.flows.prefect_inside.lean import GPU_TAG_LIMIT

LEASE_SECONDS = 600.0
"""How long a lease lasts after its worker has died, if the next one does not renew it."""
NO_ROOM = frozenset({httpx.codes.LOCKED, httpx.codes.UNPROCESSABLE_ENTITY})


def limit_name(host: str) -> str:
    """The limit that counts the GPU slots of a host."""
    return f"wildloop-gpu:{host}"


async def read_limits(client: PrefectClient, host: str) -> list[GlobalConcurrencyLimitResponse]:
    """Those of the two limits that are there and switched on."""
    found = await asyncio.gather(
        *(_read(client, name) for name in (limit_name(host), GPU_TAG_LIMIT))
    )
    return [limit for limit in found if limit is not None and limit.active]


async def set_limit(client: PrefectClient, host: str, slots: int, known: int | None) -> int | None:
    """Make a host's limit where it is missing, and keep it in step with the host's slots.

    Args:
        client: the Prefect client.
        host: whose limit.
        slots: what the host has.
        known: what Wildloop has set before; None: it never has. Any other number is people's.

    Returns:
        What Wildloop has set, by now.
    """
    there = await _read(client, limit_name(host))
    if there is None:
        made = GlobalConcurrencyLimitCreate(name=limit_name(host), limit=slots)
        try:
            await client.create_global_concurrency_limit(made)
        except ObjectAlreadyExists:
            return known
        return slots
    if known is None or there.limit != known or there.limit == slots:
        return known
    await client.update_global_concurrency_limit(
        limit_name(host), GlobalConcurrencyLimitUpdate(limit=slots)
    )
    return slots


async def take_slots(
    client: PrefectClient, names: Sequence[str], slots: int, flow_run_id: UUID
) -> UUID | None:
    """Take slots of all these limits, or of none; return the lease, None where they are not free.

    Raises:
        PrefectHTTPStatusError: the server refuses it for another reason.
    """
    try:
        answer = await client.increment_concurrency_slots_with_lease(
            list(names),
            slots,
            "concurrency",
            LEASE_SECONDS,
            ConcurrencyLeaseHolder(type="flow_run", id=flow_run_id),
        )
    except httpx.HTTPStatusError as error:
        if error.response.status_code in NO_ROOM:
            return None
        raise
    body: dict[str, Any] = answer.json()
    return UUID(body["lease_id"])


async def renew(client: PrefectClient, lease: UUID) -> bool:
    """Have a lease last on; False if the server does not know it any more."""
    try:
        await client.renew_concurrency_lease(lease, LEASE_SECONDS)
    except (PrefectHTTPStatusError, httpx.HTTPStatusError) as error:
        if error.response.status_code == httpx.codes.GONE:
            return False
        raise
    return True


async def give_back(client: PrefectClient, lease: UUID) -> None:
    """Free the slots of a lease; one that is not known any more frees none."""
    await client.release_concurrency_slots_with_lease(lease)


async def give_back_lost(client: PrefectClient, names: Sequence[str], slots: int) -> None:
    """Free slots whose lease a server has forgotten by a restart, though it counts them still."""
    await client.release_concurrency_slots(list(names), slots, occupancy_seconds=1.0)


async def _read(client: PrefectClient, name: str) -> GlobalConcurrencyLimitResponse | None:
    try:
        return await client.read_global_concurrency_limit_by_name(name)
    except ObjectNotFound:
        return None
