"""A session and the flow run behind it, read as `Session`."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from prefect.client.schemas.objects import FlowRun
from pydantic import ValidationError

from wildloop.flows.errors import InvalidRequest
from wildloop.flows.files.paths import SessionPaths
from wildloop.flows.metrics.blind import nothing_measured
from wildloop.flows.metrics.contract import contract_lines
from wildloop.flows.models.contract import SessionContract
from wildloop.flows.models.evidence import Shown
from wildloop.flows.models.run import Run, RunCounts
from wildloop.flows.models.session import Session, SessionStatus, TaskProgress
from wildloop.flows.models.session_options import SessionSpec
from wildloop.flows.models.session_record import (
    IterationRecord,
    Phase,
    SessionRecord,
    SessionSummary,
)
from wildloop.flows.project import ProjectConfig, load_project
from wildloop.flows.protocol.plan import parse_plan, progress
from wildloop.flows.spending import spending
from wildloop.flows.store.base import WAITS_LABEL, flow_run_url
from wildloop.flows.store.states import session_status

LONG_TEXT = 300
LONG_LIST = 5


def to_session(
    flow_run: FlowRun,
    record: SessionRecord | SessionSummary,
    runs: Sequence[Run],
    own: Sequence[Run],
    plan: str | None,
    contract: SessionContract,
    shown: Shown,
    history: Sequence[IterationRecord] = (),
) -> Session:
    """The session behind a flow run of the research loop.

    Args:
        flow_run: of the research loop.
        record: where it stands.
        runs: all its runs.
        own: those that Wildloop has made for it.
        plan: the text of tasks.md, if there is one.
        contract: what it compares by.
        shown: what its runs have shown.
        history: the calls of its agent that are to be shown.
    """
    spec, state = spec_of(flow_run), flow_run.state
    status = session_status(state)
    totals = record.totals
    paths = SessionPaths.of(spec.workdir, str(flow_run.id))
    failed = status is SessionStatus.FAILED
    ended_at = state.timestamp.timestamp() if state and status.is_terminal else None
    return Session(
        session_id=str(flow_run.id),
        chat_session_id=spec.chat_session_id,
        goal=spec.goal,
        workdir=spec.workdir,
        agent=spec.agent,
        status=status,
        phase=Phase.ENDED if status.is_terminal else record.phase,
        note="" if status.is_terminal else (waits_for(flow_run) or record.note),
        is_active=not status.is_terminal,
        iteration=totals.last_index,
        max_iterations=spec.max_iterations,
        started_at=flow_run.start_time.timestamp() if flow_run.start_time else None,
        finished_at=ended_at,
        error=(state.message if state else None) if failed else None,
        branch=record.branch,
        session_dir=str(paths.root),
        runs=RunCounts.of(Counter(run.status for run in runs)),
        own_runs=len(own),
        tasks=progress(parse_plan(plan)) if plan is not None else TaskProgress(),
        sealed=record.sealed,
        contract=contract,
        decides=contract_lines(contract),
        best=shown.best,
        baseline=shown.baseline,
        gain=shown.gain,
        verdict=shown.verdict,
        headline=shown.headline,
        unmeasured=nothing_measured(runs),
        target=shown.target,
        candidates=shown.candidates,
        history=list(history),
        calls=totals.calls,
        breaches=totals.breaches,
        last_breach=totals.last_breach,
        budget=spec.budget,
        spent=spending(record, runs, ended_at),
        usage=totals.usage,
        report_path=record.report_path,
        keep=spec.keep,
        keep_alpha=spec.keep_alpha,
        isolation=spec.isolation,
        ui_url=flow_run_url(flow_run.id),
    )


def spec_of(flow_run: FlowRun) -> SessionSpec:
    """What a session is to do, from its flow run's parameters.

    Prefect's API and UI take any parameters. Of those that cannot be read goal and folder are
    shown as they are; the flow fails on them, and says why.
    """
    given = flow_run.parameters
    try:
        return SessionSpec.of_parameters(given)
    except ValidationError:
        goal, workdir = given.get("goal") or flow_run.name, given.get("workdir") or "."
        return SessionSpec.model_construct(goal=str(goal), workdir=str(workdir))


def waits_for(flow_run: FlowRun) -> str:
    """Why no host takes a session that waits for one; empty where nothing is known of it."""
    is_waiting = flow_run.state is not None and flow_run.state.is_scheduled()
    return str(flow_run.labels.get(WAITS_LABEL, "")) if is_waiting else ""


def in_short(call: IterationRecord) -> IterationRecord:
    """A call with its long texts and lists cut: for what is asked for again and again."""
    return call.model_copy(update={name: _cut(value) for name, value in call})


def _cut(value: object) -> object:
    if isinstance(value, str) and len(value) > LONG_TEXT:
        return f"{value[:LONG_TEXT]}…"
    return [_cut(one) for one in value[:LONG_LIST]] if isinstance(value, list) else value


def project_of(workdir: str) -> ProjectConfig | None:
    """The project's wildloop.toml; None where there is none, or somebody has broken it."""
    try:
        return load_project(Path(workdir))
    except InvalidRequest:
        return None


def read_plan(paths: SessionPaths) -> str | None:
    """The text of the session's tasks.md; None where there is none yet."""
    try:
        return paths.tasks.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
