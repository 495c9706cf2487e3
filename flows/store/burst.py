"""Flow runs asked for at the same moment: made by one request, each with its own answer."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import PrefectHTTPStatusError

from wildloop.flows.store.base import BULK_SIZE, Store
from wildloop.flows.store.picture import Picture


@dataclass(frozen=True)
class _Asked:
    store: Store
    flow_name: str
    draft: dict[str, Any]
    answer: "asyncio.Future[FlowRun]"


class Burst:
    """Creates flow runs one after the other, those that wait for their turn together.

    Alone, a request goes its usual way at once. Others that come meanwhile wait for its end, then
    share one bulk request and one that reads what it has made. What the server does not make so,
    or refuses as a whole, is made one by one: each gets its own run, or its own error.

    Args:
        picture: takes in what was made.
    """

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._waiting: list[_Asked] = []
        self._sending: asyncio.Task[None] | None = None

    async def create_flow_run(self, store: Store, flow_name: str, draft: dict[str, Any]) -> FlowRun:
        """Create a flow run of `flow_name/wildloop`, after those that were asked for before.

        Raises:
            Whatever `store.create_flow_run` raises.
        """
        keyed = draft | {"idempotency_key": draft.get("idempotency_key") or str(uuid4())}
        answer: asyncio.Future[FlowRun] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Asked(store, flow_name, keyed, answer))
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())
        return await answer

    async def _send(self) -> None:
        while self._waiting:
            first = self._waiting[0]
            batch = [one for one in self._waiting[:BULK_SIZE] if one.flow_name == first.flow_name]
            self._waiting = [one for one in self._waiting if one not in batch]
            try:
                made = await self._together(batch) if len(batch) > 1 else [None]
            except Exception as error:  # noqa: BLE001 - it is the answer to each of them
                for one in batch:
                    _fail(one, error)
                continue
            for one, flow_run in zip(batch, made, strict=True):
                if flow_run is None:
                    await self._alone(one)
                elif not one.answer.done():
                    one.answer.set_result(flow_run)

    async def _together(self, batch: Sequence[_Asked]) -> list[FlowRun | None]:
        store = batch[0].store
        try:
            made = await store.bulk(batch[0].flow_name, [one.draft for one in batch])
        except PrefectHTTPStatusError:
            # One of them is at fault, as whose parent was deleted: alone it is told so.
            return [None] * len(batch)
        ids = [UUID(one["flow_run_id"]) if one is not None else None for one in made]
        begin = self._picture.begin()
        found = await store.client.read_flow_runs(
            flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[id for id in ids if id])),
            limit=len(ids),
        )
        self._picture.took(found, begin)
        by_id = {one.id: one for one in found}
        return [by_id.get(id) if id is not None else None for id in ids]

    async def _alone(self, one: _Asked) -> None:
        try:
            flow_run = await one.store.create_flow_run(one.flow_name, **one.draft)
        except Exception as error:  # noqa: BLE001 - it is the answer
            _fail(one, error)
            return
        if not one.answer.done():
            one.answer.set_result(flow_run)


def _fail(one: _Asked, error: Exception) -> None:
    if not one.answer.done():
        one.answer.set_exception(error)
