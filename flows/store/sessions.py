"""Sessions: flow runs of the deployment `research-loop/wildloop`, started, read and steered."""

import asyncio
import json
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

from wildloop.flows.errors import Conflict, InvalidRequest, InvalidTransition, NoneYet, NotFound
from wildloop.flows.files.place import mark_place
from wildloop.flows.git import repository
from wildloop.flows.models.contract import ContractChange
from wildloop.flows.models.session import History, Session, SessionEvent, SessionStatus
from wildloop.flows.models.session_options import SessionSpec, SessionStart
from wildloop.flows.models.session_record import SessionRecord, SessionSummary
from wildloop.flows.settings import Settings
from wildloop.flows.store import artifacts
from wildloop.flows.store.alerts import AlertStore
from wildloop.flows.store.base import (
    CLOCK_SLACK,
    LOOP_TAG,
    PLACE_TAG,
    RESEARCH_LOOP,
    Store,
    parse_id,
)
from wildloop.flows.store.naming import dated_name
from wildloop.flows.store.owners import find_session
from wildloop.flows.store.position import change_record, read_record
from wildloop.flows.store.run_filter import RunFilter
from wildloop.flows.store.runs import RunStore
from wildloop.flows.store.said import CONTRACT_KEY, STEER_KEY, Said
from wildloop.flows.store.seen import Seen
from wildloop.flows.store.session_events import alert_event, run_event
from wildloop.flows.store.session_mapping import spec_of
from wildloop.flows.store.session_memory import SessionMemory
from wildloop.flows.store.session_reads import Parts, SessionReader
from wildloop.flows.store.states import cancel, in_states, session_status, suspended_state

EVENTS_KEY = "events-"
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
        seen: the live picture, which answers in Prefect's stead.
        memory: what is known of sessions already, shared likewise.
    """

    def __init__(
        self,
        client: PrefectClient,
        settings: Settings,
        deployment_ids: dict[str, UUID] | None = None,
        seen: Seen | None = None,
        memory: SessionMemory | None = None,
    ) -> None:
        super().__init__(client, settings, deployment_ids)
        self.seen = seen
        self.said = Said(client)
        self.reader = SessionReader(client, settings, seen, memory)

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
        if (place := await asyncio.to_thread(mark_place, workdir)) is not None:
            tags.append(PLACE_TAG + place)
        flow_run = await self.create_flow_run(
            RESEARCH_LOOP,
            name=dated_name(spec.goal),
            parameters=spec.model_dump(mode="json", exclude_none=True),
            tags=tags,
        )
        return await self.reader.session(
            flow_run, Parts(SessionSummary(session_id=str(flow_run.id)), [], [])
        )

    async def active_in(self, workdir: Path) -> str | None:
        """The session that is active in a folder; None if none is."""
        others = await self._in_workdir(workdir, ALIVE)
        return str(others[0].id) if others else None

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

    async def get(self, session_id: str, history: History = "recent") -> Session:
        """Read one session, with its last calls in short or all; NotFound if there is none."""
        return await self._of(await self.flow_run(session_id), history)

    async def flow_run(self, session_id: str) -> FlowRun:
        """The flow run of a session, by its own id; NotFound if there is none."""
        if self.seen is not None:
            id = str(parse_id("session", session_id))
            table = await self.seen.table()
            if table is not None and (found := table.session(id)) is not None:
                return found
        return await self.read_flow_run("session", session_id, RESEARCH_LOOP)

    async def recent(self, limit: int = 50) -> list[Session]:
        """The sessions, newest first."""
        flow_runs = await self._known(None, limit)
        if not flow_runs:
            return []
        return await self.reader.many(flow_runs)

    async def id_of(self, name: str) -> str:
        """The own id of the session that is meant (see `find_session`).

        Raises:
            NotFound: there is none.
        """
        return str((await self._named(name)).id)

    async def _named(self, name: str) -> FlowRun:
        find = (
            self.seen.session(self.client, name) if self.seen else find_session(self.client, name)
        )
        if (found := await find) is None:
            raise NotFound("session", name)
        return found

    async def _of(self, flow_run: FlowRun, history: History) -> Session:
        """The session of a flow run that has just been read."""
        parts = await self.reader.parts(str(flow_run.id), history)
        return await self.reader.session(flow_run, parts)

    async def find(
        self,
        chat_session_id: str | None,
        session_id: str | None = None,
        history: History = "recent",
    ) -> Session:
        """The session of this name (see `find_session`); without one the active, else the latest.

        Raises:
            NotFound: there is none of this id.
            NoneYet: there is none at all.
            Conflict: no id was given and several sessions are active.
        """
        name = session_id if session_id is not None else chat_session_id
        if name is not None:
            return await self._of(await self._named(name), history)
        alive = await self._known(ALIVE)
        if len(alive) > 1:
            ids = ", ".join(str(flow_run.id) for flow_run in alive)
            raise Conflict(f"several sessions are active ({ids}): give session_id")
        latest = alive or await self._known(None, 1)
        if not latest:
            raise NoneYet("there is no session yet: start one (`wildloop start`)")
        return await self._of(latest[0], history)

    async def record(self, session_id: str) -> SessionRecord:
        """The whole record of a session; a fresh one if it has not begun."""
        return await read_record(self.client, session_id)

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
        # One that was paused ends without a step of its own.
        await AlertStore(self.client, self.settings).withdraw_questions(str(flow_run.id))
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

    async def set_contract(self, session_id: str, change: ContractChange) -> Session:
        """Change what a session compares by; a new comparison begins.

        Of a session that goes on it is taken up before its agent's next call.
        """
        flow_run = await self.read_flow_run("session", session_id, RESEARCH_LOOP)
        now = datetime.now(UTC).timestamp()
        if session_status(flow_run.state).is_terminal:
            found = await self.get(session_id)
            await change_record(self.client, session_id, found.contract, change, now)
            return await self.get(session_id)
        value = json.dumps({"change": change.model_dump(exclude_unset=True), "time": now})
        key = f"{CONTRACT_KEY}{now:.6f}-{uuid4().hex[:6]}".replace(".", "-")
        await self.client.create_flow_run_input(flow_run.id, key=key, value=value)
        return await self.get(session_id)

    async def events(self, session_id: str) -> list[SessionEvent]:
        """What has happened in a session, oldest first: ended runs, alerts, pending steers."""
        await self.flow_run(session_id)
        store = RunStore(self.client, self.settings, seen=self.seen)
        runs = await store.all(chat_session_id=session_id)
        names = {run.id: run.name for run in runs}
        alerts = await AlertStore(self.client, self.settings).of_runs(list(names))
        resolved = set((await self._resolved(session_id)).ids)
        found = [run_event(run) for run in runs if run.status.is_terminal]
        found += [alert_event(alert, names[alert.run_id]) for alert in alerts]
        found += [
            SessionEvent(
                id=f"steer:{key}", type="steer", title="Steer", detail=text, created_at=time
            )
            for key, text, time in await self.said.steers(session_id)
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
        if not await repository.is_repository(workdir):
            raise InvalidRequest(
                f"workdir '{text}' is not a git repository: run `git init` there and commit once"
            )
        return workdir

    async def _known(self, types: list[StateType] | None, limit: int = 200) -> list[FlowRun]:
        """As `_flow_runs`, from the live picture where there is one."""
        if self.seen is not None:
            return await self.seen.sessions(types, limit)
        return await self._flow_runs(types, limit)

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
    return await store.stop_all(RunFilter(chat_session_id=session_id), running=running)
