"""Runs over HTTP."""

import asyncio
import json
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query

from flows.errors import InvalidRequest, NotFound
from flows.metrics import downsample, last_values, parse_line, read_points, series
from flows.models.run import LogChunk, Run, RunCreate, RunRerun, RunStatus, RunUpdate
from flows.paths import RunPaths
from flows.store.runs import RunFilter
from shim.deps import IdempotencyKey, Runs, Sweeps
from shim.errors import RESPONSES
from shim.logs import LIMIT_BYTES, read_log
from shim.models import Accepted, MetricEntries, MetricEntry, RunMetrics

router = APIRouter(prefix="/runs", tags=["runs"], responses=RESPONSES)


@router.post("", summary="Create a run: `ready`, or queued with auto_start", status_code=201)
async def create_run(
    body: RunCreate, runs: Runs, sweeps: Sweeps, idempotency_key: IdempotencyKey = None
) -> Run:
    """One command, one configuration. A `ready` run waits for `/runs/{id}/start`."""
    if body.workdir is not None and not Path(body.workdir).is_dir():
        raise InvalidRequest(f"workdir '{body.workdir}' does not exist: create it or give another")
    if body.sweep_id is not None and not await sweeps.exists(body.sweep_id):
        raise NotFound("sweep", body.sweep_id)
    return await runs.create(body, idempotency_key)


@router.get("", summary="List runs, newest first")
async def list_runs(
    runs: Runs,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    status: RunStatus | None = None,
    sweep_id: str | None = None,
    chat_session_id: str | None = None,
    archived: Annotated[
        bool | None, Query(description="Only archived ones, or only others.")
    ] = None,
) -> list[Run]:
    """Runs by status, sweep or session; archived ones too unless `archived=false`."""
    return await runs.select(
        RunFilter(
            limit=limit,
            offset=offset,
            status=status,
            sweep_id=sweep_id,
            chat_session_id=chat_session_id,
            archived=archived,
        )
    )


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
async def rerun(run_id: str, runs: Runs, body: RunRerun | None = None) -> Run:
    """A new run with the same command and parameters, linked by `parent_run_id`."""
    return await runs.rerun(run_id, body)


@router.put("/{run_id}", summary="Change a run")
async def update_run(run_id: str, body: RunUpdate, runs: Runs) -> Run:
    """Command, time-out and priority of a run that was not yet launched; its name at any time."""
    return await runs.update(run_id, body)


@router.post("/{run_id}/archive", summary="Hide a run from lists")
async def archive_run(run_id: str, runs: Runs) -> Run:
    """Nothing is removed; `GET /runs?archived=true` lists it."""
    return await runs.archive(run_id)


@router.post("/{run_id}/unarchive", summary="Show an archived run again")
async def unarchive_run(run_id: str, runs: Runs) -> Run:
    """It appears in lists again."""
    return await runs.archive(run_id, archived=False)


@router.get("/{run_id}/logs", summary="Read a run's log")
async def get_logs(
    run_id: str,
    runs: Runs,
    offset: Annotated[int, Query(description="In bytes; negative: from the end.")] = 0,
    limit: Annotated[int, Query(ge=1, le=LIMIT_BYTES)] = 65_536,
) -> LogChunk:
    """stdout and stderr, in order. Follow by asking again from `next_offset` until `eof`."""
    run = await runs.get(run_id)
    return await asyncio.to_thread(read_log, run, offset, limit)


@router.get("/{run_id}/metrics", summary="Read a run's metric series")
async def get_metrics(
    run_id: str,
    runs: Runs,
    name: Annotated[str | None, Query(description="Only this metric.")] = None,
    points: Annotated[
        int | None, Query(ge=2, le=100_000, description="At most about this many, extremes kept.")
    ] = None,
) -> RunMetrics:
    """The series by name, and the last values."""
    run = await runs.get(run_id)
    read, _ = await asyncio.to_thread(read_points, RunPaths(Path(run.run_dir)).metrics)
    found = {key: value for key, value in series(read).items() if name in (None, key)}
    if points is not None:
        found = {key: downsample(value, points) for key, value in found.items()}
    return RunMetrics(run_id=run_id, series=found, last=last_values(read) or run.metrics)


@router.post("/{run_id}/metrics", summary="Add metric values to a run")
async def post_metrics(run_id: str, body: MetricEntry | MetricEntries, runs: Runs) -> Accepted:
    """One entry or a list: `{"step": 1, "loss": 0.3}` or `{"name": "loss", "value": 0.3}`."""
    run = await runs.get(run_id)
    entries = body if isinstance(body, list) else [body]
    lines = [json.dumps(entry.model_dump(exclude_none=True)) for entry in entries]
    counts = [len(parse_line(line)) for line in lines]
    if not all(counts):
        raise InvalidRequest(
            f"metric entry {counts.index(0) + 1} has no number: give {{'step': 1, 'loss': 0.3}} "
            "or {'name': 'loss', 'value': 0.3}"
        )
    path = RunPaths(Path(run.run_dir)).metrics

    def append() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # One write in append mode: lines of several writers do not mix.
        with path.open("ab", buffering=0) as file:
            file.write("".join(line + "\n" for line in lines).encode())

    await asyncio.to_thread(append)
    return Accepted(accepted=sum(counts))
