"""The work queue of a request to Prefect's server, looked up once for all that it creates."""

from typing import Any
from uuid import UUID

from prefect.server.api.workers import WorkerLookups


def look_up_once() -> None:
    """Have one request ask the database once for a queue that it names for each of its flow runs.

    Without this, a fifth of what the server computes for creating many. There is a `WorkerLookups`
    for each request, which keeps what it has found as long as that lasts.
    """
    asked: Any = WorkerLookups._get_work_queue_id_from_name

    async def once(
        self: WorkerLookups,
        session: Any,
        work_pool_name: str,
        work_queue_name: str,
        create_queue_if_not_found: bool = False,
    ) -> UUID:
        known: dict[tuple[str, str], UUID] = self.__dict__.setdefault("wildloop_known", {})
        key = (work_pool_name, work_queue_name)
        if key not in known:
            known[key] = await asked(
                self,
                session=session,
                work_pool_name=work_pool_name,
                work_queue_name=work_queue_name,
                create_queue_if_not_found=create_queue_if_not_found,
            )
        return known[key]

    WorkerLookups._get_work_queue_id_from_name = once  # type: ignore[method-assign]
