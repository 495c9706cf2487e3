"""The shim: the HTTP API that agents and people use, translated to Prefect."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI
from prefect.client.orchestration import PrefectClient, get_client

from flows.settings import Settings
from shim import errors
from shim.auth import TokenCheck
from shim.routers import alerts, cluster, evo, health, memories, runs, skills, sweeps, wild
from shim.version import VERSION

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
    token = settings.token.get_secret_value() if settings.token else None
    app.add_middleware(TokenCheck, token=token)
    errors.install(app)
    for module in (health, runs, alerts, sweeps, cluster, wild, evo, skills, memories):
        app.include_router(module.router)
    return app
