"""Two workers of one pool on one host: the second waits."""

import asyncio
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.pace import patient
from wildloop.flows.worker.one_per_host import HostHold

HOLDER = (
    "import sys, uuid; from wildloop.flows.worker.one_per_host import HostHold; "
    "hold = HostHold(uuid.UUID(sys.argv[1])); print(hold.try_take(), flush=True); input()"
)


@pytest.mark.parametrize("platform", ["linux", "darwin"])
async def test_second_worker_takes_over_when_the_first_is_killed(
    platform: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv("WILDLOOP_HOME", str(tmp_path))
    pool = uuid4()
    script = HOLDER.replace("hold =", f"sys.platform = '{platform}'; hold =")
    first = subprocess.Popen(
        [sys.executable, "-c", script, str(pool)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert first.stdout is not None and first.stdout.readline() == "True\n"
    second, told = HostHold(pool), []
    taking = asyncio.create_task(second.take(lambda: told.append(True)))
    await asyncio.sleep(0.1)
    assert told and not taking.done()
    first.kill()
    first.communicate()
    await asyncio.wait_for(taking, patient(20))
    assert not HostHold(pool).try_take()


def test_other_pools_do_not_matter() -> None:
    assert HostHold(uuid4()).try_take()
    assert HostHold(uuid4()).try_take()
