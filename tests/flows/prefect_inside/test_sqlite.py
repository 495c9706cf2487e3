"""Writers to Prefect's SQLite wait for one another, instead of being refused."""

from pathlib import Path

from tests.support.probe import printed_by

PROBE = """
import asyncio
from prefect.server.database import provide_database_interface
from prefect.server.database.configurations import SQLITE_BEGIN_MODE
from wildloop.flows.prefect_inside.sqlite import begin_immediately

async def mode():
    async with provide_database_interface().session_context(begin_transaction=True):
        return SQLITE_BEGIN_MODE.get()

print("as it comes", asyncio.run(mode()))
begin_immediately()
print("ours", asyncio.run(mode()))
"""


def test_transactions_begin_immediately(tmp_path: Path) -> None:
    """Once Prefect opens them so by itself, the patch is needless."""
    assert printed_by(PROBE, tmp_path) == ["as it comes DEFERRED", "ours IMMEDIATE"]
