"""One session at work: its spec, files, stores and durable position, passed between the steps."""

from collections.abc import Awaitable
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import State

from blocks.agents.base import Agent
from flows.control import RunControl
from flows.errors import WildloopError
from flows.keep.texts import log_entry
from flows.models.run import Run
from flows.models.session_options import SessionSpec
from flows.models.session_record import IterationRecord, Phase, SessionRecord
from flows.paths import SessionPaths
from flows.project import ProjectConfig
from flows.protocol.plan import Plan, parse_plan, progress, progress_table
from flows.protocol.tags import storable
from flows.settings import (
    SERVER_URL_VARIABLE,
    TOKEN_VARIABLE,
    Settings,
)
from flows.skills import SkillLibrary
from flows.store import artifacts
from flows.store.cluster import ClusterStore
from flows.store.evo import EvoSweepStore
from flows.store.memories import MemoryStore
from flows.store.runs import RunStore
from flows.store.sessions import LOG_KEY, PLAN_KEY, SessionStore
from flows.store.sweeps import SweepStore
from flows.sweeping import Sweeping


class StepFailed(WildloopError):
    """A step of the session ended by an unexpected error."""


@dataclass
class ResearchSession:
    """What every step of a session needs.

    `record` is the durable position: change it, then `save()`.
    """

    id: str
    spec: SessionSpec
    settings: Settings
    client: PrefectClient
    control: RunControl
    library: SkillLibrary
    project: ProjectConfig | None
    record: SessionRecord
    agent: Agent | None = None
    resumed: bool = False
    sweeping: Sweeping | None = None
    agent_processes: set[tuple[str, ...]] = field(default_factory=set)
    paths: SessionPaths = field(init=False)
    runs: RunStore = field(init=False)
    sweeps: SweepStore = field(init=False)
    sessions: SessionStore = field(init=False)
    cluster: ClusterStore = field(init=False)
    memories: MemoryStore = field(init=False)
    evo: EvoSweepStore = field(init=False)

    def __post_init__(self) -> None:
        self.paths = SessionPaths.of(self.spec.workdir, self.id)
        self.runs = RunStore(self.client, self.settings)
        self.sweeps = SweepStore(self.client, self.settings)
        self.sessions = SessionStore(self.client, self.settings)
        self.cluster = ClusterStore(self.client, self.settings)
        self.memories = MemoryStore(self.client, self.settings)
        self.evo = EvoSweepStore(self.client, self.settings)

    @property
    def flow_run_id(self) -> UUID:
        """The session's flow run."""
        return UUID(self.id)

    @property
    def workdir(self) -> Path:
        """The project's folder."""
        return self.paths.workdir

    def last_look(self, record: IterationRecord) -> float:
        """When the call before this one began: what has ended since may not be told yet."""
        others = [it.started_at for it in self.record.iterations if it is not record]
        return others[-1] if others else 0.0

    def plan_text(self) -> str:
        """tasks.md as it stands; empty if there is none."""
        try:
            return storable(self.paths.tasks.read_text(encoding="utf-8", errors="replace"))
        except FileNotFoundError:
            return ""

    def plan(self) -> Plan:
        """tasks.md, parsed."""
        return parse_plan(self.plan_text())

    async def all_runs(self) -> list[Run]:
        """Every run of the session, oldest first."""
        return await self.runs.all(chat_session_id=self.id)

    async def active_runs(self) -> list[Run]:
        """The runs that wait or run, oldest first; `ready` ones wait for the agent, not we."""
        return [run for run in await self.runs.active() if run.chat_session_id == self.id]

    async def step(self, label: str, flow_run: Awaitable[State[Any]]) -> IterationRecord:
        """Await a subflow that makes one agent call; return the record that it has left.

        Raises:
            StopRequested: the session is to end.
            StepFailed: the subflow ended by an error of its own and left no record.
        """
        before = len(self.record.iterations)
        state = await flow_run
        self.control.check()
        if len(self.record.iterations) == before:
            raise StepFailed(f"{label} ended without a record: {state.message}")
        return self.record.iterations[-1]

    async def enter(self, phase: Phase) -> None:
        """Note what the session is doing now."""
        if self.record.phase is not phase:
            self.record.phase = phase
            await self.save()

    async def save(self) -> None:
        """Write the position as a new version of the iteration-log artifact."""
        await artifacts.write(
            self.client,
            LOG_KEY + self.id,
            text=log_markdown(self.spec, self.record),
            description=f"Iteration log: {self.spec.goal[:200]}",
            record=self.record.model_dump_json(),
            flow_run_id=self.flow_run_id,
        )

    async def save_plan(self) -> None:
        """Write tasks.md, below its progress, as a new version of the plan artifact."""
        text = self.plan_text()
        found = progress(parse_plan(text))
        await artifacts.write(
            self.client,
            PLAN_KEY + self.id,
            text=f"{progress_table(found)}\n\n{text}".lstrip("\n"),
            description=f"Plan, {found.closed} of {found.total} tasks closed: "
            f"{self.spec.goal[:200]}",
            flow_run_id=self.flow_run_id,
        )

    def agent_environment(self, kind: str, index: int) -> dict[str, str]:
        """The variables that an agent's process gets on top of its scrubbed environment."""
        env = {
            SERVER_URL_VARIABLE: self.settings.server_url,
            "WILDLOOP_SESSION_ID": self.id,
            "WILDLOOP_PHASE": kind,
            "WILDLOOP_ITERATION": str(index),
            "WILDLOOP_TASKS_PATH": str(self.paths.tasks),
            "WILDLOOP_SESSION_DIR": str(self.paths.root),
        }
        if self.settings.token is not None:
            env[TOKEN_VARIABLE] = self.settings.token.get_secret_value()
        return env


_current: ContextVar[ResearchSession | None] = ContextVar("wildloop-session", default=None)


def current_session() -> ResearchSession:
    """The session that this flow belongs to.

    Raises:
        RuntimeError: outside a session: the subflows run only inside the research loop.
    """
    session = _current.get()
    if session is None:
        raise RuntimeError("this flow runs only as a step of the research-loop flow")
    return session


def enter_session(session: ResearchSession) -> None:
    """Make `session` the current one for this flow and its subflows."""
    _current.set(session)


def log_markdown(spec: SessionSpec, record: SessionRecord) -> str:
    """The iteration log as a person reads it."""
    parts = [f"# Iteration log\n\n**Goal**: {spec.goal}\n"]
    parts += [entry_markdown(iteration) for iteration in record.iterations]
    parts += [log_entry(verdict) for verdict in record.keep.verdicts]
    return "\n".join(parts)


def entry_markdown(iteration: IterationRecord) -> str:
    """One iteration as a section of iteration_log.md."""
    started = datetime.fromtimestamp(iteration.started_at, UTC).strftime("%Y-%m-%d %H:%M:%S")
    seconds = (iteration.finished_at or iteration.started_at) - iteration.started_at
    lines = [
        f"## {iteration.label}",
        "",
        f"- started: {started} UTC, took {seconds:.1f} s, agent {iteration.exit_reason or 'ran'}",
    ]
    if spent := usage_text(iteration):
        lines.append(f"- agent: {spent}")
    if iteration.held_seconds:
        lines.append(
            f"- held up before it for {iteration.held_seconds:.0f} s (rate limit or network)"
        )
    if iteration.why:
        lines.append(f"- why: {iteration.why}")
    if iteration.change:
        lines.append(f"- change ({iteration.change.kind.value}): {iteration.change.text}".rstrip())
    if iteration.promise:
        lines.append(f"- promise: {iteration.promise}")
    if iteration.continue_session is not None:
        lines.append(f"- decision: {'continue' if iteration.continue_session else 'stop'}")
    if iteration.commit:
        lines.append(f"- commit: {iteration.commit[:12]}, {iteration.files_changed} files changed")
    if iteration.tag:
        lines.append(f"- what it changed: `git show {iteration.tag}`")
    if iteration.run_ids:
        lines.append(f"- runs created: {', '.join(iteration.run_ids)}")
    lines += [f"- steered: {text}" for text in iteration.steered]
    lines += [f"- fault: {fault}" for fault in iteration.faults]
    lines += [f"- flagged: {flag}" for flag in iteration.flags]
    lines += [f"- sign of struggle: {sign}" for sign in iteration.signs]
    if iteration.error:
        lines.append(f"- error: {iteration.error}")
    for text in dict.fromkeys([iteration.summary, iteration.reflection]):
        lines += ["", text] if text else []
    return "\n".join(lines) + "\n"


def usage_text(iteration: IterationRecord) -> str:
    """Tokens and cost of a call in a line; empty where the agent tells neither."""
    parts = [iteration.usage.text] if iteration.usage is not None else []
    if iteration.cost_usd is not None:
        parts.append(f"${iteration.cost_usd:.4f}" + " (estimate)" * iteration.cost_is_estimate)
    return ", ".join(parts)
