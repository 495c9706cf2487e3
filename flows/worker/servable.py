"""Which queued runs this host can serve: those whose folder is here.

A host that took the others would fail each in no time, and so draw all work to itself.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.logging import get_logger

from wildloop.flows.files.place import is_another
from wildloop.flows.models.alert import CONTINUE, NOTED, AlertKind, Finding, Severity
from wildloop.flows.store.base import PLACE_TAG
from wildloop.flows.store.hosts import live_hosts
from wildloop.flows.store.run_mapping import EXPERIMENT_TAG, spec_of
from wildloop.flows.worker.absent import owner_of
from wildloop.flows.worker.reconcile import active

logger = get_logger("wildloop.hosts")
# A run that no host takes for this long, while none is busy, is taken after all: it fails, and
# says why.
PATIENCE_SECONDS = 300.0
# A session that no host takes for so long: people are told why.
SESSION_PATIENCE_SECONDS = 60.0


class Servable:
    """What one host can serve. Folders that were missing are said once.

    Args:
        host: this host's name.
        is_aside: whether the host is to take no runs for now, as long as there are others.
        has_refused: whether this host could not have the code of a run lately.
        patience_seconds: how long a run may be left to others before it fails here.
    """

    def __init__(
        self,
        host: str,
        is_aside: Callable[[], bool] = lambda: False,
        has_refused: Callable[[str], bool] = lambda _: False,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._host = host
        self._is_aside, self._has_refused = is_aside, has_refused
        self._patience = patience_seconds
        self._missing: set[str] = set()
        self._told: set[UUID] = set()

    async def of(self, client: PrefectClient, offered: Sequence[FlowRun]) -> list[FlowRun]:
        """Those of the queued runs whose folder is here, or that nobody else will take."""
        folders = {spec_of(run).workdir for run in offered} - {None}
        missing = {one for one in folders if one and not await asyncio.to_thread(_is_there, one)}
        self._missing &= missing | (self._missing - folders)
        refused = {run.id for run in offered if self._has_refused(str(run.id))}
        if not missing and not refused and not self._is_aside():
            return list(offered)
        others = [one for one in await live_hosts(client) if one.host != self._host]
        if not others:
            return list(offered)
        if self._is_aside():
            return []
        for folder in missing - self._missing:
            logger.warning("runs in '%s' are left to other hosts: it is not here", folder)
        self._missing |= missing
        offered = [run for run in offered if run.id not in refused]
        left = [run for run in offered if spec_of(run).workdir in missing]
        taken = [run for run in offered if spec_of(run).workdir not in missing]
        stale = [run for run in left if _waited(run) > self._patience]
        if stale and not await self._others_work(client):
            taken += stale
        return taken

    async def sessions(self, client: PrefectClient, offered: Sequence[FlowRun]) -> list[FlowRun]:
        """Those that were started in the very folder that is here; all, where no one else works."""
        foreign = [run for run in offered if await asyncio.to_thread(_is_foreign, run)]
        if not foreign or all(one.host == self._host for one in await live_hosts(client)):
            return list(offered)
        for one in [one for one in foreign if str(one.id) not in self._missing]:
            logger.warning("session %s is left to a host that has its very folder", one.id)
            self._missing.add(str(one.id))
        return [run for run in offered if run not in foreign]

    async def unserved(
        self, client: PrefectClient, left: Sequence[FlowRun]
    ) -> list[tuple[FlowRun, Finding]]:
        """Those of the sessions left to others that none has taken in all this time, to be told.

        A host that has a session's folder takes it within seconds of its start.
        """
        found = []
        for run in left:
            if run.id not in self._told and _waited(run) > SESSION_PATIENCE_SECONDS:
                self._told.add(run.id)
                hosts = [one.host for one in await live_hosts(client)]
                found.append((run, _nobody_has(str(run.parameters.get("workdir")), hosts)))
        return found

    async def _others_work(self, client: PrefectClient) -> bool:
        """Whether runs are under way on other hosts, so that waiting may be for want of room."""
        owners = [owner_of(run) for run in await active(client) if EXPERIMENT_TAG in run.tags]
        return any(owner not in (None, self._host) for owner in owners)


def _waited(flow_run: FlowRun) -> float:
    due = flow_run.state.state_details.scheduled_time if flow_run.state else None
    return time.time() - due.timestamp() if due is not None else 0.0


def _is_foreign(session: FlowRun) -> bool:
    """Whether a session was started in another folder than what its path names here."""
    place = next((tag for tag in session.tags if tag.startswith(PLACE_TAG)), None)
    workdir = session.parameters.get("workdir")
    if place is None or not isinstance(workdir, str):
        return False
    return is_another(Path(workdir), place.removeprefix(PLACE_TAG))


def _nobody_has(workdir: str, hosts: Sequence[str]) -> Finding:
    return Finding(
        kind=AlertKind.WAITING,
        severity=Severity.CRITICAL,
        message=f"nobody drives this session: none of the hosts online ({', '.join(hosts)}) has "
        f"the very folder '{workdir}' in which it was started; another clone under the same path "
        "does not count. Start `wildloop worker` on a host that has it, or stop this session and "
        "start one in a folder that is there.",
        choices=(CONTINUE, NOTED),
        key="nobody-has-its-folder",
    )


def _is_there(folder: str) -> bool:
    return Path(folder).is_dir()
