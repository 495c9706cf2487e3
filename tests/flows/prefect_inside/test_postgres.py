"""PostgreSQL costs Prefect's server less: what is patched, and what holds all the same."""

from pathlib import Path

from tests.support.probe import printed_by

PINGS = """
from types import SimpleNamespace

from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from wildloop.flows.prefect_inside import postgres

class Driver:
    closed = False
    def is_closed(self):
        return self.closed

def connection():
    pings = []
    return SimpleNamespace(driver_connection=Driver(), ping=lambda: pings.append(1), pings=pings)

def asked(one):
    for _ in range(3):
        assert PGDialect_asyncpg().do_ping(one) is True
    return len(one.pings)

print("as it comes", asked(connection()))
postgres.ping_rarely()
first, second = connection(), connection()
print("ours", asked(first), asked(second))
first.driver_connection.closed = True
print("closed", asked(first))
postgres.PING_SECONDS = 0.0
print("later", asked(second))
"""

TIMES = """
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

from prefect.server.utilities.database import Timestamp
from prefect.types._datetime import now
from sqlalchemy.dialects import postgresql
from wildloop.flows.prefect_inside.postgres import bind_plain_times

dialect = postgresql.dialect()

def bound(value):
    return Timestamp().bind_processor(dialect)(value)

theirs = now("Europe/Berlin")
print("as it comes", type(bound(theirs)) is datetime)
bind_plain_times()
print("ours", type(bound(theirs)) is datetime, bound(theirs) == theirs)
print(bound(None), bound(datetime(2026, 10, 25, 2, 30, tzinfo=theirs.tzinfo, fold=1)).fold)
try:
    bound(datetime(2026, 1, 1))
except ValueError as error:
    print(error)
"""


def test_a_connection_is_pinged_every_few_seconds_and_when_it_is_closed(tmp_path: Path) -> None:
    """Once Prefect or SQLAlchemy do so by themselves, the patch is needless."""
    assert printed_by(PINGS, tmp_path) == ["as it comes 3", "ours 1 1", "closed 4", "later 4"]


def test_times_are_bound_as_plain_ones_of_the_same_moment(tmp_path: Path) -> None:
    """From Python 3.13 on Prefect's own are plain, and the patch is needless."""
    theirs, *rest = printed_by(TIMES, tmp_path)
    assert theirs.startswith("as it comes")
    assert rest == ["ours True True", "None 1", "Timestamps must have a timezone."]
