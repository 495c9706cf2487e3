"""A session's budget, kept while the session is busy with something else."""

import httpx
from prefect.exceptions import PrefectHTTPStatusError
from prefect.logging import get_run_logger

from flows.session import ResearchSession
from flows.spending import is_overdrawn, spending
from flows.store.sessions import stop_runs


async def keep_gpu_budget(session: ResearchSession) -> bool:
    """Whether the GPU-hours are used up; if so, no run that waits is started any more.

    Those that run may go on for a tenth of the budget; then they are stopped.
    """
    budget = session.spec.budget
    if budget.gpu_hours is None:
        return False
    try:
        used = spending(session.record, await session.all_runs())
        if used.gpu_hours < budget.gpu_hours:
            return False
        stopped = await stop_runs(session.runs, session.id, running=is_overdrawn(budget, used))
    except (httpx.HTTPError, PrefectHTTPStatusError) as error:
        # The server may be restarting: the next look is some seconds away.
        get_run_logger().warning("the GPU-hours were not looked at: %s", error)
        return False
    if stopped:
        get_run_logger().warning(
            "budget: gpu_hours %.3g of %g is used up: stopped %d runs",
            used.gpu_hours,
            budget.gpu_hours,
            len(stopped),
        )
    return True
