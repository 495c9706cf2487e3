"""Counting requests and runs for Prometheus."""

from pathlib import Path
from typing import Any

from prefect.settings import PREFECT_API_URL, temporary_settings
from prometheus_client import generate_latest
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from wildloop.flows.models.capacity import Capacity
from wildloop.flows.models.run import RunCounts
from wildloop.flows.settings import Settings
from wildloop.shim.app import create_app
from wildloop.shim.monitoring import RequestMetrics, RequestMonitor, engine_registry
from wildloop.shim.net import free_ports


class Route:
    """What a matched route leaves in the scope."""

    path_format = "/runs/{run_id}"


async def ask(metrics: RequestMetrics, method: str, route: object | None, status: int) -> None:
    """Send one request through the middleware."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if route is not None:
            scope["route"] = route
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(_: Message) -> None:
        return None

    scope: dict[str, Any] = {"type": "http", "method": method, "path": "/runs/secret-id"}
    await RequestMonitor(app, metrics)(scope, receive, send)


async def test_requests_are_counted_by_route_and_never_by_path() -> None:
    metrics = RequestMetrics()
    for status in (200, 200, 404):
        await ask(metrics, "GET", Route(), status)
    await ask(metrics, "GET", None, 401)
    await ask(metrics, "MADEUP-123", Route(), 405)
    text = generate_latest(metrics.registry).decode()
    route = 'route="/runs/{run_id}"'
    assert f'requests_total{{method="GET",{route},status="200"}} 2.0' in text
    assert f'requests_total{{method="GET",{route},status="404"}} 1.0' in text
    assert 'requests_total{method="GET",route="none",status="401"} 1.0' in text
    assert f'request_seconds_count{{method="GET",{route}}} 3.0' in text
    assert 'method="other"' in text
    assert "secret-id" not in text and "MADEUP" not in text


async def test_apps_do_not_share_their_counts() -> None:
    one, other = RequestMetrics(), RequestMetrics()
    await ask(one, "GET", Route(), 200)
    assert b"requests_total{" not in generate_latest(other.registry)


def test_engine_tells_runs_and_slots() -> None:
    counts = RunCounts(total=3, running=2, queued=1)
    text = generate_latest(engine_registry(counts, Capacity(g=2, r=2, q=1, max_new_runs=0)))
    lines = text.decode().splitlines()
    assert "wildloop_prefect_up 1.0" in lines
    assert 'wildloop_runs{status="running"} 2.0' in lines
    assert 'wildloop_runs{status="failed"} 0.0' in lines
    assert "wildloop_slots_held 2.0" in lines
    assert not [line for line in lines if 'status="total"' in line]


def test_prefect_that_does_not_answer_is_told_and_nothing_made_up() -> None:
    text = generate_latest(engine_registry(None, None)).decode()
    assert "wildloop_prefect_up 0.0" in text
    assert "wildloop_runs" not in text and "wildloop_slots" not in text


def test_metrics_are_answered_while_prefect_is_away(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    nobody = f"http://127.0.0.1:{port}/api"
    settings = Settings(home=tmp_path, server_url="http://s", token=None, workdir=tmp_path)
    app = create_app(settings, prefect_patience_s=0.3)
    with temporary_settings({PREFECT_API_URL: nobody}), TestClient(app) as http:
        answer = http.get("/metrics")
        assert http.get("/runs").status_code == 503
    assert answer.status_code == 200, answer.text
    assert "wildloop_prefect_up 0.0" in answer.text
