"""The shim: the HTTP API that agents and people use, translated to Prefect."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI
from prefect.client.orchestration import PrefectClient, get_client

from flows.settings import Settings
from flows.store.run_index import RunIndex
from shim import errors
from shim.auth import TokenCheck
from shim.metrics import MetricsReader
from shim.monitoring import RequestMetrics, RequestMonitor
from shim.routers import (
    alerts,
    cluster,
    health,
    memories,
    monitoring,
    run_data,
    runs,
    skills,
    sweeps,
    wild,
)
from shim.shared_reads import SharedReads
from shim.version import VERSION
from shim.watch import RunWatch

DESCRIPTION = (
    'Autonomous ML research: sessions, sweeps, runs. Errors are `{"detail": ...}`; send the '
    "token as `X-Auth-Token`."
)


def create_app(
    settings: Settings, client_factory: Callable[[], PrefectClient] = get_client
) -> FastAPI:
    """The API.

    Args:
        settings: token, default workdir.
        client_factory: makes the one Prefect client, entered for the app's lifetime.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with client_factory() as client:
            app.state.client = client
            yield

    app = FastAPI(title="Wildloop", version=VERSION, description=DESCRIPTION, lifespan=lifespan)
    app.state.settings = settings
    app.state.deployment_ids = {}
    app.state.run_index = RunIndex()
    app.state.listings = SharedReads[bytes]()
    app.state.metrics_reader = MetricsReader()
    app.state.run_watch = RunWatch()
    app.state.request_metrics = RequestMetrics()
    token = settings.token.get_secret_value() if settings.token else None
    app.add_middleware(TokenCheck, token=token)
    app.add_middleware(RequestMonitor, metrics=app.state.request_metrics)
    errors.install(app)
    for module in (
        health,
        monitoring,
        runs,
        run_data,
        alerts,
        sweeps,
        cluster,
        wild,
        skills,
        memories,
    ):
        app.include_router(module.router)
    return app
