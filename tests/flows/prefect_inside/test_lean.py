"""What the worker leaves out exists in this version of Prefect, and comes back."""

import asyncio
import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any
from uuid import uuid4

import pytest
from prefect import flow, flow_engine, results, task_engine
from prefect.concurrency import _leases
from prefect.settings import get_current_settings

from tests.support.pace import patient
from wildloop.flows.prefect_inside.lean import lean_engine


@flow
def nothing() -> None:
    """A flow as the engine sees it."""


def test_result_storage_is_not_asked_for_and_heartbeats_are_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(
        results, "_read_server_default_result_storage_block_id", lambda: asked.append("asked")
    )
    as_it_comes = results._read_server_default_result_storage_block_id
    before = get_current_settings().flows.heartbeat_frequency
    assert before is not None, "Prefect sends heartbeats by default"
    with lean_engine():
        storage = results.ResultStore().update_for_flow(nothing, _sync=True).result_storage
        assert storage is not None
        assert asked == []
        assert get_current_settings().flows.heartbeat_frequency is None
    assert results._read_server_default_result_storage_block_id is as_it_comes
    assert get_current_settings().flows.heartbeat_frequency == before
    results.ResultStore().update_for_flow(nothing, _sync=True)
    assert asked == ["asked"], "Prefect does not ask any more: the patch is needless"


@pytest.mark.parametrize("is_lean", [True, False])
async def test_a_lease_that_cannot_be_renewed_ends_no_flow_run(
    monkeypatch: pytest.MonkeyPatch, is_lean: bool
) -> None:
    class Restarted:
        """A server that has forgotten its leases."""

        def __enter__(self) -> "Restarted":
            return self

        def __exit__(self, *_: object) -> None:
            return

        def renew_concurrency_lease(self, **_: Any) -> None:
            raise RuntimeError("410 Gone")

    failed = asyncio.Event()
    loop = asyncio.get_running_loop()
    told = _leases._handle_lease_renewal_failure

    def tell(*arguments: Any) -> None:
        told(*arguments)
        if is_lean:
            loop.call_soon_threadsafe(failed.set)

    monkeypatch.setattr(_leases, "get_client", lambda **_: Restarted())
    monkeypatch.setattr(_leases, "_RENEWAL_RETRY_MAX_DELAY", 0.01)
    monkeypatch.setattr(_leases, "_handle_lease_renewal_failure", tell)
    went_on = False

    async def work() -> None:
        nonlocal went_on
        async with flow_engine.amaintain_concurrency_lease(
            uuid4(), 300, raise_on_lease_renewal_failure=True
        ):
            await failed.wait()
            await asyncio.sleep(0)
            went_on = True

    with lean_engine() if is_lean else nullcontext():
        done = asyncio.create_task(work())
        await asyncio.wait({done}, timeout=patient(30))
    assert done.done()
    ended = done.cancelled() or done.exception() is not None
    assert ended is not is_lean, "Prefect ends it no more: the patch is needless"
    assert went_on is is_lean


@pytest.mark.parametrize(
    ("is_lean", "asked_for"), [(True, ["tag:other"]), (False, ["tag:gpu", "tag:other"])]
)
async def test_limit_on_the_tag_gpu_is_left_to_the_worker(
    monkeypatch: pytest.MonkeyPatch, is_lean: bool, asked_for: list[str]
) -> None:
    asked: list[str] = []

    @asynccontextmanager
    async def limited(names: list[str], **_: Any) -> AsyncIterator[None]:
        asked.extend(names)
        yield

    monkeypatch.setattr(task_engine, "_aconcurrency", limited)

    with lean_engine() if is_lean else nullcontext():
        engine: Any = task_engine
        names = ["tag:gpu", "tag:other"]
        async with engine._aconcurrency(names=names, occupy=1, lease_duration=60):
            assert asked == asked_for
    assert engine._aconcurrency is limited
    source = inspect.getsource(task_engine.AsyncTaskRunEngine.start)
    assert "_aconcurrency(" in source, "Prefect limits tasks otherwise: the patch does nothing"
