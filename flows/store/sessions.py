"""Sessions: flow runs of the deployment `research-loop/wildloop`, started, read and steered."""

import asyncio
import json
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from uuid import UUID, uuid4

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.events import emit_event
from pydantic import BaseModel, Field

from flows import git
from flows.errors import Conflict, InvalidRequest, InvalidTransition, NoneYet, NotFound
from flows.models.run import RunStatus
from flows.models.session import Session, SessionEvent, SessionStatus
from flows.models.session_options import SessionSpec, SessionStart
from flows.models.session_record import SessionRecord
from flows.settings import Settings
from flows.store import artifacts
from flows.store.alerts import AlertStore
from flows.store.base import CLOCK_SLACK, LOOP_TAG, RESEARCH_LOOP, Store
from flows.store.run_index import RunIndex
from flows.store.runs import RunStore
from flows.store.session_events import alert_event, run_event
from flows.store.session_mapping import spec_of, to_session
from flows.store.states import cancel, in_states, session_status, suspended_state

LOG_KEY = "iteration-log-"
PLAN_KEY = "plan-"
REPORT_KEY = "report-"
EVENTS_KEY = "events-"
STEER_KEY = "steer-"
NAME_LENGTH = 80
STEER_EVENT = "wildloop.session.steered"
SESSIONS_RESOURCE = "wildloop.sessions"
AT_WORK = [StateType.RUNNING, StateType.PAUSED, StateType.CANCELLING]
ALIVE = [StateType.SCHEDULED, StateType.PENDING, *AT_WORK]


class ResolvedEvents(BaseModel):
    """Which events of a session have been resolved."""

    ids: list[str] = Field(default_factory=list)


class SessionStore(Store):
    """Start, read and steer sessions.

    Args:
        client, settings, deployment_ids: as of `Store`.
        index: a copy of the runs, shared by the stores of one process.
    """

    def __init__(
        self,
        client: PrefectClient,
        settings: Settings,
        deployment_ids: dict[str, UUID] | None = None,
        index: RunIndex | None = None,
    ) -> None:
        super().__init__(client, settings, deployment_ids)
        self.index = index or RunIndex()

    async def start(self, body: SessionStart) -> Session:
        """Start a session.

        Raises:
            InvalidRequest: the workdir does not exist or is no git repository.
            Conflict: another session is active in this workdir.
        """
        workdir = await self._checked_workdir(body.workdir or str(self.settings.workdir))
        if others := await self._in_workdir(workdir, ALIVE):
            raise Conflict(
                f"session '{others[0].id}' is active in workdir '{workdir}': stop it first, "
                "or use another clone"
            )
        spec = SessionSpec.model_validate(
            body.model_dump(exclude={"workdir"}) | {"workdir": str(workdir)}
        )
        tags = [LOOP_TAG]
        if spec.chat_session_id:
            tags.append(f"chat:{spec.chat_session_id}")
        flow_run = await self.create_flow_run(
            RESEARCH_LOOP,
            name=" ".join(spec.goal.split())[:NAME_LENGTH],
            parameters=spec.model_dump(mode="json", exclude_none=True),
            tags=tags,
        )
        return to_session(flow_run, None, [])

    async def holder_of(self, session_id: str) -> str | None:
        """The session that works in this session's workdir since before it; None if none does.

        Those that a schedule or Prefect's API has started are not refused by `start`.
        """
        own = await self.client.read_flow_run(UUID(session_id))
        now = datetime.now(UTC)
        for other in await self._in_workdir(Path(spec_of(own).workdir).resolve(), AT_WORK):
            began = (other.start_time or now, str(other.id))
            if began < (own.start_time or now, session_id):
                return str(other.id)
        return None

    async def _in_workdir(self, workdir: Path, types: list[StateType]) -> list[FlowRun]:
        found = await self._flow_runs(types)
        return [one for one in found if Path(spec_of(one).workdir).resolve() == workdir]

    async def get(self, session_id: str) -> Session:
        """Read one session; NotFound if there is none."""
        flow_run = await self.read_flow_run("session", session_id, RESEARCH_LOOP)
        record, runs = await asyncio.gather(
            self.record(session_id),
            RunStore(self.client, self.settings).all(chat_session_id=session_id),
        )
        return to_session(flow_run, record, runs)

    async def recent(self, limit: int = 50) -> list[Session]:
        """The sessions, newest first."""
        flow_runs = await self._flow_runs(None, limit)
        if not flow_runs:
            return []
        found = await artifacts.latest(self.client, *[f"{LOG_KEY}{run.id}" for run in flow_runs])
        runs = await self.index.by_session(self.client)
        sessions = []
        for flow_run in flow_runs:
            artifact = found.get(f"{LOG_KEY}{flow_run.id}")
            record = (
                SessionRecord.model_validate_json(artifacts.record_of(artifact))
                if artifact
                else None
            )
            sessions.append(to_session(flow_run, record, runs.get(str(flow_run.id), [])))
        return sessions

    async def find(self, chat_session_id: str | None, session_id: str | None = None) -> Session:
        """The session with either id; with neither, the one active session, else the latest.

        Raises:
            NotFound: there is none of this id.
            NoneYet: there is none at all.
            Conflict: no id was given and several sessions are active.
        """
        if session_id is not None:
            return await self.get(session_id)
        if chat_session_id is not None:
            tagged = await self._flow_runs(None, 1, [f"chat:{chat_session_id}"])
            return await self.get(str(tagged[0].id) if tagged else chat_session_id)
        alive = await self._flow_runs(ALIVE)
        if len(alive) > 1:
            ids = ", ".join(str(flow_run.id) for flow_run in alive)
            raise Conflict(f"several sessions are active ({ids}): give session_id")
        latest = alive or await self._flow_runs(None, 1)
        if not latest:
            raise NoneYet("there is no session yet: start one (`wildloop start`)")
        return await self.get(str(latest[0].id))

    async def record(self, session_id: str) -> SessionRecord:
        """The durable position of a session; a fresh one if it has not begun."""
        key = LOG_KEY + session_id
        found = await artifacts.latest(self.client, key)
        if key not in found:
            return SessionRecord(session_id=session_id)
        return SessionRecord.model_validate_json(artifacts.record_of(found[key]))

    async def pause(self, session_id: str, message: str = "Paused by request.") -> Session:
        """Pause a running session: its agent is ended, its runs go on."""
        flow_run = await self._in(session_id, {SessionStatus.RUNNING}, SessionStatus.PAUSED)
        await self.client.set_flow_run_state(flow_run.id, suspended_state(message))
        return await self.get(session_id)

    async def resume(self, session_id: str) -> Session:
        """Resume a paused session where it was."""
        flow_run = await self._in(session_id, {SessionStatus.PAUSED}, SessionStatus.RUNNING)
        await self.client.resume_flow_run(flow_run.id)
        return await self.get(session_id)

    async def stop(self, session_id: str, runs: Literal["keep", "stop"] = "keep") -> Session:
        """Stop a session and its waiting runs; running ones too if `runs` is `stop`."""
        alive = {SessionStatus.QUEUED, SessionStatus.RUNNING, SessionStatus.PAUSED}
        flow_run = await self._in(session_id, alive, SessionStatus.STOPPED)
        await cancel(self.client, flow_run.id, "Stopped by request.")
        await stop_runs(RunStore(self.client, self.settings), session_id, running=runs == "stop")
        return await self.get(session_id)

    async def steer(self, session_id: str, text: str) -> Session:
        """Give the agent something to know in its next prompt; wakes a waiting session."""
        flow_run = await self.read_flow_run("session", session_id, RESEARCH_LOOP)
        status = session_status(flow_run.state)
        if status.is_terminal:
            raise InvalidTransition("session", session_id, status, "steered")
        now = datetime.now(UTC)
        await self.client.create_flow_run_input(
            flow_run.id,
            key=f"{STEER_KEY}{now.timestamp():.6f}-{uuid4().hex[:6]}".replace(".", "-"),
            value=json.dumps({"text": text, "time": now.timestamp()}),
        )
        emit_event(
            STEER_EVENT,
            resource={
                "prefect.resource.id": SESSIONS_RESOURCE,
                "wildloop.session.id": session_id,
            },
        )
        return await self.get(session_id)

    async def steers(self, session_id: str) -> list[tuple[str, str, float]]:
        """What the agent has not been told yet: (key, text, time), oldest first."""
        inputs = await self.client.filter_flow_run_input(
            UUID(session_id), key_prefix=STEER_KEY, limit=100, exclude_keys=set()
        )
        told = sorted((item.key, json.loads(item.value)) for item in inputs)
        return [(key, str(value["text"]), float(value["time"])) for key, value in told]

    async def events(self, session_id: str) -> list[SessionEvent]:
        """What has happened in a session, oldest first: ended runs, alerts, pending steers."""
        await self.read_flow_run("session", session_id, RESEARCH_LOOP)
        runs = await RunStore(self.client, self.settings).all(chat_session_id=session_id)
        names = {run.id: run.name for run in runs}
        alerts = await AlertStore(self.client, self.settings).of_runs(list(names))
        resolved = set((await self._resolved(session_id)).ids)
        found = [run_event(run) for run in runs if run.status.is_terminal]
        found += [alert_event(alert, names[alert.run_id]) for alert in alerts]
        found += [
            SessionEvent(
                id=f"steer:{key}", type="steer", title="Steer", detail=text, created_at=time
            )
            for key, text, time in await self.steers(session_id)
        ]
        found.sort(key=lambda event: event.created_at)
        return [
            event.model_copy(update={"resolved": event.resolved or event.id in resolved})
            for event in found
        ]

    async def resolve(self, session_id: str, event_ids: list[str]) -> list[SessionEvent]:
        """Mark events as dealt with.

        Raises:
            NotFound: an id is not an event of this session.
        """
        known = {event.id for event in await self.events(session_id)}
        for event_id in event_ids:
            if event_id not in known:
                raise NotFound("event", event_id)
        resolved = await self._resolved(session_id)
        ids = sorted({*resolved.ids, *event_ids})
        await artifacts.write(
            self.client,
            EVENTS_KEY + session_id,
            text="\n".join(f"- resolved `{id}`" for id in ids),
            description="Resolved events of the session.",
            record=ResolvedEvents(ids=ids).model_dump_json(),
        )
        return await self.events(session_id)

    async def _resolved(self, session_id: str) -> ResolvedEvents:
        key = EVENTS_KEY + session_id
        found = await artifacts.latest(self.client, key)
        if key not in found:
            return ResolvedEvents()
        return ResolvedEvents.model_validate_json(artifacts.record_of(found[key]))

    async def _in(
        self, session_id: str, allowed: set[SessionStatus], wanted: SessionStatus
    ) -> FlowRun:
        flow_run = await self.read_flow_run("session", session_id, RESEARCH_LOOP)
        status = session_status(flow_run.state)
        if status not in allowed:
            raise InvalidTransition("session", session_id, status, wanted)
        return flow_run

    async def _checked_workdir(self, text: str) -> Path:
        workdir = Path(text).expanduser().resolve()
        if not workdir.is_dir():
            raise InvalidRequest(f"workdir '{text}' does not exist: create it, or give another")
        if not await git.is_repository(workdir):
            raise InvalidRequest(
                f"workdir '{text}' is not a git repository: run `git init` there and commit once"
            )
        return workdir

    async def _flow_runs(
        self, types: list[StateType] | None, limit: int = 200, tags: list[str] | None = None
    ) -> list[FlowRun]:
        """The newest sessions' flow runs. Those of coming nights are none yet."""
        now = datetime.now(UTC) + CLOCK_SLACK
        return await self.client.read_flow_runs(
            flow_run_filter=FlowRunFilter(
                tags=FlowRunFilterTags(all_=[LOOP_TAG, *(tags or [])]),
                expected_start_time=FlowRunFilterExpectedStartTime(before_=now),
                state=in_states(types) if types else None,
            ),
            sort=FlowRunSort.EXPECTED_START_TIME_DESC,
            limit=limit,
        )


async def stop_runs(store: RunStore, session_id: str, *, running: bool) -> list[str]:
    """Stop the waiting runs of a session, and the running ones if `running`; return their ids."""
    stopped = []
    for run in await store.all(chat_session_id=session_id):
        waiting = run.status in (RunStatus.READY, RunStatus.QUEUED)
        if waiting or (running and run.status.is_active):
            # It may end, or be stopped by its session, between the list and the request.
            with suppress(InvalidTransition):
                await store.stop(run.id)
                stopped.append(run.id)
    return stopped
