"""Sweeps over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Query

from wildloop.flows.models.run import Run
from wildloop.flows.models.sweep import (
    Sweep,
    SweepCreate,
    SweepRunCreate,
    SweepUpdate,
    WildSweepCreate,
)
from wildloop.shim.apart import OWN, READ
from wildloop.shim.checks import check_folder
from wildloop.shim.deps import IdempotencyKey, Sweeps
from wildloop.shim.errors import RESPONSES

router = APIRouter(prefix="/sweeps", tags=["sweeps"], responses=RESPONSES)


@router.post(
    "/wild", summary="Create a sweep that is filled run by run", status_code=201, openapi_extra=OWN
)
async def create_wild_sweep(
    body: WildSweepCreate, sweeps: Sweeps, idempotency_key: IdempotencyKey = None
) -> Sweep:
    """Then create its runs with `sweep_id`."""
    return await sweeps.create_wild(body, idempotency_key)


@router.post(
    "",
    summary="Create a sweep: a run for each combination of values",
    status_code=201,
    openapi_extra=OWN,
)
async def create_sweep(
    body: SweepCreate, sweeps: Sweeps, idempotency_key: IdempotencyKey = None
) -> Sweep:
    """Runs are `ready`, with auto_start queued; `skipped` and `notes` tell what was left out."""
    check_folder("workdir", body.workdir)
    return await sweeps.create(body, idempotency_key)


@router.get("", summary="List sweeps, last changed first", openapi_extra=READ)
async def list_sweeps(
    sweeps: Sweeps, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> list[Sweep]:
    """Sweeps with progress and best run."""
    return await sweeps.recent(limit)


@router.get("/{sweep_id}", summary="Read a sweep", openapi_extra=READ)
async def get_sweep(sweep_id: str, sweeps: Sweeps) -> Sweep:
    """A sweep with its runs, progress and best run."""
    return await sweeps.get(sweep_id)


@router.put("/{sweep_id}", summary="Change a sweep", openapi_extra=OWN)
async def update_sweep(sweep_id: str, body: SweepUpdate, sweeps: Sweeps) -> Sweep:
    """Name and goal at any time, the grid of a draft; `status: canceled` stops its runs."""
    check_folder("workdir", body.workdir)
    return await sweeps.update(sweep_id, body)


@router.post("/{sweep_id}/start", summary="Queue a sweep's runs", openapi_extra=OWN)
async def start_sweep(sweep_id: str, sweeps: Sweeps) -> Sweep:
    """Those of a draft are made first."""
    return await sweeps.start(sweep_id)


@router.post("/{sweep_id}/runs", summary="Add a run to a sweep", status_code=201, openapi_extra=OWN)
async def add_run(
    sweep_id: str, body: SweepRunCreate, sweeps: Sweeps, idempotency_key: IdempotencyKey = None
) -> Run:
    """With its own command, or the sweep's base_command and `parameters`."""
    check_folder("workdir", body.workdir)
    return await sweeps.add_run(sweep_id, body, idempotency_key)
