"""Evolutionary sweeps: an artifact a session (`evo-<session>`), a version a generation."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.sorting import ArtifactSort
from prefect.events import emit_event

from wildloop.flows.errors import InvalidTransition, NotFound
from wildloop.flows.models.evo_sweep import EvoSweepRecord, EvoSweepStatus, EvoSweepStop
from wildloop.flows.search.summary import sweep_markdown
from wildloop.flows.store import artifacts
from wildloop.flows.store.base import Store
from wildloop.flows.store.run_filter import RunFilter
from wildloop.flows.store.runs import RunStore
from wildloop.flows.store.sessions import SESSIONS_RESOURCE, STEER_EVENT

PREFIX = "evo-"
STOP_KEY = "evo-stop-"
PAGE = 50


class EvoSweepStore(Store):
    """Read, write and stop the evolutionary sweep of a session: the one under way, or the last."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._last: tuple[str, UUID] | None = None

    async def find(self, session_id: str) -> EvoSweepRecord | None:
        """The session's sweep; None if it has had none."""
        found = await artifacts.latest(self.client, PREFIX + session_id)
        if not found:
            return None
        return EvoSweepRecord.model_validate_json(artifacts.record_of(found[PREFIX + session_id]))

    async def of_session(self, session_id: str) -> list[EvoSweepRecord]:
        """All sweeps that the session has had, oldest first."""
        wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[PREFIX + session_id]))
        found: dict[str, EvoSweepRecord] = {}
        offset = 0
        while True:
            page = await self.client.read_artifacts(
                artifact_filter=wanted, sort=ArtifactSort.CREATED_DESC, limit=PAGE, offset=offset
            )
            for version in page:
                record = EvoSweepRecord.model_validate_json(artifacts.record_of(version))
                # The newest version of each comes first.
                found.setdefault(record.label, record)
            offset += len(page)
            if len(page) < PAGE:
                return sorted(found.values(), key=lambda record: record.created_at)

    async def get(self, session_id: str) -> EvoSweepRecord:
        """The session's sweep.

        Raises:
            NotFound: it has had none.
        """
        record = await self.find(session_id)
        if record is None:
            raise NotFound("evolutionary sweep of session", session_id)
        return record

    async def save(self, record: EvoSweepRecord) -> None:
        """Write the record: a new version for a new generation or status, else the same one.

        A version at each step would hold the trials of a long sweep thousands of times.
        """
        text, document = sweep_markdown(record), record.model_dump_json()
        chapter = f"{record.session_id} {record.label} {record.state.generation} {record.status}"
        if self._last is not None and self._last[0] == chapter:
            await artifacts.rewrite(self.client, self._last[1], text=text, record=document)
            return
        version = await artifacts.write(
            self.client,
            PREFIX + record.session_id,
            text=text,
            description=f"Evolutionary sweep {record.name}",
            record=document,
            flow_run_id=UUID(record.flow_run_id) if record.flow_run_id else None,
        )
        self._last = (chapter, version)

    async def end(self, record: EvoSweepRecord, status: EvoSweepStatus, reason: str) -> None:
        """Note a sweep's end, and why."""
        record.status, record.reason = status, reason
        record.finished_at = datetime.now(UTC).timestamp()
        await self.save(record)

    async def stop(
        self, session_id: str, body: EvoSweepStop, *, session_is_active: bool
    ) -> EvoSweepRecord:
        """Stop the sweep: no further trial, its waiting runs stopped, its running ones if asked.

        Raises:
            NotFound: the session has had no sweep.
            InvalidTransition: it has ended.
        """
        record = await self.get(session_id)
        if record.status.is_terminal:
            raise InvalidTransition(
                "evolutionary sweep of session", session_id, record.status, "stopped"
            )
        # The request goes first: else stopped runs would be taken for failed trials.
        if session_is_active and await self.requested_stop(record) is None:
            await self.client.create_flow_run_input(
                UUID(session_id), key=_stop_key(record), value=json.dumps(body.model_dump())
            )
            emit_event(
                STEER_EVENT,
                resource={
                    "prefect.resource.id": SESSIONS_RESOURCE,
                    "wildloop.session.id": session_id,
                },
            )
        await self.stop_runs(record, running=body.runs == "stop")
        if not session_is_active:
            await self.end(record, EvoSweepStatus.STOPPED, "Stopped after its session had ended.")
        return await self.get(session_id)

    async def requested_stop(self, record: EvoSweepRecord) -> EvoSweepStop | None:
        """What was asked for by `stop`, if anything was."""
        key = _stop_key(record)
        inputs = await self.client.filter_flow_run_input(
            UUID(record.session_id), key_prefix=key, limit=10, exclude_keys=set()
        )
        found = [one.value for one in inputs if one.key == key]
        return EvoSweepStop.model_validate_json(found[0]) if found else None

    async def stop_runs(self, record: EvoSweepRecord, *, running: bool) -> list[str]:
        """Stop the sweep's waiting runs, and the running ones if `running`; return their ids."""
        runs = RunStore(self.client, self.settings, self.deployment_ids)
        return await runs.stop_all(RunFilter(sweep_id=record.sweep_id), running=running)


def _stop_key(record: EvoSweepRecord) -> str:
    return STOP_KEY + record.label.replace(".", "-")
