"""Prometheus over HTTP."""

import asyncio

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from wildloop.flows.errors import AWAY
from wildloop.shim.deps import ClusterAccess, Runs
from wildloop.shim.errors import RESPONSES
from wildloop.shim.monitoring import RequestMetrics, engine_registry

router = APIRouter(tags=["health"], responses=RESPONSES)


@router.get("/metrics", summary="Runs, slots and requests for Prometheus", response_class=Response)
async def prometheus_metrics(request: Request, runs: Runs, cluster: ClusterAccess) -> Response:
    """In Prometheus' text format; `wildloop_prefect_up` is 0 while Prefect does not answer."""
    requests: RequestMetrics = request.app.state.request_metrics
    try:
        counts, capacity = await asyncio.gather(runs.counts(), cluster.capacity())
        engine = engine_registry(counts, capacity)
    except AWAY:
        engine = engine_registry(None, None)
    text = generate_latest(engine) + generate_latest(requests.registry)
    return Response(text, media_type=CONTENT_TYPE_LATEST)
