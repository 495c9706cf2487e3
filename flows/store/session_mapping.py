"""A session and the flow run behind it, read as `Session`."""

from collections import Counter
from pathlib import Path

from prefect.client.schemas.objects import FlowRun
from pydantic import ValidationError

from flows.errors import InvalidRequest
from flows.models.run import Run, RunCounts
from flows.models.session import Session, SessionStatus, TaskProgress
from flows.models.session_options import SessionSpec
from flows.models.session_record import Phase, SessionRecord
from flows.paths import SessionPaths
from flows.project import ProjectConfig, load_project
from flows.protocol.plan import parse_plan, progress
from flows.results import best_result
from flows.spending import spending
from flows.store.base import flow_run_url
from flows.store.states import session_status


def to_session(flow_run: FlowRun, record: SessionRecord | None, runs: list[Run]) -> Session:
    """The session behind a flow run of the research loop; `runs` are its runs."""
    spec, state = spec_of(flow_run), flow_run.state
    status = session_status(state)
    record = record or SessionRecord(session_id=str(flow_run.id))
    paths = SessionPaths.of(spec.workdir, str(flow_run.id))
    best, baseline = best_result(runs, _project_of(spec))
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
        note="" if status.is_terminal else record.note,
        is_active=not status.is_terminal,
        iteration=record.last_index,
        max_iterations=spec.max_iterations,
        started_at=flow_run.start_time.timestamp() if flow_run.start_time else None,
        finished_at=ended_at,
        error=(state.message if state else None) if failed else None,
        branch=record.branch,
        session_dir=str(paths.root),
        runs=RunCounts.of(Counter(run.status for run in runs)),
        tasks=read_progress(paths),
        best=best,
        baseline=baseline,
        history=record.iterations,
        budget=spec.budget,
        spent=spending(record, runs, ended_at),
        usage=record.usage,
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


def _project_of(spec: SessionSpec) -> ProjectConfig | None:
    """The project's wildloop.toml; None where there is none, or somebody has broken it."""
    try:
        return load_project(Path(spec.workdir))
    except InvalidRequest:
        return None


def read_progress(paths: SessionPaths) -> TaskProgress:
    """Open and closed tasks of the session's tasks.md; zeros where there is none yet."""
    try:
        return progress(parse_plan(paths.tasks.read_text(encoding="utf-8", errors="replace")))
    except FileNotFoundError:
        return TaskProgress()
