"""What is left on hosts whose workers are no longer heard of.

Nobody else can tell what became of it: a command may go on while its host is cut off, or have gone
with it. So its outcome is not made up. Its slots are lent to the hosts that are there, people and
agents are told, and a stop takes effect here at once and on the host when its worker is back.
"""

import os
import time
from collections.abc import Callable, Sequence

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun, Worker, WorkerStatus
from prefect.logging import get_logger
from prefect.states import Cancelled, Cancelling

from wildloop.flows import events
from wildloop.flows.models.alert import CONTINUE, RERUN, STOP, AlertKind, Finding, Severity
from wildloop.flows.settings import POOL_NAME, Settings
from wildloop.flows.store.alerts import AlertStore
from wildloop.flows.store.base import every_flow_run
from wildloop.flows.store.hosts import WORKER_PREFIX
from wildloop.flows.store.run_mapping import EXPERIMENT_TAG, spec_of
from wildloop.flows.worker.identity import WorkerIdentity

PATIENCE_VARIABLE = "WILDLOOP_HOST_PATIENCE_SECONDS"
PATIENCE_SECONDS = 120.0
LEFT_TAG = "wildloop:left-on:"

logger = get_logger("wildloop.hosts")


class AbsentHosts:
    """The other hosts of the pool, as one worker sees them.

    Args:
        host: name of this worker's own host.
        patience_seconds: how long a host that Prefect calls offline may still come back before
            anything is said or done about its runs.
        clock: seconds of a clock that is never set.
    """

    def __init__(
        self,
        host: str,
        patience_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        told = os.environ.get(PATIENCE_VARIABLE)
        self._host = host
        self._patience = patience_seconds or (float(told) if told else PATIENCE_SECONDS)
        self._clock = clock
        self._since: dict[str, float] = {}
        self._told: set[str] = set()

    async def look(self, client: PrefectClient, active: Sequence[FlowRun]) -> int:
        """Take care of the active flow runs of hosts that are offline.

        Args:
            client: the Prefect client.
            active: every flow run that a worker has claimed and that has not ended.

        Returns:
            The slots that runs on such hosts hold: the queue's limit is to leave room for them,
            since the server counts these runs.
        """
        elsewhere = [(owner_of(flow_run), flow_run) for flow_run in active]
        foreign = [(host, one) for host, one in elsewhere if host not in (None, self._host)]
        if not foreign:
            self._since, self._told = {}, set()
            return 0
        workers = await client.read_workers_for_work_pool(POOL_NAME)
        online = {
            worker.name.removeprefix(WORKER_PREFIX)
            for worker in workers
            if worker.status is WorkerStatus.ONLINE
        }
        now = self._clock()
        offline = {host for host, _ in foreign if host is not None} - online
        self._since = {host: self._since.get(host, now) for host in offline}
        self._told &= offline
        held = 0
        for host, flow_run in foreign:
            if host is None or host in online:
                continue
            held += spec_of(flow_run).gpus if EXPERIMENT_TAG in flow_run.tags else 0
            if now - self._since[host] >= self._patience:
                self._tell_lost(host, workers)
                await self._tell_or_end(client, host, flow_run)
        return held

    def _tell_lost(self, host: str, workers: Sequence[Worker]) -> None:
        """Tell people, once for each time that the host is lost, whichever worker sees it."""
        if host in self._told:
            return
        self._told.add(host)
        mine = [one for one in workers if one.name == WORKER_PREFIX + host]
        last = mine[0].last_heartbeat_time if mine else None
        events.tell(
            events.HOST_LOST,
            f"wildloop.host.{host}",
            f"Wildloop: host {host} does not answer",
            f"The worker of host '{host}' is not heard of since {last or 'long'}. What ran there "
            "is taken up again once `wildloop worker` runs there; the queue goes on elsewhere.",
            labels={"wildloop.host": host},
            once=str(last),
        )

    async def _tell_or_end(self, client: PrefectClient, host: str, flow_run: FlowRun) -> None:
        state = flow_run.state
        if state is not None and state.is_cancelling():
            # The tag goes first: it is what the host's worker will end the command by.
            tags = sorted({*flow_run.tags, f"{LEFT_TAG}{host}"})
            await client.update_flow_run(flow_run.id, tags=tags)
            message = (
                f"Stopped. Host '{host}' does not answer: if the command still runs there, it is "
                "ended when the host's worker is back."
            )
            await client.set_flow_run_state(flow_run.id, Cancelled(message=message), force=True)
            logger.warning("%s: %s", flow_run.name, message)
        elif EXPERIMENT_TAG in flow_run.tags:
            store = AlertStore(client, Settings.from_environment())
            session_id = spec_of(flow_run).chat_session_id
            await store.report(str(flow_run.id), session_id, _finding(host))


async def reclaim(client: PrefectClient, host: str) -> None:
    """Have what was stopped while this host was away ended here: it is cancelled once more."""
    tag = f"{LEFT_TAG}{host}"
    wanted = FlowRunFilter(tags=FlowRunFilterTags(all_=[tag]))
    for flow_run in await every_flow_run(client, wanted):
        message = f"Host '{host}' is back: ending what was left."
        await client.set_flow_run_state(flow_run.id, Cancelling(message=message), force=True)
        tags = [one for one in flow_run.tags if one != tag]
        await client.update_flow_run(flow_run.id, tags=tags)


def owner_of(flow_run: FlowRun) -> str | None:
    """The host whose worker drives a flow run; None while it is not signed."""
    owner = WorkerIdentity.parse(flow_run.infrastructure_pid)
    return owner.host if owner is not None else None


def _finding(host: str) -> Finding:
    return Finding(
        kind=AlertKind.HOST_LOST,
        severity=Severity.CRITICAL,
        message=f"host '{host}', where the run was started, does not answer: its worker is not "
        "heard of, and nobody can tell whether the command goes on. It is taken up again once "
        "`wildloop worker` runs there. `stop` gives it up, `rerun` repeats it on another host.",
        choices=(CONTINUE, STOP, RERUN),
        key=f"host:{host}",
    )
