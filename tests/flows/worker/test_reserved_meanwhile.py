"""Devices that a run is given while the worker reads which runs there are stay its own."""

from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from wildloop.blocks.cluster.models import Cluster, ClusterDetails, ClusterType, Gpu
from wildloop.flows.models.cluster import HostRecord
from wildloop.flows.store.run_mapping import EXPERIMENT_TAG
from wildloop.flows.worker import reconcile
from wildloop.flows.worker.host import HostCompute
from wildloop.flows.worker.worker import WildloopWorker


async def test_run_claimed_during_the_look_for_orphans_keeps_its_devices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = Cluster(
        type=ClusterType.LOCAL_GPU,
        label="two GPUs",
        gpu_count=2,
        details=ClusterDetails(gpus=[Gpu(index=n, uuid=f"GPU-{n}", name="a") for n in range(2)]),
        last_detected_at=0.0,
        host="here",
    )
    worker = WildloopWorker(work_pool_name="wildloop")
    worker._client = SimpleNamespace()  # type: ignore[assignment]
    worker.host = HostCompute(HostRecord(host="here", cluster=cluster))
    spec = {"name": "r", "command": "true", "gpus": 2}
    run: Any = SimpleNamespace(
        id=uuid4(), deployment_id=None, tags=[EXPERIMENT_TAG], parameters={"spec": spec}
    )

    async def read(_: object) -> list[Any]:
        assert worker._reserve(run) is not None
        return []

    monkeypatch.setattr(reconcile, "active", read)
    await worker.adopt_orphans()
    assert worker.host.devices.held == {str(run.id): ("0", "1")}
    assert not worker.host.devices.fits(1)
