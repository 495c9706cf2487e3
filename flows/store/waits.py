"""Why each queued run waits: the one answer, for the API, the command line and the page."""

from collections.abc import Collection, Sequence

from prefect.client.orchestration import PrefectClient

from wildloop.flows.models.queue import reasons
from wildloop.flows.models.run import Run, RunStatus
from wildloop.flows.settings import Settings
from wildloop.flows.store.base import Store
from wildloop.flows.store.bounds import reason_of
from wildloop.flows.store.cluster import ClusterStore
from wildloop.flows.store.runs import RunStore
from wildloop.flows.store.seen import Seen


class Waits(Store):
    """Tells of queued runs what they wait for.

    Args:
        client, settings: as of `Store`.
        seen: the live picture, which answers in Prefect's stead.
    """

    def __init__(self, client: PrefectClient, settings: Settings, seen: Seen) -> None:
        super().__init__(client, settings)
        self._runs = RunStore(client, settings, seen=seen)
        self._cluster = ClusterStore(client, settings, seen)

    async def explained(self, runs: Sequence[Run]) -> list[Run]:
        """The runs; those that are queued say why, unless they have a reason of their own."""
        queued = {run.id: run for run in runs if run.status is RunStatus.QUEUED}
        if all(run.reason for run in queued.values()):
            return list(runs)
        active = {run.id: run for run in await self._runs.active()} | queued
        told = await self._reasons(list(active.values()), queued.keys())
        return [
            run.model_copy(update={"reason": told[run.id]}) if run.id in queued else run
            for run in runs
        ]

    async def _reasons(self, active: Sequence[Run], wanted: Collection[str]) -> dict[str, str]:
        held: dict[str, int] = {}
        at_work = [run for run in active if run.status.is_active]
        for run in at_work:
            if run.host is not None:
                held[run.host] = held.get(run.host, 0) + run.gpus_requested
        bounds = await self._cluster.bounds()
        return reasons(
            [run for run in active if run.status is RunStatus.QUEUED],
            at_work,
            await self._cluster.capacity(),
            await self._cluster.hosts(),
            lambda run: reason_of(run, bounds, held),
            wanted,
        )
