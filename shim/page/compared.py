"""Runs beside one another: curves, scatter, what differs between two, their logs."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from wildloop.flows.errors import InvalidRequest, NotFound
from wildloop.flows.metrics import downsample
from wildloop.flows.models.run import Run
from wildloop.flows.store.runs import RunStore
from wildloop.shim.comparison import compare_runs
from wildloop.shim.deps import Runs, Sessions, WithMetrics
from wildloop.shim.metrics import MetricsReader
from wildloop.shim.page.render import page

router = APIRouter(prefix="/runs")
MOST_RUNS = 20
MOST_POINTS = 400
AT_ONCE = 8
Chosen = Annotated[list[str] | None, Query(max_length=MOST_RUNS)]


class Curve(BaseModel):
    """One metric of one run; NaN and infinite are null. Times are Unix seconds."""

    run: str
    name: str
    steps: list[float | None] = Field(default_factory=list)
    times: list[float | None] = Field(default_factory=list)
    values: list[float | None] = Field(default_factory=list)


class Curves(BaseModel):
    """What the page's script draws."""

    metrics: list[str]
    metric: str
    curves: list[Curve]
    is_live: bool = Field(description="Whether any of the runs goes on.")


class Point(BaseModel):
    """One run in the scatter. `at` is Unix seconds."""

    run: str
    name: str
    parameters: dict[str, float]
    metrics: dict[str, float]
    at: float


@router.get("/compare")
async def compare_page(
    request: Request, runs: Runs, reader: WithMetrics, run: Chosen = None
) -> Response:
    """The chosen runs; of two, also what differs and their logs side by side."""
    found = await chosen_runs(runs, run)
    values: dict[str, Any] = {"runs": found, "comparison": None}
    if len(found) == 2:
        values["comparison"] = await compare_runs(found[0], found[1], reader)
    return page(request, "compare.html.j2", values)


@router.get("/curves")
async def curves(
    runs: Runs,
    sessions: Sessions,
    reader: WithMetrics,
    run: Chosen = None,
    metric: Annotated[str, Query(max_length=500)] = "",
) -> Curves:
    """One metric of the chosen runs: unasked, what their session compares by, or one that moves."""
    found = await chosen_runs(runs, run)
    if not metric and found[0].chat_session_id:
        # The session may have been deleted since.
        with suppress(NotFound):
            metric = (await sessions.find(found[0].chat_session_id)).contract.metric or ""
    return await asyncio.to_thread(_curves, reader, found, metric)


@router.get("/points")
async def points(
    runs: Runs,
    run: Chosen = None,
    session: Annotated[str, Query(max_length=200)] = "",
) -> list[Point]:
    """Numbers of the chosen runs, or of all of a session, for the scatter."""
    found = await runs.all(chat_session_id=session) if session else await chosen_runs(runs, run)
    return [_point(one) for one in found]


async def chosen_runs(runs: RunStore, ids: Sequence[str] | None) -> list[Run]:
    """The runs with these ids, each once.

    Raises:
        InvalidRequest: there are none.
        NotFound: one of them is gone.
    """
    wanted = list(dict.fromkeys(ids or []))
    if not wanted:
        raise InvalidRequest("Choose runs to compare: tick them in the table of runs.")
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(id: str) -> Run:
        async with limit:
            return await runs.get(id)

    return await asyncio.gather(*map(one, wanted))


def _curves(reader: MetricsReader, runs: Sequence[Run], metric: str) -> Curves:
    """Reads files."""
    every = {run.id: reader.read(run).series for run in runs}
    lengths: dict[str, int] = {}
    for series in every.values():
        for name, found in series.items():
            lengths[name] = max(lengths.get(name, 0), len(found))
    if metric not in lengths and lengths:
        metric = max(lengths, key=lambda name: lengths[name] > 1)
    made = []
    for run in runs:
        found = downsample(every[run.id].get(metric, []), MOST_POINTS)
        made.append(
            Curve(
                run=run.id,
                name=run.name,
                steps=[point.step for point in found],
                times=[point.time for point in found],
                values=[point.value for point in found],
            )
        )
    is_live = any(not run.status.is_terminal for run in runs)
    return Curves(metrics=list(lengths), metric=metric, curves=made, is_live=is_live)


def _point(run: Run) -> Point:
    numbers = {
        name: float(given)
        for name, given in run.parameters.items()
        if isinstance(given, int | float) and not isinstance(given, bool)
    }
    if run.seed is not None:
        numbers.setdefault("seed", float(run.seed))
    return Point(
        run=run.id,
        name=run.name,
        parameters=numbers,
        metrics=run.metrics,
        at=run.finished_at or run.created_at,
    )
