"""How often Prefect's server looks after its background tasks."""

from pathlib import Path

from tests.support.probe import printed_by

PROBE = """
import asyncio, logging
from datetime import timedelta

import docket
from prefect.server.api import background_workers, server

beats = []
made = docket.Docket.__init__

def noted(self, *given, **named):
    made(self, *given, **named)
    beats.append(("beat", self.heartbeat_interval.total_seconds()))

docket.Docket.__init__ = noted
enter = docket.Worker.__aenter__

async def entered(self):
    beats.append(("look", self.scheduling_resolution.total_seconds()))
    return await enter(self)

docket.Worker.__aenter__ = entered

async def begin():
    beats.clear()
    async with server.Docket(name="d", url="memory://", execution_ttl=timedelta(0)) as one:
        async with background_workers.Worker(one):
            return dict(beats)

print("as it comes", sorted(asyncio.run(begin()).items()))
from wildloop.flows.prefect_inside.docket import look_less_often
look_less_often()
print("ours", sorted(asyncio.run(begin()).items()))
"""


def test_server_looks_once_a_second_and_beats_every_twenty(tmp_path: Path) -> None:
    """Once Prefect makes its background worker otherwise, or looks as seldom, this is needless."""
    assert printed_by(PROBE, tmp_path) == [
        "as it comes [('beat', 2.0), ('look', 0.25)]",
        "ours [('beat', 20.0), ('look', 1.0)]",
    ]
