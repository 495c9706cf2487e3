"""Waits for a Prefect server that is being restarted, instead of failing what is under way."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.concurrency import services

logger = logging.getLogger("wildloop.prefect")

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0


class PatientTransport(httpx.AsyncBaseTransport):
    """Sends a request again until the server can be connected to, however long that takes.

    Prefect's client gives up after five attempts, and at once where it has never connected; the
    flow engine then reports a run as failed whose command goes on. A refused connection has
    carried nothing, so sending again is safe; what breaks later is left to Prefect's own retries.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send; wait and send again while the connection is refused."""
        pause, said = FIRST_PAUSE_SECONDS, False
        while True:
            try:
                response = await self._inner.handle_async_request(request)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                if not said:
                    logger.warning("the Prefect server does not answer (%s): waiting", error)
                    said = True
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)
            else:
                if said:
                    logger.warning("the Prefect server answers again")
                return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


def make_patient(client: PrefectClient) -> None:
    """Have a client wait for its server.

    The transport is wrapped once the client is made, as Prefect itself does for its own retries:
    one given at creation would know nothing of proxies, and `get_client()` would no longer find
    the shared client.
    """
    inner = client._client
    inner._transport = PatientTransport(inner._transport)
    inner._mounts = {
        pattern: PatientTransport(transport) if transport is not None else None
        for pattern, transport in inner._mounts.items()
    }


@contextmanager
def patient_limits() -> Iterator[None]:
    """While entered, a task waits for the server when it asks for the limits of its tags.

    Prefect 3.8 asks by a client of its own, in a thread of its own, which gives up after some
    seconds: the engine then fails a run that has not even begun. An internal, guarded by a test.
    """
    asked = services.get_client  # type: ignore[attr-defined]

    def patient() -> PrefectClient:
        client = get_client()
        make_patient(client)
        return client

    services.get_client = patient  # type: ignore[attr-defined, assignment]
    try:
        yield
    finally:
        services.get_client = asked  # type: ignore[attr-defined]
