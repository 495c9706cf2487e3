"""Counts and times requests, for Prometheus."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wildloop.flows.models.capacity import Capacity
from wildloop.flows.models.run import RunCounts

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NO_ROUTE = "none"


class RequestMetrics:
    """Request counts and latencies of one app, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ["method", "route", "status"]
        self.requests = Counter(
            "wildloop_http_requests", "Requests answered.", labels, registry=self.registry
        )
        self.seconds = Histogram(
            "wildloop_http_request_seconds",
            "Seconds from a request to the beginning of its answer.",
            ["method", "route"],
            registry=self.registry,
        )

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer."""
        self.requests.labels(method, route, str(status)).inc()
        self.seconds.labels(method, route).observe(seconds)


class RequestMonitor:
    """ASGI middleware: counts every answer under its route, so that ids make no new series."""

    def __init__(self, app: ASGIApp, metrics: RequestMetrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and observe the beginning of its answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()

        async def observed(message: Message) -> None:
            if message["type"] == "http.response.start":
                method = scope["method"] if scope["method"] in METHODS else "other"
                route = getattr(scope.get("route"), "path_format", NO_ROUTE)
                self.metrics.observe(method, route, message["status"], time.perf_counter() - began)
            await send(message)

        await self.app(scope, receive, observed)


def engine_registry(counts: RunCounts | None, capacity: Capacity | None) -> CollectorRegistry:
    """Gauges of the runs and slots as they are; without them, that Prefect does not answer."""
    registry = CollectorRegistry()
    up = Gauge("wildloop_prefect_up", "Whether the Prefect server answers.", registry=registry)
    up.set(int(counts is not None))
    if counts is not None:
        runs = Gauge("wildloop_runs", "Runs by status.", ["status"], registry=registry)
        for status, number in counts.model_dump(exclude={"total"}).items():
            runs.labels(status).set(number)
    if capacity is not None:
        for name, text, number in (
            ("slots", "Slots of the GPU limit (g).", capacity.g),
            ("slots_held", "Slots that launching and running runs hold (r).", capacity.r),
            ("runs_waiting_for_slots", "Queued runs that wait for slots (q).", capacity.q),
        ):
            Gauge(f"wildloop_{name}", text, registry=registry).set(number)
    return registry
