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


MARKS = """
import asyncio
from datetime import timedelta

from prefect.server.api import server
from prefect.server.models.deployments import mark_deployments_ready
from wildloop.flows.prefect_inside import docket
docket.look_less_often()

async def placed(one, key, **given):
    execution = await one.add(mark_deployments_ready, key=key)(**given)
    # Held, so that none gets the place of another.
    one.made[id(execution)] = execution

async def main():
    async with server.Docket(name="d", url="memory://", execution_ttl=timedelta(0)) as one:
        one.made = {}
        poll = "mark_deployments_ready:work_pool:p"
        for _ in range(5):
            await placed(one, poll, work_queue_ids=["a"])
        print("the same", len(one.made))
        await placed(one, poll, work_queue_ids=["a", "b"])
        await placed(one, poll, work_queue_ids=["b", "a"])
        print("another queue", len(one.made))
        docket.MARK_SECONDS = 0.0
        await placed(one, poll, work_queue_ids=["a", "b"])
        print("later", len(one.made))
        for _ in range(2):
            await placed(one, "something else", work_queue_ids=["a"])
        print("other tasks", len(one.made))

asyncio.run(main())
"""


def test_the_same_poll_is_noted_once_in_ten_seconds(tmp_path: Path) -> None:
    assert printed_by(MARKS, tmp_path) == [
        "the same 1",
        "another queue 2",
        "later 3",
        "other tasks 5",
    ]
