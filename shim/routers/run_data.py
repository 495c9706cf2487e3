"""What runs have written, over HTTP: logs, metrics, files."""

import asyncio
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from wildloop.blocks.launchers.record import open_to_append
from wildloop.flows.errors import Conflict, InvalidRequest, NotFound
from wildloop.flows.files.paths import RunPaths
from wildloop.flows.metrics import downsample, parse_line, primary_metric
from wildloop.flows.metrics.contract import metric_of
from wildloop.flows.metrics.series import is_number
from wildloop.flows.models.metrics import RunMetrics
from wildloop.flows.models.run import LogChunk, Run
from wildloop.flows.project import MetricConfig, load_project
from wildloop.shim.apart import READ
from wildloop.shim.artifacts import list_artifacts, open_artifact
from wildloop.shim.deps import Runs, Sessions, Sweeps, WithMetrics, WithSeen
from wildloop.shim.errors import RESPONSES
from wildloop.shim.folder_copy import notes_of
from wildloop.shim.log_text import log_text
from wildloop.shim.logs import LIMIT_BYTES, LogFollower, read_log
from wildloop.shim.models import (
    Accepted,
    BestMetric,
    MetricEntries,
    MetricEntry,
    MetricRows,
    RunArtifacts,
    RunMetricsView,
)

IGNORED_SHOWN = 100

router = APIRouter(prefix="/runs", tags=["runs"], responses=RESPONSES)


@router.get(
    "/{run_id}/logs",
    summary="Read a run's log",
    response_model=LogChunk,
    responses={200: {"content": {"text/plain": {}}}},
    openapi_extra=READ,
)
async def get_logs(
    run_id: str,
    runs: Runs,
    request: Request,
    offset: Annotated[int, Query(description="In bytes; negative: from the end.")] = 0,
    limit: Annotated[int, Query(ge=1, le=LIMIT_BYTES)] = 65_536,
) -> LogChunk | Response:
    """stdout and stderr, in order. Follow by asking again from `next_offset` until `eof`.

    With `Accept: text/plain` the whole log as it is, compressed where the client takes gzip; with
    `Range: bytes=-2000` its end, and so on.
    """
    run = await runs.get(run_id)
    asked = request.headers
    if asked.get("accept", "").lower().startswith("text/plain"):
        encodings = asked.get("accept-encoding", "")
        return await asyncio.to_thread(log_text, run, asked.get("range"), encodings)
    return await asyncio.to_thread(read_log, run, offset, limit)


@router.get(
    "/{run_id}/logs/stream",
    summary="Follow a run's log",
    response_class=StreamingResponse,
    openapi_extra=READ,
)
async def stream_logs(
    run_id: str,
    runs: Runs,
    offset: Annotated[int, Query(description="In bytes; negative: from the end.")] = 0,
    last_event_id: Annotated[
        int | None, Header(ge=0, description="Go on after this event (wins over `offset`).")
    ] = None,
) -> StreamingResponse:
    """Server-sent events: `log` {content, offset, next_offset} as it is written, then `end`.

    `note` {notes} says what has not come yet of a run that has ended on another host.
    An event's id is the byte to go on from: a client that reconnects with `Last-Event-ID` misses
    nothing. Comments keep a quiet connection open.
    """
    await runs.peek(run_id)
    start = offset if last_event_id is None else last_event_id
    follower = LogFollower(look=lambda: runs.peek(run_id), offset=start)
    return StreamingResponse(
        follower.events(),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@router.get("/{run_id}/metrics", summary="Read a run's metric series", openapi_extra=READ)
async def get_metrics(
    run_id: str,
    runs: Runs,
    sweeps: Sweeps,
    sessions: Sessions,
    reader: WithMetrics,
    name: Annotated[str | None, Query(description="Only this metric.")] = None,
    points: Annotated[
        int, Query(ge=2, le=100_000, description="At most about this many, extremes kept.")
    ] = 500,
) -> RunMetricsView:
    """From metrics.jsonl, trackers, loggers' files, else the log: series, last, extremes."""
    run = await runs.get(run_id)
    metrics, primary = await asyncio.gather(
        asyncio.to_thread(reader.read, run), _primary_of(run, sweeps, sessions)
    )
    found = {key: one for key, one in metrics.series.items() if name in (None, key)}
    return RunMetricsView(
        run_id=run_id,
        series={key: downsample(one, points) for key, one in found.items()},
        last=metrics.last or run.metrics,
        lowest=metrics.lowest,
        highest=metrics.highest,
        best=_best(metrics, primary),
        sources=metrics.sources,
        broken=metrics.broken,
        notes=[*metrics.notes, *await asyncio.to_thread(notes_of, run)],
        taken=metrics.taken,
        origins=metrics.origins,
        units=metrics.units,
    )


def _best(metrics: RunMetrics, primary: MetricConfig | None) -> BestMetric | None:
    value = metrics.best(primary.name, primary.direction) if primary is not None else None
    if primary is None or value is None:
        return None
    return BestMetric(metric=primary.name, direction=primary.direction, value=value)


async def _primary_of(run: Run, sweeps: Sweeps, sessions: Sessions) -> MetricConfig | None:
    """The primary metric of a run, by its sweep, its session's contract, or its project."""
    sweep, fixed = None, None
    # Both may have been deleted since.
    if run.sweep_id is not None:
        with suppress(NotFound):
            sweep = await sweeps.record(run.sweep_id)
    if run.chat_session_id and (sweep is None or sweep.metric is None):
        with suppress(NotFound):
            fixed = metric_of((await sessions.find(run.chat_session_id)).contract)
    try:
        project = load_project(Path(run.workdir))
    except InvalidRequest:
        # A broken wildloop.toml must not hide what the run has measured.
        project = None
    return primary_metric(sweep, fixed, project)


@router.post("/{run_id}/metrics", summary="Add metric values to a run")
async def post_metrics(
    run_id: str, body: MetricEntry | MetricEntries | MetricRows, runs: Runs, seen: WithSeen
) -> Accepted:
    """One entry, a list, or `rows`: `{"step": 1, "loss": 0.3}`, `{"name": "loss", "value": 0.3}`.

    Texts and nested values are no metrics: `ignored` names them.
    """
    run = await runs.get(run_id)
    if run.status.is_terminal:
        raise Conflict(
            f"run '{run_id}' is {run.status.value}: what it has measured was settled at its end; "
            "create another run for other values"
        )
    entries = _entries(body)
    lines = [json.dumps(entry.model_dump(exclude_none=True)) for entry in entries]
    counts = [len(parse_line(line)) for line in lines]
    if not all(counts) and not isinstance(body, MetricRows):
        raise InvalidRequest(
            f"metric entry {counts.index(0) + 1} has no number: give {{'step': 1, 'loss': 0.3}} "
            "or {'name': 'loss', 'value': 0.3}"
        )
    path = RunPaths(Path(run.run_dir)).metrics

    def append() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # One write in append mode: lines of several writers do not mix.
        with os.fdopen(open_to_append(path), "ab", buffering=0) as file:
            file.write("".join(line + "\n" for line in lines).encode())

    await asyncio.to_thread(append)
    seen.changed()
    return Accepted(accepted=sum(counts), ignored=_without_number(entries))


def _entries(body: MetricEntry | list[MetricEntry] | MetricRows) -> list[MetricEntry]:
    if isinstance(body, MetricRows):
        return body.rows
    return body if isinstance(body, list) else [body]


def _without_number(entries: list[MetricEntry]) -> list[str]:
    """Names of values that are none, each once, in their order."""
    names = {
        name: None
        for entry in entries
        for name, value in (entry.model_extra or {}).items()
        if not is_number(value) and not (name == "name" and "value" in (entry.model_extra or {}))
    }
    return list(names)[:IGNORED_SHOWN]


@router.get("/{run_id}/artifacts", summary="List the files of a run", openapi_extra=READ)
async def list_files(run_id: str, runs: Runs) -> RunArtifacts:
    """All that lies in the run's folder: Wildloop's own files and what the command wrote there."""
    run = await runs.get(run_id)
    found = await asyncio.to_thread(list_artifacts, run.id, Path(run.run_dir))
    found.notes += await asyncio.to_thread(notes_of, run)
    return found


@router.get(
    "/{run_id}/artifacts/{path:path}",
    summary="Download a file of a run",
    response_class=StreamingResponse,
    openapi_extra=READ,
)
async def download_file(run_id: str, path: str, runs: Runs) -> StreamingResponse:
    """404 for what is no regular file inside the run's folder."""
    run = await runs.get(run_id)
    found = await asyncio.to_thread(open_artifact, run.id, Path(run.run_dir), path)
    return StreamingResponse(
        found.content(), media_type="application/octet-stream", headers=found.headers
    )
