"""New runs wait while a disk is full; it is told once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun

from tests.support.small_disk import fill, small_disk
from wildloop.flows.files.disk import DiskLimits
from wildloop.flows.models.alert import AlertKind
from wildloop.flows.store.base import LOOP_TAG
from wildloop.flows.store.run_mapping import EXPERIMENT_TAG
from wildloop.flows.worker.disk import FRESH_SECONDS, DiskGuard

LIMITS = DiskLimits(free_gb=0.002)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "small") as folder:
        yield folder


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += FRESH_SECONDS
        return self.now


def a_run(workdir: Path) -> FlowRun:
    spec: dict[str, Any] = {"name": "n", "command": "true", "workdir": str(workdir)}
    return FlowRun(id=uuid4(), flow_id=uuid4(), tags=[EXPERIMENT_TAG], parameters={"spec": spec})


async def test_a_full_home_keeps_all_from_beginning(tmp_path: Path, small: Path) -> None:
    guard = DiskGuard(small, LIMITS, Clock())
    offered = [a_run(tmp_path), FlowRun(id=uuid4(), flow_id=uuid4(), tags=[LOOP_TAG])]
    assert await guard.admit(offered) == (offered, [])
    filled = fill(small)
    admitted, ((told, finding),) = await guard.admit(offered)
    assert (admitted, told, finding.kind) == ([], offered[0], AlertKind.DISK)
    assert str(small) in finding.message
    assert await guard.admit(offered) == ([], [])
    filled.unlink()
    assert await guard.admit(offered) == (offered, [])
    fill(small)
    assert len((await guard.admit(offered))[1]) == 1


async def test_a_full_project_keeps_its_own_runs(tmp_path: Path, small: Path) -> None:
    guard = DiskGuard(tmp_path, LIMITS, Clock())
    fill(small)
    here, elsewhere = a_run(small), a_run(tmp_path)
    admitted, news = await guard.admit([here, elsewhere])
    assert (admitted, [told for told, _ in news]) == ([elsewhere], [here])
