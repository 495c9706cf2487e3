"""A request to Prefect's server looks each of its queues up once."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.server.api.workers import WorkerLookups

from wildloop.flows.prefect_inside.lookups import look_up_once


async def test_each_request_asks_once_for_each_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def look(_: WorkerLookups, *, work_queue_name: str, **__: Any) -> UUID:
        asked.append(work_queue_name)
        return uuid4()

    monkeypatch.setattr(WorkerLookups, "_get_work_queue_id_from_name", look)
    look_up_once()

    async def found(lookups: WorkerLookups, name: str) -> UUID:
        return await lookups._get_work_queue_id_from_name(
            session=None,  # type: ignore[arg-type]
            work_pool_name="wildloop",
            work_queue_name=name,
            create_queue_if_not_found=True,
        )

    one = WorkerLookups()
    assert await found(one, "runs") == await found(one, "runs") != await found(one, "cpu")
    assert asked == ["runs", "cpu"]
    await found(WorkerLookups(), "runs")
    assert asked == ["runs", "cpu", "runs"]
