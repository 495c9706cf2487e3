"""A compute block that is changed holds without a restart of the worker."""

from typing import Any

import pytest

from wildloop.blocks.cluster.models import Cluster, ClusterType
from wildloop.blocks.launchers.choice import Launchers
from wildloop.blocks.launchers.slurm_compute import SlurmCompute
from wildloop.flows.models.cluster import HostRecord
from wildloop.flows.worker import compute
from wildloop.flows.worker.compute import ComputeRenewal


def record(gpus: int) -> HostRecord:
    cluster = Cluster(
        type=ClusterType.SLURM, label="lab", gpu_count=gpus, last_detected_at=0.0, host="login"
    )
    return HostRecord(host="login", cluster=cluster, cpus=8)


async def test_changed_block_holds_for_new_jobs_and_its_partition_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    saved = [SlurmCompute(partition="gpu")]
    counted = {"gpu": 8, "short": 4}
    calls: list[str] = []

    async def block(_: str) -> SlurmCompute:
        return saved[0]

    async def found(choice: str, host: str, slots: int | None) -> tuple[HostRecord, Any]:
        calls.append(choice)
        return record(counted[saved[0].partition or ""]), saved[0]

    monkeypatch.setattr(compute, "_block", block)
    monkeypatch.setattr(compute, "find_record", found)
    monkeypatch.setattr(compute, "RENEW_SECONDS", -1.0)
    launchers = Launchers(saved[0])
    renewal = ComputeRenewal("auto", launchers, saved[0])
    assert await renewal.look(record(8)) is None and calls == []
    saved[0] = SlurmCompute(partition="short")
    changed = await renewal.look(record(8))
    assert changed is not None and changed.slots == 4
    assert await renewal.look(changed) is None and calls == ["auto"]
