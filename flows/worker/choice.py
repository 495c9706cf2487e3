"""Which of the flow runs that the server offers begin on this host now."""

import asyncio
import time
from collections.abc import Callable, Sequence
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun

from wildloop.flows.settings import wildloop_home
from wildloop.flows.store.base import LOOP_TAG
from wildloop.flows.store.run_mapping import EXPERIMENT_TAG
from wildloop.flows.worker import admission, disk, trouble
from wildloop.flows.worker.background import Background
from wildloop.flows.worker.entrypoints import Entrypoints
from wildloop.flows.worker.held import Held
from wildloop.flows.worker.host import HostCompute
from wildloop.flows.worker.keeping import Keeping
from wildloop.flows.worker.shares import Shares
from wildloop.flows.worker.turns import TurnBook

LIMIT_SECONDS = 1.0


class Choice:
    """Chooses by due time, room on the disk, slots of this host, and the shared limits.

    Args:
        held: what the worker drives.
        entrypoints: what the deployments name.
        background: work that nobody awaits.
        nudge: looks for work anew.
    """

    def __init__(
        self,
        held: Held,
        entrypoints: Entrypoints,
        background: Background,
        nudge: Callable[[], None],
    ) -> None:
        self._held, self._entrypoints = held, entrypoints
        self._background, self._nudge = background, nudge
        self._disk = disk.DiskGuard(wildloop_home())
        self.rooms: dict[UUID, str] = {}
        self.turns = TurnBook()
        self._rules: admission.Rules | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def wants_slots(self, flow_run: FlowRun) -> bool:
        """Whether a flow run is a run, or a flow of a team's own that asks for slots."""
        is_run = self._entrypoints.of(flow_run).tag == EXPERIMENT_TAG
        return is_run or self._entrypoints.demand(flow_run).gpus > 0

    async def of(
        self,
        client: PrefectClient,
        host: HostCompute | None,
        shares: Shares | None,
        offered: Sequence[FlowRun],
    ) -> list[FlowRun]:
        """Those that may begin, with their slots of the shared limits taken.

        `rooms` then says which compute each of the runs is to have.
        """
        self.rooms = {}
        found = await self._with_room(client, [run for run in offered if self._is_due(run)])
        await self._entrypoints.look(client, found)
        if host is not None and any(LOOP_TAG in run.tags for run in found):
            found = await self._sessions_here(client, host, found)
        runs = [run for run in found if self.wants_slots(run)]
        if not runs or host is None:
            return found
        demand, bound = self._entrypoints.demand, shares.bound if shares else None
        if self._rules is None:
            self._rules = admission.Rules(self.turns, Keeping(host.record.host))
        placed = await admission.choose(
            client, host, self._held.slots, runs, demand, bound, self._rules
        )
        self.rooms = {one.flow_run.id: one.room for one in placed}
        chosen = [one.flow_run for one in placed]
        if shares is not None:
            chosen = await self._with_shares(client, shares, host.record.own.name, chosen)
        return [run for run in found if not self.wants_slots(run)] + chosen

    async def _sessions_here(
        self, client: PrefectClient, host: HostCompute, found: list[FlowRun]
    ) -> list[FlowRun]:
        """Without the sessions of other hosts' folders; of what no host takes, people are told."""
        here = await host.servable.sessions(client, found)
        left = [run for run in found if run not in here]
        for flow_run, finding in await host.servable.unserved(client, left):
            self._background.spawn(trouble.tell_waits(client, flow_run, finding))
        return here

    async def _with_shares(
        self, client: PrefectClient, shares: Shares, first: str, chosen: Sequence[FlowRun]
    ) -> list[FlowRun]:
        """Those that get their slots, in order; where one does not, none that needs any follows.

        The limit is that of the first compute: those of another need none of it.
        """
        got: list[FlowRun] = []
        has_room = True
        for flow_run in chosen:
            gpus = self._entrypoints.demand(flow_run).gpus
            if self.rooms[flow_run.id] != first:
                gpus = 0
            has_room = has_room and await shares.take(client, flow_run.id, gpus)
            if has_room or not gpus:
                got.append(flow_run)
        if not has_room:
            self._soon("limit", LIMIT_SECONDS)
        return got

    async def _with_room(self, client: PrefectClient, found: list[FlowRun]) -> list[FlowRun]:
        """Those whose disks have room; when others may have it, is looked at soon."""
        admitted, news = await self._disk.admit(found)
        for flow_run, finding in news:
            self._background.spawn(trouble.tell(client, flow_run, finding))
        if len(admitted) < len(found):
            self._soon("disk", disk.FRESH_SECONDS)
        return admitted

    def _is_due(self, flow_run: FlowRun) -> bool:
        """Whether a run may start now: claimed ahead of its time, it would hold its slot idle."""
        due = flow_run.state.state_details.scheduled_time if flow_run.state else None
        early = due.timestamp() - time.time() if due else 0.0
        if early > 0:
            asyncio.get_running_loop().call_later(early, self._nudge)
        return early <= 0

    def _soon(self, why: str, seconds: float) -> None:
        """Look again in so many seconds; however often asked, once for each reason."""
        if (timer := self._timers.pop(why, None)) is not None:
            timer.cancel()
        self._timers[why] = asyncio.get_running_loop().call_later(seconds, self._nudge)
