"""Sweeps over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Query

from flows.models.sweep import Sweep, WildSweepCreate
from shim.deps import Sweeps
from shim.errors import RESPONSES

router = APIRouter(prefix="/sweeps", tags=["sweeps"], responses=RESPONSES)


@router.post("/wild", summary="Create a sweep that is filled run by run", status_code=201)
async def create_wild_sweep(body: WildSweepCreate, sweeps: Sweeps) -> Sweep:
    """Then create its runs with `sweep_id`."""
    return await sweeps.create_wild(body)


@router.get("", summary="List sweeps, last changed first")
async def list_sweeps(
    sweeps: Sweeps, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> list[Sweep]:
    """Sweeps with progress and best run."""
    return await sweeps.recent(limit)


@router.get("/{sweep_id}", summary="Read a sweep")
async def get_sweep(sweep_id: str, sweeps: Sweeps) -> Sweep:
    """A sweep with its runs, progress and best run."""
    return await sweeps.get(sweep_id)
