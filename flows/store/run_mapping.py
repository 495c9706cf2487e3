"""A run and the flow run behind it: tags, labels and parameters, read as `Run`."""

import asyncio
import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from prefect.client.schemas.objects import FlowRun
from pydantic import ValidationError

from wildloop.flows.errors import InvalidRequest
from wildloop.flows.evidence.settings import is_no_setting, is_seed
from wildloop.flows.files.paths import RunPaths
from wildloop.flows.metrics import run_metrics
from wildloop.flows.models.run import Checkout, Run, RunFacts, RunSpec, RunStatus
from wildloop.flows.store.base import EXPERIMENT, flow_run_url
from wildloop.flows.store.states import run_status

LABEL_PREFIX = "wildloop."
EXPERIMENT_TAG = f"wildloop:{EXPERIMENT}"
CHAT_TAG = "chat:"
PRIORITY_TAG = "wildloop:priority"
UNREADABLE = "(its parameters cannot be read)"


def exact_checkout(run: Run) -> Checkout:
    """The code that a run ran.

    Raises:
        InvalidRequest: it is not known.
    """
    if run.git_commit is None:
        raise InvalidRequest(
            f"exact: the commit of run '{run.id}' is not known: it was never launched, or its "
            "workdir is no git repository"
        )
    patch = RunPaths(Path(run.run_dir)).patch
    return Checkout(git_commit=run.git_commit, patch=str(patch) if patch.exists() else None)


def run_tags(spec: RunSpec, front_end_id: str | None = None) -> list[str]:
    """The Prefect tags of a run; `front_end_id` is what a front end calls its session."""
    tags = [EXPERIMENT_TAG]
    if spec.gpus:
        tags.append("gpu")
    if spec.priority:
        tags.append(PRIORITY_TAG)
    if spec.sweep_id:
        tags.append(f"sweep:{spec.sweep_id}")
    if spec.chat_session_id:
        tags.append(f"session:{spec.chat_session_id}")
    if front_end_id:
        tags.append(f"{CHAT_TAG}{front_end_id}")
    return tags


def facts_of(flow_run: FlowRun) -> RunFacts:
    """What execution found out about a run."""
    return RunFacts.model_validate(
        {
            key.removeprefix(LABEL_PREFIX): value
            for key, value in (flow_run.labels or {}).items()
            if key.startswith(LABEL_PREFIX)
        }
    )


def spec_of(flow_run: FlowRun) -> RunSpec:
    """What the run is to run.

    Prefect's API and UI take any parameters. A run whose parameters cannot be read is shown by its
    name, without a command; its flow fails on them, and says why.
    """
    try:
        return readable_spec(flow_run)
    except InvalidRequest:
        return RunSpec.model_construct(name=flow_run.name, command=UNREADABLE)


def readable_spec(flow_run: FlowRun) -> RunSpec:
    """As `spec_of`, to be run again or changed.

    Raises:
        InvalidRequest: its parameters cannot be read.
    """
    try:
        return RunSpec.model_validate(flow_run.parameters.get("spec", {}))
    except ValidationError as error:
        raise InvalidRequest(
            f"run '{flow_run.id}' was created with parameters that cannot be read: create another"
        ) from error


def shown_name(name: str) -> str:
    """A name as it may be printed: a terminal obeys what its control characters say."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in name)


def to_run(flow_run: FlowRun) -> Run:
    """The run behind a flow run of the experiment deployment."""
    spec, facts, state = spec_of(flow_run), facts_of(flow_run), flow_run.state
    status = run_status(state, launched=bool(facts.started_at))
    # When creation was asked for, which is also the order of the queue: the row itself may be
    # written a little later.
    asked = flow_run.expected_start_time or flow_run.created or datetime.now(UTC)
    created = asked.timestamp()
    ended = state.timestamp.timestamp() if state and status.is_terminal else None
    queued_at = facts.queued_at or (None if status is RunStatus.READY else created)
    workdir = spec.workdir or "."
    run_dir = facts.run_dir or str(RunPaths.of(workdir, str(flow_run.id)).root)
    return Run(
        id=str(flow_run.id),
        name=shown_name(flow_run.name),
        command=spec.command,
        workdir=workdir,
        status=status,
        sweep_id=_tagged(flow_run.tags, "sweep:") or spec.sweep_id,
        chat_session_id=spec.chat_session_id,
        front_end_id=_tagged(flow_run.tags, CHAT_TAG),
        researcher=spec.researcher,
        parent_run_id=spec.parent_run_id,
        origin_alert_id=spec.origin_alert_id,
        parameters=spec.parameters,
        seed=spec.seed,
        priority=spec.priority,
        gpus_requested=spec.gpus,
        compute=facts.compute or spec.compute,
        gpu_type=spec.gpu_type,
        gpu_memory_gb=spec.gpu_memory_gb,
        gpuwrap_config=spec.gpuwrap_config,
        timeout_seconds=spec.timeout_seconds,
        created_at=created,
        queued_at=queued_at,
        launched_at=flow_run.start_time.timestamp() if flow_run.start_time else None,
        started_at=facts.started_at or None,
        finished_at=(facts.finished_at or ended) if status.is_terminal else None,
        exit_code=facts.exit_code if status.is_terminal else None,
        error=state.message if state and status is RunStatus.FAILED else None,
        gpus=[device for device in (facts.gpus or "").split(",") if device],
        host=facts.host or None,
        run_dir=run_dir,
        git_commit=facts.git_commit,
        code=facts.code,
        code_lines=facts.code_lines,
        startup=json.loads(facts.startup or "{}"),
        code_note=facts.code_note or "",
        environment=_environment(spec),
        variables=sorted(spec.env or {}),
        violations=json.loads(facts.violations or "[]"),
        shared_files=json.loads(facts.shared_files or "[]"),
        sealed=facts.sealed or "",
        withdrawn=facts.withdrawn or "",
        is_archived=bool(facts.archived),
        attempt=facts.attempt or 0,
        reason=(facts.reason or None) if not status.is_terminal else None,
        job_id=facts.job_id,
        restarts=facts.restarts or 0,
        earlier_seconds=facts.earlier_seconds or 0.0,
        metrics=json.loads(facts.metrics) if facts.metrics else {},
        diverged=json.loads(facts.diverged) if facts.diverged else [],
        is_measured=bool(facts.measured),
        unmeasured=facts.unmeasured or "",
        cpu_seconds=facts.cpu_seconds,
        peak_memory=facts.peak_memory,
        ui_url=flow_run_url(flow_run.id),
    )


async def with_live_metrics(runs: list[Run]) -> list[Run]:
    """The runs, those under way with the last metrics of their folders."""

    def read() -> list[Run]:
        return [
            run.model_copy(update={"metrics": run_metrics(Path(run.run_dir))})
            if run.started_at is not None and not run.metrics
            else run
            for run in runs
        ]

    return await asyncio.to_thread(read)


def _environment(spec: RunSpec) -> str:
    """A digest of what the run's request sets in its environment, but for seeds and outputs."""
    told = sorted(
        (name, value)
        for name, value in (spec.env or {}).items()
        if not is_seed(name) and not is_no_setting(name)
    )
    return hashlib.sha256(repr(told).encode()).hexdigest()[:12] if told else ""


def _tagged(tags: Iterable[str], prefix: str) -> str | None:
    return next((tag.removeprefix(prefix) for tag in tags if tag.startswith(prefix)), None)
