"""Prefect itself, behind a `wildloop up` of the tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prefect.client.orchestration import PrefectClient, get_client
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from tests.support.server import Server


@asynccontextmanager
async def prefect_client(server: Server) -> AsyncIterator[PrefectClient]:
    """A client of the Prefect server behind `server`."""
    settings = {
        PREFECT_API_URL: f"http://127.0.0.1:{server.prefect_port}/api",
        PREFECT_API_AUTH_STRING: f"wildloop:{server.token}",
    }
    with temporary_settings(settings):
        async with get_client() as connected:
            yield connected
