"""Two runs beside one another, over HTTP."""

import asyncio

from fastapi import APIRouter

from wildloop.flows.models.comparison import RunComparison
from wildloop.shim.comparison import compare_runs
from wildloop.shim.deps import Runs, WithMetrics
from wildloop.shim.errors import RESPONSES

router = APIRouter(prefix="/runs", tags=["runs"], responses=RESPONSES)


# Closed to agents: each path that is open to them is a line of every prompt, and the account, which
# they read, tells configurations apart with what each is worth.
@router.get("/{run_id}/compare/{other_run_id}", summary="What differs between two runs")
async def get_comparison(
    run_id: str, other_run_id: str, runs: Runs, reader: WithMetrics
) -> RunComparison:
    """Command, parameters, code, environment and metrics of each, and which of them differ.

    Which one is better is told of configurations, by `GET /wild/v2/evidence/{session_id}`.
    """
    first, second = await asyncio.gather(runs.get(run_id), runs.get(other_run_id))
    return await compare_runs(first, second, reader)
