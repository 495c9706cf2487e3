"""Waits for a Prefect server that does not answer as it should, instead of failing what goes on."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.concurrency import services

from wildloop.flows.errors import PrefectAway
from wildloop.flows.prefect_inside.outage import Outage
from wildloop.flows.prefect_inside.repeats import is_read, repeatable, settle

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
LONGEST_READ_SECONDS = 20.0
SETTLE_SECONDS = 0.5
FAILED = 500
PASSING = frozenset({408, 429, FAILED, 502, 503, 504})
# Nothing of these has reached the server.
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
# Faults of the request or of this program, that no waiting mends.
LASTING = (httpx.UnsupportedProtocol, httpx.LocalProtocolError)
# A request that fails for so long, while the server carries out so many others, is at fault itself.
OWN_FAULT_SECONDS = 600.0
OWN_FAULT_CHANGES = 20


@dataclass(frozen=True)
class _Attempt:
    """One sending: the whole answer, or why there is none that counts."""

    response: httpx.Response | None
    fault: str = ""
    may_be_done: bool = False
    retry_after: float = 0.0


class PatientTransport(httpx.AsyncBaseTransport):
    """Sends a request again until the server answers it, however long that takes.

    Prefect's client sends again five times and gives up after a minute, at once where it has never
    connected or is answered with 500 (SQLite on a full disk); the flow engine then reports a run
    as failed whose command goes on. What may pass is waited for here: no connection, no or half an
    answer, 408, 429, 5xx. A repetition does nothing twice: see `repeats`.

    Args:
        inner: what sends.
        outage: what is known of the server, shared by the clients of a process.
        limit_seconds: how long to send again before PrefectAway is raised; None: for ever. With a
            limit, 500 is not waited for, and a request that only reads gets 20 s for its answer.
    """

    def __init__(
        self,
        inner: httpx.AsyncBaseTransport,
        outage: Outage | None = None,
        limit_seconds: float | None = None,
    ) -> None:
        self._inner = inner
        self._outage = outage or Outage()
        self._limit = limit_seconds

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send; wait and send again while the answer is one that may pass.

        Raises:
            PrefectAway: the limit has passed.
        """
        await request.aread()
        request = self._bounded(repeatable(request))
        began = time.monotonic()
        attempt = await self._attempt(request)
        if attempt.response is None:
            attempt, may_be_done = await self._again(request, attempt, began)
            assert attempt.response is not None
            if may_be_done:
                await asyncio.sleep(SETTLE_SECONDS)
                send = self._sender(request)
                lasted = time.monotonic() - began
                return await settle(request, attempt.response, lasted, send)
        if attempt.response.is_success and not is_read(request):
            self._outage.changed()
        return attempt.response

    async def _again(
        self, request: httpx.Request, attempt: _Attempt, began: float
    ) -> tuple[_Attempt, bool]:
        """Send until there is an answer; also tell whether an earlier sending may be done."""
        pause, changes, may_be_done = FIRST_PAUSE_SECONDS, self._outage.changes, False
        with self._outage.waiting():
            while attempt.response is None:
                may_be_done = may_be_done or attempt.may_be_done
                wait = max(pause, attempt.retry_after)
                lasted = time.monotonic() - began
                if self._limit is not None and lasted + wait > self._limit:
                    raise PrefectAway(
                        attempt.fault,
                        self._outage.seconds or lasted,
                        may_be_done=may_be_done and not is_read(request),
                    )
                self._outage.fails(attempt.fault)
                await asyncio.sleep(min(wait, LONGEST_PAUSE_SECONDS))
                pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)
                others = self._outage.changes - changes
                own = lasted > OWN_FAULT_SECONDS and others > OWN_FAULT_CHANGES
                attempt = await self._attempt(request, takes_500=own)
        return attempt, may_be_done

    async def _attempt(self, request: httpx.Request, takes_500: bool = False) -> _Attempt:
        try:
            response = await _whole(await self._inner.handle_async_request(request))
        except LASTING:
            raise
        except httpx.TransportError as error:
            fault = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            return _Attempt(None, fault, may_be_done=not isinstance(error, NOT_SENT))
        status = response.status_code
        if status not in PASSING or (status == FAILED and (takes_500 or self._limit is not None)):
            return _Attempt(response)
        wanted = response.headers.get("Retry-After", "")
        return _Attempt(
            None,
            f"it answers {status}",
            may_be_done=status >= FAILED,
            retry_after=float(wanted) if wanted.isdigit() else 0.0,
        )

    def _bounded(self, request: httpx.Request) -> httpx.Request:
        timeout = request.extensions.get("timeout") or {}
        if self._limit is not None and is_read(request):
            read = min(timeout.get("read") or LONGEST_READ_SECONDS, LONGEST_READ_SECONDS)
            request.extensions = {**request.extensions, "timeout": {**timeout, "read": read}}
        return request

    def _sender(self, like: httpx.Request) -> Any:
        """Sends to the same server with the same credentials, and as patiently."""
        left = {"host", "authorization", "prefect-csrf-token", "prefect-csrf-client"}
        headers = {name: value for name, value in like.headers.items() if name.lower() in left}

        async def send(method: str, path: str, body: Any) -> httpx.Response:
            request = httpx.Request(
                method,
                like.url.copy_with(path=path),
                headers=headers,
                json=body,
                extensions=like.extensions,
            )
            response = await self.handle_async_request(request)
            await response.aread()
            return response

        return send

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


async def _whole(response: httpx.Response) -> httpx.Response:
    """The response with its body, which may break off on its way."""
    assert isinstance(response.stream, httpx.AsyncByteStream)
    try:
        body = b"".join([part async for part in response.stream])
    finally:
        await response.stream.aclose()
    return httpx.Response(
        response.status_code,
        headers=response.headers,
        stream=httpx.ByteStream(body),
        extensions=response.extensions,
    )


def make_patient(
    client: PrefectClient, outage: Outage | None = None, limit_seconds: float | None = None
) -> None:
    """Have a client wait for its server; the arguments are those of `PatientTransport`.

    The transport is wrapped once the client is made, as Prefect itself does for its own retries:
    one given at creation would know nothing of proxies, and `get_client()` would no longer find
    the shared client.
    """
    inner, outage = client._client, outage or Outage()
    inner._transport = PatientTransport(inner._transport, outage, limit_seconds)
    inner._mounts = {
        pattern: PatientTransport(transport, outage, limit_seconds)
        if transport is not None
        else None
        for pattern, transport in inner._mounts.items()
    }


@contextmanager
def patient_limits(outage: Outage | None = None) -> Iterator[None]:
    """While entered, a task waits for the server when it asks for the limits of its tags.

    Prefect 3.9 asks by a client of its own, in a thread of its own, which gives up after some
    seconds: the engine then fails a run that has not even begun. An internal, guarded by a test.
    """
    asked, known = services.get_client, outage or Outage()  # type: ignore[attr-defined]

    def patient() -> PrefectClient:
        client = get_client()
        make_patient(client, known)
        return client

    services.get_client = patient  # type: ignore[attr-defined, assignment]
    try:
        yield
    finally:
        services.get_client = asked  # type: ignore[attr-defined]
