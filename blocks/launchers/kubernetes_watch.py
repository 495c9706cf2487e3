"""One look at all Jobs and Pods for everybody who asks."""

import asyncio
import time
from typing import Any

from wildloop.blocks.launchers.kubernetes_api import Cluster
from wildloop.blocks.launchers.kubernetes_state import View, view_of

LIST_SECONDS = 2.0
_JOB = "batch.kubernetes.io/job-name"
_JOB_BEFORE = "job-name"


class JobWatch:
    """Lists Jobs and Pods, at most every `LIST_SECONDS` however many runs are asked after.

    Args:
        cluster: the namespace that they are in.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._lock = asyncio.Lock()
        self._jobs: dict[str, dict[str, Any]] = {}
        self._pods: dict[str, list[dict[str, Any]]] = {}
        self._asked_at = 0.0

    async def look(self, name: str, since: float) -> View | None:
        """What a Job is like; None where it is not there.

        Args:
            name: of the Job.
            since: Unix seconds; a list that was asked for before does not do.

        Raises:
            Refused, Silent: the API server does not tell.
        """
        await self._fresh(since)
        job = self._jobs.get(name)
        return view_of(job, self._pods.get(name, [])) if job is not None else None

    async def pods_alive(self, name: str) -> list[str]:
        """The pods of a Job, by name, that have not ended, as they are now.

        Raises:
            Refused, Silent: as `look`.
        """
        await self._fresh(time.time() - LIST_SECONDS / 4)
        return [
            pod["metadata"]["name"]
            for pod in self._pods.get(name, [])
            if (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
        ]

    async def _fresh(self, since: float) -> None:
        async with self._lock:
            now = time.time()
            if self._asked_at >= since and now - self._asked_at < LIST_SECONDS:
                return
            # Jobs first: a pod is never older than its Job.
            jobs = await self.cluster.jobs()
            pods = await self.cluster.pods()
            self._asked_at = now
            self._jobs = {one["metadata"]["name"]: one for one in jobs}
            self._pods = {}
            for pod in pods:
                labels = pod["metadata"].get("labels") or {}
                owner = labels.get(_JOB) or labels.get(_JOB_BEFORE)
                if owner is not None:
                    self._pods.setdefault(owner, []).append(pod)
