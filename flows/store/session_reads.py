"""Sessions as the API shows them, from what is small: nothing of it grows with the iterations."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun

from wildloop.flows.evidence.own import with_own
from wildloop.flows.evidence.shown import digest_of, shown_of
from wildloop.flows.files.paths import SessionPaths
from wildloop.flows.keep.standing import account_of
from wildloop.flows.metrics.contract import contract_of, first_contract
from wildloop.flows.models.contract import SessionContract
from wildloop.flows.models.evidence import Shown
from wildloop.flows.models.run import Run
from wildloop.flows.models.session import History, Session
from wildloop.flows.models.session_options import SessionSpec
from wildloop.flows.models.session_record import IterationRecord, SessionRecord, SessionSummary
from wildloop.flows.settings import Settings
from wildloop.flows.store.own_runs import own_of, own_runs
from wildloop.flows.store.position import (
    read_last_calls,
    read_summaries,
    read_summary,
)
from wildloop.flows.store.run_index import RunIndex
from wildloop.flows.store.runs import RunStore
from wildloop.flows.store.seen import Seen
from wildloop.flows.store.session_mapping import (
    in_short,
    project_of,
    read_plan,
    spec_of,
    to_session,
)
from wildloop.flows.store.session_memory import SessionMemory

SHOWN_CALLS = 6


@dataclass
class Parts:
    """What is stored of a session beside its flow run."""

    record: SessionRecord | SessionSummary
    runs: list[Run]
    own: list[Run]
    history: Sequence[IterationRecord] = ()


class SessionReader:
    """Reads sessions.

    Args:
        client: the Prefect client.
        settings: of this process.
        seen: the live picture (default: all is asked for).
        memory: what is known of sessions already, shared by the readers of one process.
    """

    def __init__(
        self,
        client: PrefectClient,
        settings: Settings,
        seen: Seen | None = None,
        memory: SessionMemory | None = None,
    ) -> None:
        self.client = client
        self.settings = settings
        self.seen = seen
        self.memory = memory or SessionMemory()

    async def parts(self, session_id: str, history: History) -> Parts:
        """What is stored of one session: its last calls in short, or all of them."""
        if history == "all":
            record, runs = await asyncio.gather(
                self.memory.record(self.client, session_id), self._runs(session_id)
            )
            return await self._parts(record, runs, record.iterations)
        runs, (summary, calls) = await self._runs(session_id), await self._position(session_id)
        if isinstance(summary, SessionRecord):
            calls = summary.iterations[-SHOWN_CALLS:]
        return await self._parts(summary, runs, [in_short(call) for call in calls])

    async def many(self, flow_runs: Sequence[FlowRun]) -> list[Session]:
        """The sessions of these flow runs, without the calls of their agents."""
        ids = [str(flow_run.id) for flow_run in flow_runs]
        found, runs = await asyncio.gather(
            self._summaries(ids), (self.seen or RunIndex()).by_session(self.client)
        )
        sessions = []
        for id, flow_run in zip(ids, flow_runs, strict=True):
            record = found.get(id) or SessionSummary(session_id=id)
            own = own_of(runs, id, record.contract)
            sessions.append(await self.session(flow_run, Parts(record, runs.get(id, []), own)))
        return sessions

    async def session(self, flow_run: FlowRun, parts: Parts) -> Session:
        """The session of a flow run."""
        spec = spec_of(flow_run)
        plan = read_plan(SessionPaths.of(spec.workdir, str(flow_run.id)))
        project, record = project_of(spec.workdir), parts.record
        contract = record.contract or first_contract(project, plan, spec.goal)
        shown = await self._shown(str(flow_run.id), spec, parts, contract)
        return to_session(
            flow_run, record, parts.runs, parts.own, plan, contract, shown, parts.history
        )

    async def _shown(
        self, id: str, spec: SessionSpec, parts: Parts, contract: SessionContract
    ) -> Shown:
        """What the session has shown: as its flow has noted it, or made anew where that is old."""
        record, totals = parts.record, parts.record.totals
        _, _, evaluated = with_own(parts.runs, parts.own, contract.metric)
        compared = contract_of(contract, spec.keep_alpha, evaluated)
        digest = digest_of([*parts.runs, *parts.own], compared, totals.calls, totals.verdicts)
        for known in (record.shown, self.memory.shown.get(id)):
            if known is not None and known.of == digest:
                return known
        if isinstance(record, SessionSummary):
            record = await self.memory.record(self.client, id)
        account = await asyncio.to_thread(
            account_of,
            parts.runs,
            record.iterations,
            contract,
            own=parts.own,
            alpha=spec.keep_alpha,
            kept=record.keep if spec.keep == "better" else None,
        )
        self.memory.shown[id] = shown_of(account, digest)
        return self.memory.shown[id]

    async def _position(
        self, session_id: str
    ) -> tuple[SessionSummary | SessionRecord, list[IterationRecord]]:
        """Where a session stands, and its last calls; read after its state."""

        async def read() -> tuple[SessionSummary | SessionRecord, list[IterationRecord]]:
            return await asyncio.gather(
                read_summary(self.client, session_id),
                read_last_calls(self.client, session_id, SHOWN_CALLS),
            )

        if self.seen is None:
            return await read()
        row = (await self.seen.whole()).rows.get(session_id)
        state = row.stamp[1] if row is not None else None
        return await self.seen.recent(f"position {session_id} {state}", read)

    async def _summaries(self, ids: list[str]) -> dict[str, SessionSummary | SessionRecord]:
        """Where these sessions stand; of one that has ended nothing changes by itself."""
        if self.seen is None:
            return await read_summaries(self.client, ids)
        rows = (await self.seen.whole()).rows
        states = [str(rows[id].stamp[1]) for id in ids if id in rows]
        key = f"positions {' '.join(ids)} {' '.join(states)}"
        return await self.seen.recent(key, lambda: read_summaries(self.client, ids))

    async def _runs(self, session_id: str) -> Mapping[str, list[Run]]:
        """Its runs; with a copy at hand those of the others too, its own ones among them."""
        if self.seen is not None:
            return await self.seen.by_session(self.client)
        store = RunStore(self.client, self.settings)
        return {session_id: await store.all(chat_session_id=session_id)}

    async def _parts(
        self,
        record: SessionRecord | SessionSummary,
        runs: Mapping[str, list[Run]],
        calls: Sequence[IterationRecord],
    ) -> Parts:
        id, contract = record.session_id, record.contract
        if self.seen is None:
            own = await own_runs(RunStore(self.client, self.settings), id, contract)
        else:
            own = own_of(runs, id, contract)
        return Parts(record, runs.get(id, []), own, calls)
