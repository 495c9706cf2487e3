"""Prefect's block types are registered later than the start, by Prefect's own code."""

from pathlib import Path

from tests.support.probe import printed_by

PROBE = """
import asyncio
from wildloop.flows.prefect_inside import block_types

block_types.leave_out_at_start()
from prefect.server.api.server import create_app
from prefect.server.database import provide_database_interface
from prefect.server.models.block_types import read_block_types

async def count():
    async with provide_database_interface().session_context() as session:
        return len(await read_block_types(session))

async def main():
    app = create_app(ephemeral=True)
    async with app.router.lifespan_context(app):
        print("at start", await count())
        await block_types.register()
        print("later", await count() > 5)
        print("memo", (await asyncio.to_thread(lambda: MEMO.exists())))

from prefect.settings import PREFECT_MEMO_STORE_PATH
MEMO = PREFECT_MEMO_STORE_PATH.value()
asyncio.run(main())
"""


def test_block_types_are_registered_when_asked_for(tmp_path: Path) -> None:
    assert printed_by(PROBE, tmp_path) == ["at start 0", "later True", "memo True"]
