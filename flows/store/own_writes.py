"""What this process writes, told to its live picture where it is sent: no store can forget to."""

import json
import re
from typing import Any

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun

from wildloop.flows.prefect_inside.repeats import is_read
from wildloop.flows.store.picture import Picture

UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
CREATES = re.compile(rf"/deployments/{UUID}/create_flow_run/?$")
CREATES_MANY = re.compile(rf"/deployments/{UUID}/create_flow_run/bulk/?$")
OF_A_FLOW_RUN = re.compile(rf"/flow_runs/({UUID})(?:/(?!input)|$)")
BULK = re.compile(r"/flow_runs/bulk_")


class ToldTransport(httpx.AsyncBaseTransport):
    """Sends requests, and tells a picture which flow runs they have written.

    Also where no answer comes: the server may have carried them out.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport, picture: Picture) -> None:
        self._inner, self._picture = inner, picture

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send, and tell of it."""
        if is_read(request):
            return await self._inner.handle_async_request(request)
        begin, content = self._picture.begin(), b""
        try:
            response = await self._inner.handle_async_request(request)
            content = await response.aread()
            return response
        finally:
            self._tell(request, content, begin)

    def _tell(self, request: httpx.Request, content: bytes, begin: int) -> None:
        path = request.url.path
        if (named := OF_A_FLOW_RUN.search(path)) is not None:
            self._picture.owe(named[1].lower())
        elif BULK.search(path):
            self._owe_each(_ids_in(request.content))
        elif CREATES_MANY.search(path):
            results = _json(content).get("results", [])
            self._owe_each([one["flow_run_id"] for one in results if one.get("flow_run_id")])
        elif CREATES.search(path):
            answer = _json(content)
            if "flow_id" in answer:
                self._picture.took([FlowRun.model_validate(answer)], begin)
            else:
                self._picture.owe_all()
        else:
            self._picture.wrote_beside()

    def _owe_each(self, ids: list[str]) -> None:
        for id in ids:
            self._picture.owe(id)
        if not ids:
            self._picture.owe_all()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


def tell_writes(client: PrefectClient, picture: Picture) -> None:
    """Have a client tell a picture of all that it writes from now on."""
    inner = client._client
    inner._transport = ToldTransport(inner._transport, picture)
    inner._mounts = {
        pattern: ToldTransport(transport, picture) if transport is not None else None
        for pattern, transport in inner._mounts.items()
    }


def _json(content: bytes) -> dict[str, Any]:
    """The object of an answer; an empty one where there was no whole answer."""
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _ids_in(content: bytes) -> list[str]:
    """The flow runs that a request about several names."""
    named = (_json(content).get("flow_runs") or {}).get("id") or {}
    return [str(id) for id in named.get("any_") or []]
