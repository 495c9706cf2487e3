"""Runs over HTTP."""

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import TypeAdapter

from wildloop.flows.models.run import (
    Run,
    RunCreate,
    RunRerun,
    RunStatus,
    RunUpdate,
    Withdrawal,
)
from wildloop.flows.models.sweep import AddToSweep
from wildloop.flows.store.account import withdraw
from wildloop.flows.store.run_filter import RunFilter
from wildloop.shim.apart import OWN, READ
from wildloop.shim.checks import check_folder
from wildloop.shim.deps import (
    IdempotencyKey,
    Runs,
    Sessions,
    Sweeps,
    WithDisks,
    WithMetrics,
    WithReadiness,
    WithSeen,
    WithWaits,
)
from wildloop.shim.errors import RESPONSES
from wildloop.shim.models import StatusReport
from wildloop.shim.reports import check_report, keep_report

RUNS = TypeAdapter(list[Run])
# PostgreSQL cannot be asked for one.
NO_NUL = r"^[^\x00]*$"

# Later times have no date.
YEAR_10000 = 253_402_300_800

router = APIRouter(prefix="/runs", tags=["runs"], responses=RESPONSES)


@router.post(
    "",
    summary="Create a run: `ready`, or queued with auto_start",
    status_code=201,
    openapi_extra=OWN,
)
async def create_run(
    body: RunCreate,
    runs: Runs,
    sweeps: Sweeps,
    readiness: WithReadiness,
    idempotency_key: IdempotencyKey = None,
) -> Run:
    """One command, one configuration. A `ready` run waits for `/runs/{id}/start`.

    Without a session of its own it belongs to that of its sweep.
    """
    check_folder("workdir", body.workdir)
    await readiness.wait_for_registration()
    if body.sweep_id is not None:
        sweep = await sweeps.open_for_runs(body.sweep_id)
        session_id = body.chat_session_id or sweep.chat_session_id
        body = body.model_copy(update={"chat_session_id": session_id})
    return await runs.create(body, idempotency_key)


@router.get("", summary="List runs, newest first", response_model=list[Run], openapi_extra=READ)
async def list_runs(
    runs: Runs,
    reader: WithMetrics,
    disks: WithDisks,
    seen: WithSeen,
    waits: WithWaits,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    status: RunStatus | None = None,
    sweep_id: Annotated[str | None, Query(pattern=NO_NUL)] = None,
    chat_session_id: Annotated[str | None, Query(pattern=NO_NUL)] = None,
    archived: Annotated[
        Literal["false", "true", "all"], Query(description="Without the archived, only they, all.")
    ] = "false",
    before: Annotated[
        float | None,
        Query(gt=0, lt=YEAR_10000, description="Only runs created before; Unix seconds."),
    ] = None,
    series: Annotated[
        str | None, Query(max_length=1000, description="Names of metrics, by commas.")
    ] = None,
    points: Annotated[
        int, Query(ge=2, le=1000, description="Of each series at most about so many.")
    ] = 50,
) -> Response:
    """Runs by status, sweep or session; without the archived ones unless asked for.

    `series=loss,val_acc` adds short series of these metrics to each run. New runs shift the pages
    that `offset` counts. To walk through all while others create, give the `created_at` of the
    last run so far as `before`.
    """
    name = chat_session_id
    session = await seen.session(runs.client, name) if name is not None else None
    session_id = str(session.id) if session is not None else name
    wanted = RunFilter(
        limit=limit,
        offset=offset,
        status=status,
        sweep_id=sweep_id,
        chat_session_id=session_id,
        also_called=[name] if name and name != session_id else [],
        archived={"false": False, "true": True, "all": None}[archived],
        before=before,
    )

    names = [name.strip() for name in (series or "").split(",") if name.strip()]

    async def read() -> bytes:
        found = await waits.explained(disks.explained(await runs.select(wanted)))
        if names:
            found = [
                await asyncio.to_thread(reader.with_series, run, names, points) for run in found
            ]
        return RUNS.dump_json(found)

    # Written once for all who ask: a hundred runs as JSON cost more than finding them.
    question = f"runs {wanted.model_dump_json()} {names} {points}"
    content = await seen.recent(question, read, of_table=True)
    return Response(content, media_type="application/json")


@router.get("/{run_id}", summary="Read a run", openapi_extra=READ)
async def get_run(run_id: str, runs: Runs, disks: WithDisks, waits: WithWaits) -> Run:
    """A run with its status, exit code and last metrics; queued, with the limit it waits for."""
    return (await waits.explained(disks.explained([await runs.get(run_id)])))[0]


@router.post("/{run_id}/start", summary="Queue a `ready` run", openapi_extra=OWN)
async def start_run(run_id: str, runs: Runs) -> Run:
    """The run starts by itself as soon as a slot is free."""
    return await runs.start(run_id)


@router.post("/{run_id}/queue", summary="Queue a `ready` run (same as start)", openapi_extra=OWN)
async def queue_run(run_id: str, runs: Runs) -> Run:
    """The run starts by itself as soon as a slot is free."""
    return await runs.queue(run_id)


@router.post("/{run_id}/stop", summary="Stop a run", openapi_extra=OWN)
async def stop_run(run_id: str, runs: Runs) -> Run:
    """TERM to the process group, KILL after a grace time; then the run is `stopped`."""
    return await runs.stop(run_id)


@router.post("/{run_id}/rerun", summary="Repeat a run", status_code=201, openapi_extra=OWN)
async def rerun(
    run_id: str, runs: Runs, body: RunRerun | None = None, idempotency_key: IdempotencyKey = None
) -> Run:
    """A new run with the same command and parameters, linked by `parent_run_id`."""
    return await runs.rerun(run_id, body, idempotency_key)


@router.put("/{run_id}", summary="Change a run", openapi_extra=OWN)
async def update_run(run_id: str, body: RunUpdate, runs: Runs, sweeps: Sweeps) -> Run:
    """Command, time-out and priority until it is launched; name and sweep at any time."""
    if body.sweep_id is not None:
        await sweeps.open_for_runs(body.sweep_id)
    return await runs.update(run_id, body)


@router.post(
    "/{run_id}/add-to-sweep",
    summary="Put a run into a sweep, or out of its sweep",
    openapi_extra=OWN,
)
async def add_to_sweep(run_id: str, body: AddToSweep, runs: Runs, sweeps: Sweeps) -> Run:
    """Possible at any time; `{"sweep_id": null}` takes the run out."""
    if body.sweep_id is not None:
        await sweeps.open_for_runs(body.sweep_id)
    return await runs.update(run_id, RunUpdate(sweep_id=body.sweep_id))


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


@router.post("/{run_id}/withdraw", summary="Take a run's configuration out of the comparison")
async def withdraw_run(run_id: str, body: Withdrawal, runs: Runs, sessions: Sessions) -> list[Run]:
    """All seeds of it, before there is a verdict on it; the ledger and the report tell why.

    It is no way to drop a bad seed: what is withdrawn was tried, and still counts as a test.
    """
    return await withdraw(sessions, runs, run_id, body.reason)


@router.post("/{run_id}/archive", summary="Hide a run from lists")
async def archive_run(run_id: str, runs: Runs) -> Run:
    """Nothing is removed; `GET /runs?archived=true` lists it."""
    return await runs.archive(run_id)


@router.post("/{run_id}/unarchive", summary="Show an archived run again")
async def unarchive_run(run_id: str, runs: Runs) -> Run:
    """It appears in lists again."""
    return await runs.archive(run_id, archived=False)
