"""Prefect's SQLite transactions, so that writers at the same time wait for one another."""

from contextlib import AbstractAsyncContextManager

from prefect.server.database.configurations import AioSqliteConfiguration
from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction


def begin_immediately() -> None:
    """Open every SQLite transaction of this process with BEGIN IMMEDIATE.

    Prefect opens most as DEFERRED: a read that turns into a write is then refused at once while
    another writes, whatever the busy time-out; the server answers 503 and clients sleep.
    PostgreSQL does not come by here.
    """
    original = AioSqliteConfiguration.begin_transaction

    def begin(
        self: AioSqliteConfiguration, session: AsyncSession, with_for_update: bool = False
    ) -> AbstractAsyncContextManager[AsyncSessionTransaction]:
        return original(self, session, with_for_update=True)

    AioSqliteConfiguration.begin_transaction = begin  # type: ignore[method-assign, assignment]
