"""Runs over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import TypeAdapter

from flows.models.run import Run, RunCreate, RunRerun, RunStatus, RunUpdate
from flows.models.sweep import AddToSweep
from flows.store.run_filter import RunFilter
from shim.checks import check_folder
from shim.deps import IdempotencyKey, Runs, Sweeps, WithIndex, WithListings
from shim.errors import RESPONSES
from shim.models import StatusReport
from shim.reports import check_report, keep_report

RUNS = TypeAdapter(list[Run])
# PostgreSQL cannot be asked for one.
NO_NUL = r"^[^\x00]*$"

# Later times have no date.
YEAR_10000 = 253_402_300_800

router = APIRouter(prefix="/runs", tags=["runs"], responses=RESPONSES)


@router.post("", summary="Create a run: `ready`, or queued with auto_start", status_code=201)
async def create_run(
    body: RunCreate, runs: Runs, sweeps: Sweeps, idempotency_key: IdempotencyKey = None
) -> Run:
    """One command, one configuration. A `ready` run waits for `/runs/{id}/start`.

    Without a session of its own it belongs to that of its sweep.
    """
    check_folder("workdir", body.workdir)
    if body.sweep_id is not None:
        sweep = await sweeps.open_for_runs(body.sweep_id)
        session_id = body.chat_session_id or sweep.chat_session_id
        body = body.model_copy(update={"chat_session_id": session_id})
    return await runs.create(body, idempotency_key)


@router.get("", summary="List runs, newest first", response_model=list[Run])
async def list_runs(
    runs: Runs,
    listings: WithListings,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    status: RunStatus | None = None,
    sweep_id: Annotated[str | None, Query(pattern=NO_NUL)] = None,
    chat_session_id: Annotated[str | None, Query(pattern=NO_NUL)] = None,
    archived: Annotated[
        bool | None, Query(description="Only archived ones, or only others.")
    ] = None,
    before: Annotated[
        float | None,
        Query(gt=0, lt=YEAR_10000, description="Only runs created before; Unix seconds."),
    ] = None,
) -> Response:
    """Runs by status, sweep or session; archived ones too unless `archived=false`.

    New runs shift the pages that `offset` counts. To walk through all while others create, give
    the `created_at` of the last run so far as `before`.
    """
    wanted = RunFilter(
        limit=limit,
        offset=offset,
        status=status,
        sweep_id=sweep_id,
        chat_session_id=chat_session_id,
        archived=archived,
        before=before,
    )

    async def read() -> bytes:
        return RUNS.dump_json(await runs.select(wanted))

    # Written once for all who ask: turning a hundred runs into JSON costs as much as reading them.
    content = await listings.get(wanted.model_dump_json(), read)
    return Response(content, media_type="application/json")


@router.get("/{run_id}", summary="Read a run")
async def get_run(run_id: str, runs: Runs) -> Run:
    """A run with its status, exit code and last metrics."""
    return await runs.get(run_id)


@router.post("/{run_id}/start", summary="Queue a `ready` run")
async def start_run(run_id: str, runs: Runs) -> Run:
    """The run starts by itself as soon as a slot is free."""
    return await runs.start(run_id)


@router.post("/{run_id}/queue", summary="Queue a `ready` run (same as start)")
async def queue_run(run_id: str, runs: Runs) -> Run:
    """The run starts by itself as soon as a slot is free."""
    return await runs.queue(run_id)


@router.post("/{run_id}/stop", summary="Stop a run")
async def stop_run(run_id: str, runs: Runs) -> Run:
    """TERM to the process group, KILL after a grace time; then the run is `stopped`."""
    return await runs.stop(run_id)


@router.post("/{run_id}/rerun", summary="Repeat a run", status_code=201)
async def rerun(
    run_id: str, runs: Runs, body: RunRerun | None = None, idempotency_key: IdempotencyKey = None
) -> Run:
    """A new run with the same command and parameters, linked by `parent_run_id`."""
    return await runs.rerun(run_id, body, idempotency_key)


@router.put("/{run_id}", summary="Change a run")
async def update_run(
    run_id: str, body: RunUpdate, runs: Runs, sweeps: Sweeps, index: WithIndex
) -> Run:
    """Command, time-out and priority until it is launched; name and sweep at any time."""
    if body.sweep_id is not None:
        await sweeps.open_for_runs(body.sweep_id)
    changed = await runs.update(run_id, body)
    index.note(changed)
    return changed


@router.post("/{run_id}/add-to-sweep", summary="Put a run into a sweep, or out of its sweep")
async def add_to_sweep(
    run_id: str, body: AddToSweep, runs: Runs, sweeps: Sweeps, index: WithIndex
) -> Run:
    """Possible at any time; `{"sweep_id": null}` takes the run out."""
    if body.sweep_id is not None:
        await sweeps.open_for_runs(body.sweep_id)
    changed = await runs.update(run_id, RunUpdate(sweep_id=body.sweep_id))
    index.note(changed)
    return changed


@router.post("/{run_id}/status", summary="Tell what a sidecar has seen of a run")
async def report_status(run_id: str, body: StatusReport, runs: Runs) -> Run:
    """Noted in `reports.jsonl` of the run's folder; it changes no status.

    Wildloop watches its runs itself, and their outcome is the exit code of their command. A report
    that agrees is accepted, also a late one (`launching` of a run that runs); one that contradicts
    is answered by 409 with the reason. To start or end a run use `/start` and `/stop`.
    """
    run = await runs.get(run_id)
    check_report(run, body)
    await keep_report(run, body)
    return run


@router.post("/{run_id}/archive", summary="Hide a run from lists")
async def archive_run(run_id: str, runs: Runs) -> Run:
    """Nothing is removed; `GET /runs?archived=true` lists it."""
    return await runs.archive(run_id)


@router.post("/{run_id}/unarchive", summary="Show an archived run again")
async def unarchive_run(run_id: str, runs: Runs) -> Run:
    """It appears in lists again."""
    return await runs.archive(run_id, archived=False)
