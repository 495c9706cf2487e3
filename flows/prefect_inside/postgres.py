"""PostgreSQL as Prefect's server uses it: fewer pings, and times that are bound as they are."""

import time
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

from prefect.server.utilities.database import Timestamp
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

PING_SECONDS = 5.0


def ping_rarely() -> None:
    """Have a connection be asked whether it is alive every five seconds at most.

    It is asked whenever it is taken from the pool, by three statements (BEGIN, an empty one,
    ROLLBACK): without this, one twentieth of what the server computes. One that the database has
    closed is known to be so, and is asked as before: then another takes its place.
    """
    dialect: Any = PGDialect_asyncpg
    original, asked = dialect.do_ping, WeakKeyDictionary[Any, float]()

    def do_ping(self: Any, dbapi_connection: Any) -> bool:
        driver, now = dbapi_connection.driver_connection, time.monotonic()
        if not driver.is_closed() and now - asked.get(driver, float("-inf")) < PING_SECONDS:
            return True
        answer: bool = original(self, dbapi_connection)
        asked[driver] = now
        return answer

    dialect.do_ping = do_ping


def bind_plain_times() -> None:
    """Give the driver plain datetimes.

    Before Python 3.13 Prefect's are of pendulum, whose arithmetic takes 80 microseconds where the
    driver encodes one, and the plain one's takes one: of what the server computes, a fifteenth.
    """
    stamp: Any = Timestamp
    original = stamp.process_bind_param

    def process_bind_param(self: Any, value: datetime | None, dialect: Any) -> datetime | None:
        bound: datetime | None = original(self, value, dialect)
        return bound if bound is None or type(bound) is datetime else _plain(bound)

    stamp.process_bind_param = process_bind_param


def _plain(at: datetime) -> datetime:
    day, clock = (at.year, at.month, at.day), (at.hour, at.minute, at.second, at.microsecond)
    return datetime(*day, *clock, at.tzinfo, fold=at.fold)
