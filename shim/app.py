"""The shim: the HTTP API that agents and people use, translated to Prefect."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI
from prefect.client.orchestration import PrefectClient, get_client
from starlette.middleware.cors import CORSMiddleware

from wildloop.blocks.agents.masking import SHORTEST
from wildloop.flows.prefect_inside.patience import make_patient
from wildloop.flows.settings import Settings
from wildloop.flows.store.budget import BudgetGate
from wildloop.flows.store.burst import Burst
from wildloop.flows.store.graph import Anchors
from wildloop.flows.store.own_writes import tell_writes
from wildloop.flows.store.picture import Picture
from wildloop.flows.store.seen import Seen
from wildloop.flows.store.session_memory import SessionMemory
from wildloop.flows.store.stream import listen
from wildloop.flows.text.redaction import Redactor
from wildloop.shim import errors, openapi
from wildloop.shim.age import AS_OF, AgeHeader
from wildloop.shim.apart import keep_apart
from wildloop.shim.auth import HEADER, TokenCheck
from wildloop.shim.disk import DiskNotes
from wildloop.shim.docs_page import mount_docs
from wildloop.shim.leaks import TokenLeaks
from wildloop.shim.limits import BodyLimit, CreationGate, Limits, limit_creations
from wildloop.shim.metrics import MetricsReader
from wildloop.shim.monitoring import RequestMetrics, RequestMonitor
from wildloop.shim.page import app as page
from wildloop.shim.questions import Questions
from wildloop.shim.readiness import Readiness
from wildloop.shim.routers import (
    activity,
    alerts,
    ask,
    cluster,
    compare,
    elsewhere,
    evidence,
    evo,
    health,
    memories,
    monitoring,
    page_link,
    prompts,
    report,
    run_data,
    runs,
    skills,
    sweeps,
    verify,
    wild,
)
from wildloop.shim.security import AccessCheck, AccessRules
from wildloop.shim.texts import check_texts
from wildloop.shim.unknown import check_request
from wildloop.shim.version import VERSION

PREFECT_PATIENCE_S = 10.0
logger = logging.getLogger("wildloop.shim")
ROUTERS = (
    health,
    monitoring,
    runs,
    run_data,
    elsewhere,
    compare,
    alerts,
    ask,
    sweeps,
    cluster,
    evidence,
    prompts,
    verify,
    wild,
    report,
    activity,
    evo,
    skills,
    memories,
    page_link,
)


def create_app(
    settings: Settings,
    client_factory: Callable[[], PrefectClient] = get_client,
    *,
    rules: AccessRules | None = None,
    limits: Limits | None = None,
    prefect_patience_s: float = PREFECT_PATIENCE_S,
) -> FastAPI:
    """The API.

    Args:
        settings: token, default workdir.
        client_factory: makes the one Prefect client, entered for the app's lifetime.
        rules: whom it answers (default: any host name, no web page).
        limits: upper bounds (default: those of `Limits`).
        prefect_patience_s: how long a request waits for a Prefect server that does not answer,
            before it is answered with 503.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with client_factory() as client:
            # Who asks has a time-out of its own: better an answer that says what it waits for.
            make_patient(client, limit_seconds=prefect_patience_s)
            picture = Picture(client)
            tell_writes(client, picture)
            app.state.client = client
            app.state.picture = picture
            app.state.burst = Burst(picture)
            app.state.budgets = BudgetGate(Seen(picture))
            app.state.readiness.look_at(client)
            kept = [asyncio.create_task(work) for work in (picture.keep(), listen(picture))]
            for task in kept:
                task.add_done_callback(_tell_fault)
            try:
                yield
            finally:
                await page.close(app)
                await app.state.questions.close()
                for task in kept:
                    task.cancel()
                picture.close()

    app = openapi.Api(
        title="Wildloop",
        version=VERSION,
        description=openapi.DESCRIPTION,
        lifespan=lifespan,
        openapi_tags=openapi.TAGS,
        dependencies=[
            Depends(keep_apart),
            Depends(check_texts),
            Depends(check_request),
            Depends(limit_creations),
        ],
        docs_url=None,
        redoc_url=None,
    )
    limits = limits or Limits()
    app.state.settings = settings
    app.state.deployment_ids = {}
    app.state.readiness = Readiness()
    app.state.metrics_reader = MetricsReader()
    app.state.sessions = SessionMemory()
    app.state.disk_notes = DiskNotes(settings.home)
    app.state.request_metrics = RequestMetrics()
    app.state.creations = CreationGate(limits)
    app.state.anchors = Anchors()
    app.state.questions = Questions()
    guard(app, settings, rules or AccessRules(), limits)
    errors.install(app)
    for module in ROUTERS:
        app.include_router(module.router)
    mount_docs(app)
    page.mount(app, settings.token.get_secret_value() if settings.token else None)
    return app


def guard(app: FastAPI, settings: Settings, rules: AccessRules, limits: Limits) -> None:
    """Put what checks requests around the app; the last one added is the first to see them."""
    token = settings.token.get_secret_value() if settings.token else None
    app.state.redactor = Redactor.of(os.environ, token)
    if token is not None and len(token) >= SHORTEST:
        app.add_middleware(TokenLeaks, token=token)
    app.add_middleware(AgeHeader)
    app.add_middleware(BodyLimit, limit_bytes=limits.max_body_bytes)
    app.add_middleware(TokenCheck, token=token)
    if rules.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=rules.origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=[HEADER, "Authorization", "Content-Type", "Idempotency-Key"],
            expose_headers=[AS_OF],
        )
    app.add_middleware(AccessCheck, rules=rules)
    app.add_middleware(RequestMonitor, metrics=app.state.request_metrics)


def _tell_fault(task: "asyncio.Task[None]") -> None:
    """Say at once what has ended a task that is to last: it is awaited by nobody."""
    if not task.cancelled() and (fault := task.exception()) is not None:
        logger.error("what keeps the picture of runs has ended: answers are slow", exc_info=fault)
