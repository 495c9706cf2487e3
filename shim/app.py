"""The shim: the HTTP API that agents and people use, translated to Prefect."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI
from prefect.client.orchestration import PrefectClient, get_client
from starlette.middleware.cors import CORSMiddleware

from blocks.agents.masking import SHORTEST
from flows.redaction import Redactor
from flows.settings import Settings
from flows.store.run_index import RunIndex
from shim import errors, openapi
from shim.auth import HEADER, TokenCheck
from shim.budgets import BudgetGate, keep_budgets
from shim.leaks import TokenLeaks
from shim.limits import BodyLimit, CreationGate, Limits, limit_creations
from shim.metrics import MetricsReader
from shim.monitoring import RequestMetrics, RequestMonitor
from shim.routers import (
    activity,
    alerts,
    cluster,
    evo,
    health,
    memories,
    monitoring,
    report,
    run_data,
    runs,
    skills,
    sweeps,
    wild,
)
from shim.security import AccessCheck, AccessRules
from shim.shared_reads import SharedReads
from shim.texts import check_texts
from shim.version import VERSION
from shim.watch import RunWatch

ROUTERS = (
    health,
    monitoring,
    runs,
    run_data,
    alerts,
    sweeps,
    cluster,
    wild,
    report,
    activity,
    evo,
    skills,
    memories,
)


def create_app(
    settings: Settings,
    client_factory: Callable[[], PrefectClient] = get_client,
    *,
    rules: AccessRules | None = None,
    limits: Limits | None = None,
) -> FastAPI:
    """The API.

    Args:
        settings: token, default workdir.
        client_factory: makes the one Prefect client, entered for the app's lifetime.
        rules: whom it answers (default: any host name, no web page).
        limits: upper bounds (default: those of `Limits`).
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with client_factory() as client:
            app.state.client = client
            index: RunIndex = app.state.run_index
            warming = asyncio.create_task(index.warm(client))
            try:
                yield
            finally:
                warming.cancel()
                index.close()

    app = openapi.Api(
        title="Wildloop",
        version=VERSION,
        description=openapi.DESCRIPTION,
        lifespan=lifespan,
        openapi_tags=openapi.TAGS,
        dependencies=[Depends(check_texts), Depends(limit_creations), Depends(keep_budgets)],
        redoc_url=None,
    )
    limits = limits or Limits()
    app.state.settings = settings
    app.state.deployment_ids = {}
    app.state.run_index = RunIndex()
    app.state.listings = SharedReads[bytes]()
    app.state.metrics_reader = MetricsReader()
    app.state.run_watch = RunWatch()
    app.state.request_metrics = RequestMetrics()
    app.state.creations = CreationGate(limits)
    app.state.budgets = BudgetGate()
    guard(app, settings, rules or AccessRules(), limits)
    errors.install(app)
    for module in ROUTERS:
        app.include_router(module.router)
    return app


def guard(app: FastAPI, settings: Settings, rules: AccessRules, limits: Limits) -> None:
    """Put what checks requests around the app; the last one added is the first to see them."""
    token = settings.token.get_secret_value() if settings.token else None
    app.state.redactor = Redactor.of(os.environ, token)
    if token is not None and len(token) >= SHORTEST:
        app.add_middleware(TokenLeaks, token=token)
    app.add_middleware(BodyLimit, limit_bytes=limits.max_body_bytes)
    app.add_middleware(TokenCheck, token=token)
    if rules.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=rules.origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=[HEADER, "Authorization", "Content-Type", "Idempotency-Key"],
        )
    app.add_middleware(AccessCheck, rules=rules)
    app.add_middleware(RequestMonitor, metrics=app.state.request_metrics)
