"""Leaves out what Prefect's engine does for each flow run and Wildloop has no use for."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from uuid import UUID

from prefect import flow_engine, results, task_engine
from prefect.concurrency._leases import amaintain_concurrency_lease
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

GPU_TAG_LIMIT = "tag:gpu"
"""Prefect's name for the limit on tasks that are tagged `gpu`."""


@contextmanager
def lean_engine() -> Iterator[None]:
    """While entered, flow runs of this process cost less.

    - No question for the server's default result storage: Prefect 3.8 asks it anew for every flow
      run, by a synchronous request that blocks the event loop (60 % of its work in a burst). Our
      flows keep no results. An internal, guarded by a test.
    - No heartbeats, a thread and events for each flow run: whether a flow run is alive is told by
      its worker's process, and an automation that counts heartbeats may end one that is.
    - No waiting of a task tagged `gpu` for the limit on that tag, which counts tasks: the worker
      has taken slots of it before, by devices, when the run held nothing that others wait for.
    """
    asked = results._read_server_default_result_storage_block_id
    engine: Any = flow_engine
    leased = engine.amaintain_concurrency_lease
    tasks: Any = task_engine
    limited = tasks._aconcurrency

    @asynccontextmanager
    async def limited_by_others(names: list[str], **options: Any) -> AsyncIterator[None]:
        async with limited(names=[name for name in names if name != GPU_TAG_LIMIT], **options):
            yield

    tasks._aconcurrency = limited_by_others
    results._read_server_default_result_storage_block_id = lambda: None
    engine.amaintain_concurrency_lease = _hold_lease
    try:
        with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
            yield
    finally:
        results._read_server_default_result_storage_block_id = asked
        engine.amaintain_concurrency_lease = leased
        tasks._aconcurrency = limited


@asynccontextmanager
async def _hold_lease(
    lease_id: UUID,
    lease_duration: float,
    raise_on_lease_renewal_failure: bool = False,
    suppress_warnings: bool = False,
) -> AsyncIterator[None]:
    """Renew a lease for as long as that succeeds; the flow run goes on without it."""
    async with amaintain_concurrency_lease(
        lease_id, lease_duration, suppress_warnings=suppress_warnings
    ):
        yield
