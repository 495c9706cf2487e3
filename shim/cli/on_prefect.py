"""Commands that speak to the Prefect server itself."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from wildloop.flows.errors import WildloopError, faults_of
from wildloop.shim.cli.output import fail
from wildloop.shim.cli.prefect_target import aim_prefect

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

T = TypeVar("T")


def ask_prefect(what: "Callable[[PrefectClient], Awaitable[T]]") -> T:
    """Carry something out on the Prefect server that is aimed at; a fault ends the command."""
    aim_prefect()
    from prefect.client.orchestration import get_client

    async def run() -> T:
        async with get_client() as client:
            return await what(client)

    try:
        return asyncio.run(run())
    except ValidationError as error:
        fail(faults_of(error), 2)
    except WildloopError as error:
        fail(str(error))
