"""Whether a run that is asked for now would be taken: Prefect answers, and a worker is there."""

import asyncio
import time

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import WorkerStatus
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

from wildloop.flows.errors import WildloopError
from wildloop.flows.settings import POOL_NAME
from wildloop.flows.store.base import DEPLOYMENT, EXPERIMENT

LONGEST_LOOK_S = 2.0
FRESH_S = 1.0
REGISTERING_S = 10.0
LOOK_AGAIN_S = 0.2
STARTING = "the API is being started"
NO_WORKER = "no worker is there: start `wildloop up` or `wildloop worker`"
NOT_REGISTERED = (
    "the worker has not registered with the Prefect server yet: wait a little, or start one "
    "(`wildloop up`, `wildloop worker`)"
)


class Readiness:
    """What stands in the way of new runs, looked at anew once a second at most."""

    def __init__(self) -> None:
        self._client: PrefectClient | None = None
        self._lock = asyncio.Lock()
        self._looked_at = float("-inf")
        self._fault: str | None = None

    def look_at(self, client: PrefectClient) -> None:
        """Ask this client from now on."""
        self._client = client

    async def fault(self) -> str | None:
        """Why a run would not be taken now, with the mend; None if it would be."""
        async with self._lock:
            fresh = FRESH_S if self._fault is None else LOOK_AGAIN_S
            if time.monotonic() - self._looked_at >= fresh:
                self._fault = await self._look()
                self._looked_at = time.monotonic()
            return self._fault

    async def wait_for_registration(self) -> None:
        """Wait up to ten seconds for a worker that is just being started to register.

        Whatever else stands in the way is told by the request itself.
        """
        deadline = time.monotonic() + REGISTERING_S
        while (  # noqa: ASYNC110 - Prefect has no event
            await self.fault() == NOT_REGISTERED and time.monotonic() < deadline
        ):
            await asyncio.sleep(LOOK_AGAIN_S)

    async def _look(self) -> str | None:
        if self._client is None:
            return STARTING
        try:
            async with asyncio.timeout(LONGEST_LOOK_S):
                await self._client.read_deployment_by_name(f"{EXPERIMENT}/{DEPLOYMENT}")
                workers = await self._client.read_workers_for_work_pool(POOL_NAME)
        except ObjectNotFound:
            return NOT_REGISTERED
        except TimeoutError:
            return f"the Prefect server has not answered for {LONGEST_LOOK_S:g} s"
        except PrefectHTTPStatusError as error:
            return f"the Prefect server answered {error.response.status_code}"
        except (httpx.TransportError, WildloopError) as error:
            return f"the Prefect server does not answer ({type(error).__name__})"
        if any(worker.status is WorkerStatus.ONLINE for worker in workers):
            return None
        return NO_WORKER
