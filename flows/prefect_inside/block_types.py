"""The block types that a Prefect server registers at its start, registered later instead."""

import asyncio
import os

SETTING = "PREFECT_API_BLOCKS_REGISTER_ON_START"


def leave_out_at_start() -> bool:
    """Have the server of this process register no block types when it starts.

    It is to be called before Prefect is imported, which reads its settings then. Two settings:
    the memo of what has been registered hashes every block by itself, and would take the blocks
    left out for registered.

    Returns:
        Whether they are to be registered later: unless the environment says "false".
    """
    wanted = os.environ.get(SETTING, "true").lower() not in ("false", "0", "no", "off")
    os.environ[SETTING] = "false"
    os.environ["PREFECT_MEMOIZE_BLOCK_AUTO_REGISTRATION"] = "false"
    return wanted


async def register() -> None:
    """Do what the server does at its start, unless it has been done for this database.

    It works in a thread of its own: it is much work for the processor.
    """
    await asyncio.to_thread(asyncio.run, _register())


async def _register() -> None:
    from prefect.server.api.server import _memoize_block_auto_registration
    from prefect.server.database import provide_database_interface
    from prefect.server.models.block_registration import run_block_auto_registration
    from prefect.settings import PREFECT_MEMOIZE_BLOCK_AUTO_REGISTRATION, temporary_settings

    @_memoize_block_auto_registration
    async def missing() -> None:
        async with await provide_database_interface().session() as session:
            await run_block_auto_registration(session=session)

    with temporary_settings({PREFECT_MEMOIZE_BLOCK_AUTO_REGISTRATION: True}):
        await missing()
