"""A session's budget of GPU-hours, kept while the session is busy with something else."""

import math

import httpx
from prefect.exceptions import PrefectHTTPStatusError
from prefect.logging import get_run_logger

from wildloop.flows.models.session_options import Budget
from wildloop.flows.models.session_record import SessionRecord
from wildloop.flows.spending import gpu_seconds_left, is_overdrawn, spending
from wildloop.flows.store.runs import RunStore
from wildloop.flows.store.sessions import stop_runs


async def keep_gpu_budget(budget: Budget, record: SessionRecord, runs: RunStore) -> float:
    """Seconds until the GPU-hours are used up at the present rate; 0: they are.

    Then no run that waits is started any more. Those that run may go on for a tenth of the
    budget, and are stopped after it.
    """
    if budget.gpu_hours is None:
        return math.inf
    try:
        own = await runs.all(chat_session_id=record.session_id)
        used = spending(record, own)
        if (left := gpu_seconds_left(budget.gpu_hours, used, own)) > 0:
            return left
        stopped = await stop_runs(runs, record.session_id, running=is_overdrawn(budget, used))
    except (httpx.HTTPError, PrefectHTTPStatusError) as error:
        # The server may be restarting: the next look is some seconds away.
        get_run_logger().warning("the GPU-hours were not looked at: %s", error)
        return math.inf
    if stopped:
        get_run_logger().warning(
            "budget: gpu_hours %.3g of %g is used up: stopped %d runs",
            used.gpu_hours,
            budget.gpu_hours,
            len(stopped),
        )
    return 0.0
