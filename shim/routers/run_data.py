"""What runs have written, over HTTP: logs, metrics, files."""

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse

from flows.errors import InvalidRequest, NotFound
from flows.metrics import downsample, parse_line, primary_metric
from flows.models.metrics import RunMetrics
from flows.models.run import LogChunk, Run
from flows.paths import RunPaths, SessionPaths
from flows.project import MetricConfig, load_project
from shim.artifacts import list_artifacts, open_artifact
from shim.deps import Runs, Sessions, Sweeps, WithMetrics, WithWatch
from shim.errors import RESPONSES
from shim.logs import LIMIT_BYTES, LogFollower, read_log
from shim.models import (
    Accepted,
    BestMetric,
    MetricEntries,
    MetricEntry,
    RunArtifacts,
    RunMetricsView,
)

router = APIRouter(prefix="/runs", tags=["runs"], responses=RESPONSES)


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


@router.get("/{run_id}/logs/stream", summary="Follow a run's log", response_class=StreamingResponse)
async def stream_logs(
    run_id: str,
    runs: Runs,
    watch: WithWatch,
    offset: Annotated[int, Query(description="In bytes; negative: from the end.")] = 0,
    last_event_id: Annotated[
        int | None, Header(ge=0, description="Go on after this event (wins over `offset`).")
    ] = None,
) -> StreamingResponse:
    """Server-sent events: `log` {content, offset, next_offset} as it is written, then `end`.

    An event's id is the byte to go on from: a client that reconnects with `Last-Event-ID` misses
    nothing. Comments keep a quiet connection open.
    """
    await watch.get(runs, run_id)
    start = offset if last_event_id is None else last_event_id
    follower = LogFollower(look=lambda: watch.get(runs, run_id), offset=start)
    return StreamingResponse(
        follower.events(),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@router.get("/{run_id}/metrics", summary="Read a run's metric series")
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
    """From metrics.jsonl, W&B, TensorBoard, MLflow, else the log: series, last, extremes, best."""
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
        notes=metrics.notes,
    )


def _best(metrics: RunMetrics, primary: MetricConfig | None) -> BestMetric | None:
    value = metrics.best(primary.name, primary.direction) if primary is not None else None
    if primary is None or value is None:
        return None
    return BestMetric(metric=primary.name, direction=primary.direction, value=value)


async def _primary_of(run: Run, sweeps: Sweeps, sessions: Sessions) -> MetricConfig | None:
    """The primary metric of a run, by its sweep, its session's plan, or its project."""
    sweep, plan = None, None
    # Both may have been deleted since.
    if run.sweep_id is not None:
        with suppress(NotFound):
            sweep = await sweeps.record(run.sweep_id)
    if run.chat_session_id and (sweep is None or sweep.metric is None):
        with suppress(NotFound, FileNotFoundError):
            session = await sessions.find(run.chat_session_id)
            tasks = SessionPaths.of(session.workdir, session.session_id).tasks
            plan = await asyncio.to_thread(tasks.read_text, "utf-8", "replace")
    try:
        project = load_project(Path(run.workdir))
    except InvalidRequest:
        # A broken wildloop.toml must not hide what the run has measured.
        project = None
    return primary_metric(sweep, plan, project)


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


@router.get("/{run_id}/artifacts", summary="List the files of a run")
async def list_files(run_id: str, runs: Runs) -> RunArtifacts:
    """All that lies in the run's folder: Wildloop's own files and what the command wrote there."""
    run = await runs.get(run_id)
    return await asyncio.to_thread(list_artifacts, run.id, Path(run.run_dir))


@router.get(
    "/{run_id}/artifacts/{path:path}",
    summary="Download a file of a run",
    response_class=StreamingResponse,
)
async def download_file(run_id: str, path: str, runs: Runs) -> StreamingResponse:
    """404 for what is no regular file inside the run's folder."""
    run = await runs.get(run_id)
    found = await asyncio.to_thread(open_artifact, run.id, Path(run.run_dir), path)
    return StreamingResponse(
        found.content(), media_type="application/octet-stream", headers=found.headers
    )
