"""One look at everything that the live parts of the page show, shared by all who see it."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from wildloop.flows.files.paths import SessionPaths
from wildloop.flows.models.alert import Alert, AlertKind, AlertStatus
from wildloop.flows.models.cluster import HostRecord
from wildloop.flows.models.queue import in_turn
from wildloop.flows.models.run import Run, RunStatus
from wildloop.flows.models.session import Session
from wildloop.flows.store.alerts import AlertStore
from wildloop.flows.store.cluster import ClusterStore, ClusterView
from wildloop.flows.store.runs import RunStore
from wildloop.flows.store.sessions import SessionStore
from wildloop.flows.store.waits import Waits
from wildloop.shim.disk import DiskNotes
from wildloop.shim.routers.activity import read_lines

MOST_SESSIONS = 30
MOST_ALERTS = 50
ACTIVITY_BYTES = 2048
ACTIVITY_LINES = 3
ENDED_SHOWN = 5
QUEUE_SHOWN = 200


@dataclass(frozen=True)
class Look:
    """What there is at one moment. Times are Unix seconds."""

    sessions: list[Session]
    active: list[Run]
    hosts: list[HostRecord]
    cluster: ClusterView
    alerts: list[Alert]
    warnings: list[str]
    activity: Mapping[str, list[str]] = field(default_factory=dict)
    values: Mapping[str, list[float]] = field(default_factory=dict)
    at: float = 0.0

    @property
    def shown_sessions(self) -> list[Session]:
        """The active ones, then the last that have ended."""
        active = [one for one in self.sessions if one.is_active]
        return active + [one for one in self.sessions if not one.is_active][:ENDED_SHOWN]

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is under way, so that nothing changes without an event."""
        return not self.active and not any(one.is_active for one in self.sessions)

    @cached_property
    def queue(self) -> list[Run]:
        """The runs that wait, in the order in which they are taken."""
        return in_turn([run for run in self.active if run.status is RunStatus.QUEUED])

    @cached_property
    def held(self) -> list[Run]:
        """The runs that launch or run."""
        return [run for run in self.active if run.status.is_active]

    def asks(self, session_id: str) -> list[Alert]:
        """What a session waits for its user's approval of."""
        return [
            one
            for one in self.alerts
            if one.kind is AlertKind.APPROVAL and one.session_id == session_id
        ]

    def holders(self, host: str, device: str) -> list[Run]:
        """The runs that hold a device of a host."""
        return [run for run in self.held if run.host == host and device in run.gpus]


class Looker:
    """Looks by the stores that the routers use."""

    def __init__(
        self,
        sessions: SessionStore,
        runs: RunStore,
        alerts: AlertStore,
        cluster: ClusterStore,
        disks: DiskNotes,
        limits: Waits,
    ) -> None:
        self._sessions, self._runs, self._alerts = sessions, runs, alerts
        self._cluster, self._disks, self._limits = cluster, disks, limits
        self._values: dict[str, tuple[object, list[float]]] = {}

    async def look(self) -> Look:
        """Everything as it is now."""
        sessions, active, cluster, hosts, alerts = await asyncio.gather(
            self._sessions.recent(MOST_SESSIONS),
            self._runs.active(),
            self._cluster.view(),
            self._cluster.hosts(),
            self._alerts.select(AlertStatus.OPEN, None, MOST_ALERTS),
        )
        at_work = [one for one in sessions if one.is_active]
        lines = await asyncio.to_thread(_activity, at_work)
        shown = at_work + [one for one in sessions if not one.is_active][:ENDED_SHOWN]
        values = {one.session_id: await self._values_of(one) for one in shown}
        return Look(
            sessions=sessions,
            active=await self._explained(active),
            hosts=hosts,
            cluster=cluster,
            alerts=alerts,
            warnings=self._disks.warnings(),
            activity=lines,
            values=values,
            at=time.time(),
        )

    async def _explained(self, active: list[Run]) -> list[Run]:
        """The runs; of those that wait, as many as are shown say why: there may be thousands."""
        queue = in_turn([run for run in active if run.status is RunStatus.QUEUED])
        first = await self._limits.explained(self._disks.explained(queue[:QUEUE_SHOWN]))
        told = {run.id: run for run in first}
        return [told.get(run.id, run) for run in active]

    async def _values_of(self, session: Session) -> list[float]:
        """What its runs have measured, in their order; read anew only when one has ended."""
        metric, ended = session.contract.metric, session.runs.completed + session.own_runs
        if metric is None or not ended:
            return []
        known = self._values.get(session.session_id)
        if known is not None and known[0] == (metric, ended):
            return known[1]
        runs = await self._runs.all(chat_session_id=session.session_id)
        over = [run for run in runs if run.status.is_terminal and metric in run.metrics]
        over.sort(key=lambda run: run.finished_at or run.created_at)
        found = [run.metrics[metric] for run in over]
        self._values[session.session_id] = ((metric, ended), found)
        return found


def _activity(sessions: list[Session]) -> dict[str, list[str]]:
    """The last lines of what each session's agent does. Blocks."""
    found = {}
    for one in sessions:
        path = SessionPaths.of(one.workdir, one.session_id).activity
        content = read_lines(path, -ACTIVITY_BYTES, ACTIVITY_BYTES).content
        found[one.session_id] = content.splitlines()[-ACTIVITY_LINES:]
    return found
