"""Pictures of the runs that are chosen or filtered: what was tried, and what it gave."""

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import Field

from wildloop.flows.alerts.series import is_loss
from wildloop.flows.errors import NotFound
from wildloop.flows.evidence.values import scored
from wildloop.flows.models.run import Run
from wildloop.flows.store.runs import RunStore
from wildloop.flows.store.sessions import SessionStore
from wildloop.shim.deps import Runs, Sessions
from wildloop.shim.page.compared import chosen_runs
from wildloop.shim.page.render import page, render
from wildloop.shim.page.runs import all_runs
from wildloop.shim.page.table import PAGE_ROWS, Wanted, matching

router = APIRouter(prefix="/runs")
LEAST = 2


class Plotted(Wanted):
    """What is to be drawn: chosen runs, or those of a filter; by which metric, which way better."""

    run: list[str] = Field(default_factory=list, max_length=PAGE_ROWS)
    metric: str = Field(default="", max_length=500)
    better: Literal["", "max", "min"] = ""


@router.get("/plots")
async def plots(
    request: Request, wanted: Annotated[Plotted, Query()], runs: Runs, sessions: Sessions
) -> Response:
    """Parallel coordinates, scatter and importance of the runs that have the metric."""
    found = await _runs(request, wanted, runs)
    counts = Counter(
        name for run in found for name, value in run.metrics.items() if _is_real(value)
    )
    metric, better = await _by(found, wanted, counts, sessions)
    rows = scored(found, metric)
    drawn = None
    if len(rows) >= LEAST:
        # matplotlib and Optuna come along, which no other page needs.
        from wildloop.shim.page.drawn import pictures

        drawn = await asyncio.to_thread(pictures, rows, metric, better)
    given: dict[str, Any] = {
        "wanted": wanted,
        "drawn": drawn,
        "metric": metric,
        "better": better,
        "metrics": sorted(counts, key=lambda name: (-counts[name], name)),
        "total": len(found),
        "valued": len(rows),
    }
    if "hx-request" in request.headers:
        return HTMLResponse(render("part/plots.html.j2", given))
    return page(request, "plots.html.j2", given)


async def _runs(request: Request, wanted: Plotted, runs: RunStore) -> list[Run]:
    if wanted.run:
        return await chosen_runs(runs, wanted.run)
    every = await all_runs(request).get(runs, wanted.session, wanted.sweep)
    return matching((run for run in every if not run.is_archived), wanted)


async def _by(
    found: Sequence[Run], wanted: Plotted, counts: Counter[str], sessions: SessionStore
) -> tuple[str, Literal["max", "min"]]:
    """The metric and its better way: as asked, else as the one session of the runs compares.

    Else the metric that most have; where it is named like a loss, less is better.
    """
    metric, better = wanted.metric, wanted.better
    owners = {run.chat_session_id for run in found}
    if len(owners) == 1 and (owner := next(iter(owners))):
        # The session may have been deleted since.
        with suppress(NotFound):
            contract = (await sessions.find(owner)).contract
            metric = metric or contract.metric or ""
            if metric == contract.metric and not better:
                better = contract.direction
    if metric not in counts:
        metric = counts.most_common(1)[0][0] if counts else ""
    return metric, better or ("min" if is_loss(metric) else "max")


def _is_real(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
