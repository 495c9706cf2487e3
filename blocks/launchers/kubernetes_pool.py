"""The cluster of a compute block: its own, or that of a Prefect work pool, with its manifest."""

import time
from typing import Any

from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.workers.base import BaseJobConfiguration
from pydantic import Field

from wildloop.blocks.launchers.base import LaunchFailed
from wildloop.blocks.launchers.kubernetes_api import Cluster
from wildloop.blocks.launchers.kubernetes_compute import KubernetesCompute

POOL_SECONDS = 60.0
_TYPE = "kubernetes"


class _PoolConfiguration(BaseJobConfiguration):
    """What a work pool of type kubernetes says, as Prefect's own worker reads it."""

    namespace: str = "default"
    job_manifest: dict[str, Any] = Field(default_factory=dict)
    cluster_config: dict[str, Any] | None = None


class Target:
    """Where Jobs of a block go; a work pool is read again after `POOL_SECONDS`."""

    def __init__(self) -> None:
        self._read: tuple[KubernetesCompute, float, _PoolConfiguration] | None = None
        self._clusters: dict[str, Cluster] = {}

    async def of(
        self, compute: KubernetesCompute, namespace: str | None = None
    ) -> tuple[Cluster, dict[str, Any]]:
        """The cluster, and the manifest that Jobs are made from.

        Args:
            compute: the block.
            namespace: of a Job that is there already; None: that of new ones.

        Raises:
            LaunchFailed: the work pool is not there, or is none of Kubernetes.
        """
        is_due = self._read is None or time.monotonic() - self._read[1] > POOL_SECONDS
        if self._read is None or self._read[0] is not compute or is_due:
            pool = await _pool(compute.work_pool) if compute.work_pool else _PoolConfiguration()
            if self._read is None or self._read[0] is not compute or self._read[2] != pool:
                self._clusters = {}
            self._read = (compute, time.monotonic(), pool)
        pool = self._read[2]
        name = namespace or compute.namespace or pool.namespace
        if name not in self._clusters:
            cluster = pool.cluster_config or {}
            self._clusters[name] = Cluster(
                name,
                compute.kubeconfig,
                compute.context or cluster.get("context_name"),
                cluster.get("config"),
            )
        return self._clusters[name], pool.job_manifest


async def _pool(name: str) -> _PoolConfiguration:
    async with get_client() as client:
        try:
            pool = await client.read_work_pool(name)
        except ObjectNotFound as error:
            raise LaunchFailed(
                f"work_pool '{name}' is not there: `prefect work-pool create {name} --type "
                "kubernetes`, or mend the compute block"
            ) from error
        if pool.type != _TYPE:
            raise LaunchFailed(f"work_pool '{name}' is of type '{pool.type}': give one of {_TYPE}")
        return await _PoolConfiguration.from_template_and_values(
            pool.base_job_template, {}, client=client
        )
