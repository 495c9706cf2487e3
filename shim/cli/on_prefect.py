"""Commands that speak to the Prefect server itself."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from wildloop.flows.errors import WildloopError, faults_of
from wildloop.flows.prefect_inside.refusal import REFUSED, refused
from wildloop.shim.cli.output import fail
from wildloop.shim.cli.prefect_target import aim_prefect

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

T = TypeVar("T")


def ask_prefect(what: "Callable[[PrefectClient], Awaitable[T]]") -> T:
    """Carry something out on the Prefect server that is aimed at; a fault ends the command."""
    aim_prefect()
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.settings import get_current_settings

    async def run() -> T:
        async with get_client() as client:
            return await what(client)

    try:
        return asyncio.run(run())
    except ValidationError as error:
        fail(faults_of(error), 2)
    except WildloopError as error:
        fail(str(error))
    except httpx.HTTPStatusError as error:
        if error.response.status_code not in REFUSED:
            raise
        fail(refused(str(get_current_settings().api.url), error.response.status_code))
    except (httpx.TransportError, httpx.InvalidURL) as error:
        fail(f"the Prefect server at {get_current_settings().api.url} does not answer: {error}")
