"""The embedded Prefect server: the real server app, in a process of its own.

Settings (database, auth string) come by environment, never on the command line. Whatever of
Prefect's internals is used, is used here (`begin_immediately`, `register_blocks`).
"""

import argparse
import asyncio
import gc
import logging
import os
import socket
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    from prefect.server.database.configurations import AioSqliteConfiguration
    from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction

REGISTER_BLOCKS_AFTER_S = 4.0


class BlocksLater(uvicorn.Server):
    """Registers Prefect's block types after the start, which is a second shorter so.

    Nothing but the forms of the UI's Blocks page waits for them.
    """

    registering: "asyncio.Task[None] | None" = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to serve, then have the block types registered a little later."""
        await super().startup(sockets)
        if self.started:
            self.registering = asyncio.create_task(register_blocks_later())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop to serve."""
        if self.registering is not None:
            self.registering.cancel()
        await super().shutdown(sockets)


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="wildloop prefect-server", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument(
        "--database-ready", type=Path, help="touch the database when this file is there"
    )
    options = parser.parse_args()
    # Both: the memo alone hashes every block, and would take the blocks left out for registered.
    os.environ["PREFECT_API_BLOCKS_REGISTER_ON_START"] = "false"
    os.environ["PREFECT_MEMOIZE_BLOCK_AUTO_REGISTRATION"] = "false"
    # Nothing of what imports make is garbage; looking for it takes a quarter of their time.
    gc.disable()
    from prefect.server.api.server import create_app

    from flows.redaction import Redactor, redact_logs

    redact_logs(Redactor.of(os.environ))
    begin_immediately()
    config = uvicorn.Config(
        create_app(final=True),
        host=options.host,
        port=options.port,
        log_level="warning",
        timeout_keep_alive=30,
        timeout_graceful_shutdown=3,
    )
    gc.freeze()
    gc.enable()
    while options.database_ready is not None and not options.database_ready.exists():
        time.sleep(0.02)
    BlocksLater(config).run()


def begin_immediately() -> None:
    """Open every SQLite transaction with BEGIN IMMEDIATE.

    Prefect opens most as DEFERRED: a read that turns into a write is then refused at once while
    another writes, whatever the busy time-out; the server answers 503 and clients sleep. An
    internal of Prefect 3.8, guarded by a test; PostgreSQL does not come by here.
    """
    from prefect.server.database.configurations import AioSqliteConfiguration

    original = AioSqliteConfiguration.begin_transaction

    def begin(
        self: "AioSqliteConfiguration", session: "AsyncSession", with_for_update: bool = False
    ) -> "AbstractAsyncContextManager[AsyncSessionTransaction]":
        return original(self, session, with_for_update=True)

    AioSqliteConfiguration.begin_transaction = begin  # type: ignore[method-assign, assignment]


async def register_blocks_later() -> None:
    """Register the block types in a thread of their own: it is much work for the processor."""
    await asyncio.sleep(REGISTER_BLOCKS_AFTER_S)
    try:
        await asyncio.to_thread(asyncio.run, register_blocks())
    except Exception:
        # A task's error is otherwise told only when it is collected.
        logging.getLogger("prefect.server").exception("registering the block types failed")
        raise


async def register_blocks() -> None:
    """Do what the server does at its start, unless it has been done for this database."""
    from prefect.server.api.server import _memoize_block_auto_registration
    from prefect.server.database import provide_database_interface
    from prefect.server.models.block_registration import run_block_auto_registration
    from prefect.settings import PREFECT_MEMOIZE_BLOCK_AUTO_REGISTRATION, temporary_settings

    @_memoize_block_auto_registration
    async def register() -> None:
        async with await provide_database_interface().session() as session:
            await run_block_auto_registration(session=session)

    with temporary_settings({PREFECT_MEMOIZE_BLOCK_AUTO_REGISTRATION: True}):
        await register()


if __name__ == "__main__":
    main()
