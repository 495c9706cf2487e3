"""The position of a session: what it was asked to do, its files, and its durable record."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.exceptions import ObjectNotFound

from wildloop.flows.evidence.known import Known
from wildloop.flows.files.paths import SessionPaths
from wildloop.flows.models.keep import Verdict
from wildloop.flows.models.run import Run
from wildloop.flows.models.session_options import SessionSpec
from wildloop.flows.models.session_record import (
    IterationRecord,
    LogEntry,
    Phase,
    SessionRecord,
    SessionSummary,
    Totals,
)
from wildloop.flows.protocol.plan import Plan, parse_plan, progress, progress_table
from wildloop.flows.protocol.tags import storable
from wildloop.flows.session.documents import Documents
from wildloop.flows.session.log import position_markdown, section_of, told_of
from wildloop.flows.store import artifacts
from wildloop.flows.store.base import artifact_url
from wildloop.flows.store.naming import LEADERBOARD, LEDGER, PLAN, REPORT, readable_key
from wildloop.flows.store.position import LOG_KEY, POSITION_KEY, read_stored

DESCRIBED = 200


@dataclass
class Position:
    """Where a session stands. Change `record`, then `save()`.

    Args:
        client: the Prefect client.
        spec: what the session was asked to do.
        record: its durable record.
        written: the entries of the log as they are stored already.
        totals: the sums over the calls among them.
        version: id of the artifact that holds the position.
        known: what the account before has found.
    """

    client: PrefectClient
    spec: SessionSpec
    record: SessionRecord
    written: set[str] = field(default_factory=set, repr=False)
    totals: Totals = field(default_factory=Totals)
    version: UUID | None = None
    known: Known = field(default_factory=Known, repr=False)
    _documents: Documents = field(default_factory=Documents, repr=False)
    _tables: artifacts.Tables | None = field(default=None, repr=False)
    _plan: str | None = field(default=None, repr=False)
    _line: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    @classmethod
    async def read(cls, client: PrefectClient, spec: SessionSpec, session_id: str) -> "Position":
        """The position of a session as it is stored."""
        workdir = Path(spec.workdir).expanduser().resolve()
        found = await read_stored(client, session_id)
        documents = Documents()
        written = documents.of(found.record) if found.version is not None else {}
        return cls(
            client=client,
            spec=spec.model_copy(update={"workdir": str(workdir)}),
            record=found.record,
            written=set(written),
            totals=found.record.totals,
            version=found.version,
            _documents=documents,
        )

    @property
    def id(self) -> str:
        """The session's id."""
        return self.record.session_id

    @property
    def whole(self) -> SessionRecord:
        """The record of all its calls and decisions, whoever's they are."""
        return self.record

    @property
    def told(self) -> SessionRecord:
        """What a prompt is made from: where this agent stands, and the calls of all."""
        return self.record

    @property
    def main(self) -> Path:
        """The project's folder that holds the session's branch; `workdir` is the agent's."""
        return self.workdir

    @property
    def called(self) -> str:
        """By what name its agent makes runs: the session's id, or a researcher's in it."""
        return self.id

    @property
    def researcher(self) -> int | None:
        """The number of the researcher, where several work at a time."""
        return None

    @property
    def task(self) -> str | None:
        """What this researcher has claimed of the plan; None where it is for one alone."""
        return None

    @property
    def beside(self) -> str:
        """What the others are at, for the prompt; empty where there are none."""
        return ""

    @property
    def own_verdicts(self) -> list[Verdict]:
        """The decisions about the changes of this agent."""
        return self.record.keep.verdicts

    @property
    def merging(self) -> set[int]:
        """The iterations that are to be kept once their merged code was run."""
        return set()

    def has_gone_on(self, iteration: int) -> bool:
        """Whether its folder holds the code of something later by now."""
        return False

    def refresh(self) -> None:
        """Take from the session what others of its researchers may have changed."""

    def owns(self, run: Run) -> bool:
        """Whether a run of the session is this agent's."""
        return True

    def next_index(self) -> int:
        """Number of the next iteration."""
        return self.record.last_index + 1

    def add_call(self, call: IterationRecord) -> None:
        """Note a call that has ended."""
        self.record.iterations.append(call)

    @property
    def flow_run_id(self) -> UUID:
        """The session's flow run."""
        return UUID(self.id)

    @property
    def tables(self) -> artifacts.Tables:
        """The tables on its page."""
        if self._tables is None:
            self._tables = artifacts.Tables(self.client, self.flow_run_id)
        return self._tables

    def key(self, kind: str) -> str:
        """The key of what a person looks for by name: plan, leaderboard, ledger, report."""
        return readable_key(kind, self.spec.goal, self.id)

    @property
    def workdir(self) -> Path:
        """The project's folder."""
        return Path(self.spec.workdir)

    @property
    def paths(self) -> SessionPaths:
        """The session's files."""
        return SessionPaths.of(self.spec.workdir, self.id)

    def plan_text(self) -> str:
        """tasks.md as it stands; empty if there is none."""
        try:
            return storable(self.paths.tasks.read_text(encoding="utf-8", errors="replace"))
        except FileNotFoundError:
            return ""

    def plan(self) -> Plan:
        """tasks.md, parsed."""
        return parse_plan(self.plan_text())

    @property
    def kinds(self) -> list[str]:
        """What there is to be looked for by name."""
        found = [PLAN] if self._plan is not None or self.record.planned else []
        found += [LEADERBOARD] if self.record.shown is not None else []
        found += [LEDGER] if self.record.keep.verdicts else []
        return found + ([REPORT] if self.record.report_path else [])

    async def enter(self, phase: Phase) -> None:
        """Note what the session is doing now."""
        if self.record.phase is not phase:
            self.record.phase = phase
            await self.save()

    async def save(self) -> None:
        """Write the position; what is new or other of its calls and decisions goes first.

        Whoever reads it counts what the position counts: a crash in between leaves the step as
        not done, and its call is written again.
        """
        # A sweep saves beside the session's own steps: the older state must not come last.
        async with self._line:
            documents = self._documents.of(self.record)
            if documents.keys() != self.written:
                self.totals = self.record.totals
            summary = self.record.summary(self.totals)
            for document, entry in documents.items():
                if document not in self.written:
                    await self._append(entry(), document)
            await self._write(summary)
            self.written = set(documents)

    async def _append(self, entry: LogEntry, document: str) -> None:
        label, text = section_of(entry)
        # On no page: a person reads the artifact of the call itself.
        await artifacts.write(
            self.client,
            LOG_KEY + self.id,
            text=text,
            description=f"{label}: {told_of(entry) or self.spec.goal}"[:DESCRIBED],
            record=document,
        )

    async def _write(self, summary: SessionSummary) -> None:
        links = {kind: artifact_url(self.key(kind)) for kind in self.kinds}
        plan = progress_table(progress(self.plan()))
        text = position_markdown(self.spec, summary, self.paths.log, plan, links)
        document = summary.model_dump_json(exclude_defaults=True)
        if self.version is not None:
            try:
                await artifacts.rewrite(self.client, self.version, text=text, record=document)
                return
            except ObjectNotFound:
                # Somebody has deleted it.
                self.version = None
        self.version = await artifacts.write(
            self.client,
            POSITION_KEY + self.id,
            text=text,
            description=f"Where the session stands: {self.spec.goal[:DESCRIBED]}",
            record=document,
            flow_run_id=self.flow_run_id,
        )

    async def save_plan(self, flow_run_id: UUID | None = None) -> None:
        """Write tasks.md, below its progress, as a new version of the plan artifact, if it is new.

        Of one that is taken up again it is not known, and written once more.

        Args:
            flow_run_id: of the step that has left it so, named beside the version (default: the
                session's own, whether it is new or not).
        """
        if (text := self.plan_text()) == self._plan and flow_run_id is not None:
            return
        found = progress(parse_plan(text))
        await artifacts.write(
            self.client,
            self.key(PLAN),
            text=f"{progress_table(found)}\n\n{text}".lstrip("\n"),
            description=f"Plan, {found.closed} of {found.total} tasks closed: "
            f"{self.spec.goal[:DESCRIBED]}",
            flow_run_id=flow_run_id or self.flow_run_id,
        )
        self._plan = text
