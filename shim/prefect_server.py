"""The embedded Prefect server: the real server app, in a process of its own.

Settings (database, auth string, port) come by environment, never on the command line.
"""

import argparse
from contextlib import AbstractAsyncContextManager

import uvicorn
from prefect.server.api.server import create_app
from prefect.server.database.configurations import AioSqliteConfiguration
from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="wildloop prefect-server", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    begin_immediately()
    uvicorn.run(
        create_app(final=True),
        host=options.host,
        port=options.port,
        log_level="warning",
        timeout_keep_alive=30,
        timeout_graceful_shutdown=3,
    )


def begin_immediately() -> None:
    """Open every SQLite transaction with BEGIN IMMEDIATE.

    Prefect opens most as DEFERRED: a read that turns into a write is then refused at once while
    another writes, whatever the busy time-out; the server answers 503 and clients sleep. An
    internal of Prefect 3.8, guarded by a test; PostgreSQL does not come by here.
    """
    original = AioSqliteConfiguration.begin_transaction

    def begin(
        self: AioSqliteConfiguration, session: AsyncSession, with_for_update: bool = False
    ) -> AbstractAsyncContextManager[AsyncSessionTransaction]:
        return original(self, session, with_for_update=True)

    AioSqliteConfiguration.begin_transaction = begin  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    main()
