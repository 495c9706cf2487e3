"""The table of runs, and one run."""

import asyncio
import time
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, StreamingResponse

from wildloop.flows.models.run import Run, RunStatus
from wildloop.flows.store.account import read_evidence
from wildloop.flows.store.run_filter import RunFilter
from wildloop.flows.store.runs import RunStore
from wildloop.shim.deps import Runs, Sessions, WithDisks, WithWaits
from wildloop.shim.page.live import runs_mark
from wildloop.shim.page.now import WithFeed, said_so
from wildloop.shim.page.render import page, render
from wildloop.shim.page.shared_reads import SharedReads
from wildloop.shim.page.table import (
    METRIC,
    PAGE_ROWS,
    PARAMETER,
    Wanted,
    columns,
    in_order,
    matching,
)
from wildloop.shim.routers import run_data

router = APIRouter(prefix="/runs")
FRESH_S = 3.0


class AllRuns:
    """Every run of a session, a sweep or at all, read once for all who sort and filter them."""

    def __init__(self) -> None:
        self._shared = SharedReads[list[Run]]()
        self._known: dict[tuple[str, str], tuple[float, list[Run]]] = {}

    async def get(self, runs: RunStore, session: str, sweep: str) -> list[Run]:
        """As they were at most three seconds ago, newest first."""
        key = (session, sweep)
        at, found = self._known.get(key, (-FRESH_S, []))
        if time.monotonic() - at < FRESH_S:
            return found

        async def read() -> list[Run]:
            every = await runs.all(chat_session_id=session or None, sweep_id=sweep or None)
            return every[::-1]

        began = time.monotonic()
        found = await self._shared.get(repr(key), read)
        # Of what nobody asks for any more, nothing is kept.
        self._known = {
            one: known for one, known in self._known.items() if began - known[0] < 20 * FRESH_S
        }
        self._known[key] = (began, found)
        return found


def all_runs(request: Request) -> AllRuns:
    """The app's one reader of many runs, made by whoever comes first."""
    state = request.app.state
    if getattr(state, "page_runs", None) is None:
        state.page_runs = AllRuns()
    found: AllRuns = state.page_runs
    return found


@router.get("")
async def table(
    request: Request,
    wanted: Annotated[Wanted, Query()],
    runs: Runs,
    sessions: Sessions,
    disks: WithDisks,
    waits: WithWaits,
    feed: WithFeed,
) -> Response:
    """Runs by page, in any order; or a session's configurations with their seeds."""
    look = await feed.latest()
    given: dict[str, Any] = {
        "wanted": wanted,
        "mark": runs_mark(look),
        "sessions": look.sessions,
        "statuses": list(RunStatus),
        "link": lambda **changes: _link(wanted, changes),
        "plots": _plots_link(wanted),
        "account": None,
        "rows": [],
        "parameters": [],
        "metrics": [],
        "has_more": False,
        "total": None,
        "PARAMETER": PARAMETER,
        "METRIC": METRIC,
    }
    if wanted.group and wanted.session:
        session = await sessions.find(None, wanted.session)
        given["account"] = await read_evidence(sessions, runs, session)
    else:
        given |= await _rows(request, wanted, runs)
        given["rows"] = await waits.explained(disks.explained(given["rows"]))
        given["parameters"], given["metrics"] = columns(given["rows"])
    if "hx-request" in request.headers:
        return HTMLResponse(render("part/runs.html.j2", given))
    return page(request, "runs.html.j2", given)


async def _rows(request: Request, wanted: Wanted, runs: RunStore) -> dict[str, Any]:
    first = (wanted.page - 1) * PAGE_ROWS
    if not wanted.needs_all:
        found = await runs.select(
            RunFilter(
                limit=PAGE_ROWS + 1,
                offset=first,
                status=wanted.status or None,
                sweep_id=wanted.sweep or None,
                chat_session_id=wanted.session or None,
                archived=False,
            )
        )
        return {"rows": found[:PAGE_ROWS], "has_more": len(found) > PAGE_ROWS}
    every = await all_runs(request).get(runs, wanted.session, wanted.sweep)

    def chosen() -> list[Run]:
        own = [run for run in every if not run.is_archived]
        return in_order(matching(own, wanted), wanted.sort, wanted.order)

    # Thousands take a while, in which the other requests are not to wait.
    found = await asyncio.to_thread(chosen)
    rows = found[first : first + PAGE_ROWS]
    return {"rows": rows, "has_more": len(found) > first + PAGE_ROWS, "total": len(found)}


def _link(wanted: Wanted, changes: dict[str, Any]) -> str:
    """The table's address with some of it changed; another order begins at the first page."""
    given = wanted.model_dump(exclude_defaults=True, mode="json") | {"page": 1} | changes
    usual = Wanted().model_dump(mode="json")
    told = {name: one for name, one in given.items() if one != usual[name]}
    return f"/page/runs?{urlencode(told)}" if told else "/page/runs"


def _plots_link(wanted: Wanted) -> str:
    """The address of the pictures of all that the table has."""
    names = {"session", "sweep", "status", "q"}
    told = wanted.model_dump(include=names, exclude_defaults=True, mode="json")
    return f"/page/runs/plots?{urlencode(told)}"


@router.get("/{run_id}")
async def run_page(
    request: Request, run_id: str, runs: Runs, disks: WithDisks, waits: WithWaits
) -> Response:
    """One run: what it was asked to do, what came of it, its curves and its log."""
    (run,) = await waits.explained(disks.explained([await runs.get(run_id)]))
    return page(request, "run.html.j2", {"run": run})


@router.get("/{run_id}/logs/stream")
async def log_stream(
    run_id: str, request: Request, runs: Runs, offset: int = -20_000
) -> StreamingResponse:
    """A run's log as it grows; goes on where a lost connection left off."""
    last = request.headers.get("last-event-id", "")
    seen = int(last) if last.isdecimal() else None
    return await run_data.stream_logs(run_id, runs, offset, seen)


@router.post("/{run_id}/stop")
async def stop(request: Request, run_id: str, runs: Runs, feed: WithFeed) -> Response:
    """Stop a run."""
    run = await runs.stop(run_id)
    feed.poke()
    return said_so(request, f"Run {run.name}: asked to stop.", f"/page/runs/{run.id}")
