"""The experiment flow: one run, from launch (or adoption) to its one true outcome."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.exceptions import Abort
from prefect.logging import get_run_logger
from prefect.runtime import flow_run as runtime
from prefect.states import AwaitingRetry, Cancelled, Completed, Failed

from blocks.launchers.base import LaunchFailed, ProcessState, ProcessStatus
from flows import checkout, git
from flows.alerts.watch import watch_run
from flows.attempts import begin_next
from flows.control import current_control
from flows.errors import WildloopError
from flows.execution import Execution, Outcome, launch_fault
from flows.guards.leaks import mask_token
from flows.guards.runs import RunGuard, verdict
from flows.manifest import Manifest, finish_manifest, write_manifest
from flows.metrics import run_metrics
from flows.models.run import RunFacts, RunSpec
from flows.paths import RunPaths
from flows.settings import Settings
from flows.store.alerts import AlertStore
from flows.store.runs import RunStore


@flow(name="experiment", persist_result=False, validate_parameters=True)
async def experiment(spec: RunSpec) -> State[Any]:
    """Run one command as a tracked experiment.

    Args:
        spec: what to run: command, working directory, parameters, GPUs, time-out.
    """
    outcome = await execute(spec, str(runtime.id))
    if spec.checkout is not None and outcome.status not in ("detached", "requeued"):
        await _release(spec, str(runtime.id))
    match outcome.status:
        case "finished":
            return Completed(message=outcome.message)
        case "stopped":
            return Cancelled(message=outcome.message)
        case "detached" | "requeued":
            # The state is right as it is: the next worker adopts the run, or takes it up anew.
            raise Abort(outcome.message)
        case _:
            return Failed(message=outcome.message)


@task(name="execute", tags={"gpu"}, task_run_name="execute", cache_policy=NO_CACHE, retries=0)
async def execute(spec: RunSpec, run_id: str) -> Outcome:
    """Launch the command, or attach to it if it was launched before, and wait for its end."""
    settings, control = Settings.from_environment(), current_control()
    execution = Execution(spec, run_id, Path(spec.workdir or settings.workdir), control)
    async with get_client() as client:
        store = RunStore(client, settings)
        if not control.is_adopted and await execution.has_ended():
            execution = await _anew(store, execution)
        if spec.chat_session_id is not None:
            execution.guard = RunGuard(
                await control.guards.find(client, settings.home, spec.chat_session_id)
            )
        try:
            status = await execution.begin()
        except (LaunchFailed, OSError, WildloopError) as error:
            return launch_fault(error)
        finally:
            control.launched.set()
        if status.state is ProcessState.ABSENT:
            return Outcome(status="stopped", message="stopped before it was launched")
        recording = asyncio.create_task(_record_launch(store, execution, status))
        try:
            async with watch_run(execution, status, AlertStore(client, settings)) as watch:
                outcome = await _believed(execution, await execution.follow(status))
        finally:
            await _finish(recording, cut_short=control.reason is not None)
        await watch.ended(outcome)
        if outcome.status == "detached":
            return outcome
        if outcome.retry is not None:
            return await _requeue(store, execution, outcome)
        await _record_end(store, execution, outcome)
        return outcome


async def _anew(store: RunStore, ended: Execution) -> Execution:
    """Another attempt of a run that had ended and was put into the queue again by Prefect."""
    following = await asyncio.to_thread(begin_next, ended.paths)
    facts = RunFacts(attempt=following.number, started_at=0.0)
    await store.write_facts(UUID(ended.run_id), facts)
    return Execution(ended.spec, ended.run_id, ended.workdir, ended.control)


async def _believed(execution: Execution, outcome: Outcome) -> Outcome:
    """The outcome, or a failure where protected files were written to meanwhile."""
    if outcome.status != "finished":
        return outcome
    status = await execution.launcher.status(execution.paths.root)
    violations = await execution.guard.changed_since(status.started_at)
    if not violations:
        return outcome
    return Outcome(status="failed", message=verdict(violations), exit_code=outcome.exit_code)


async def _release(spec: RunSpec, run_id: str) -> None:
    workdir = Path(spec.workdir or Settings.from_environment().workdir)
    try:
        await checkout.release(workdir, run_id)
    except (git.GitError, OSError) as error:
        # The run has its outcome; what is left is taken away when its session ends.
        get_run_logger().warning("the worktree of the run was not tidied: %s", error)


async def _record_launch(store: RunStore, execution: Execution, status: ProcessStatus) -> None:
    flow_run_id, root = UUID(execution.run_id), execution.paths.root
    known: str | None = None
    while status.state is ProcessState.PENDING:
        if status.reason != known:
            known = status.reason
            await store.write_facts(flow_run_id, RunFacts(reason=known, job_id=status.job_id))
        await asyncio.sleep(1.0)
        status = await execution.launcher.status(root)
    manifest = await write_manifest(execution, status)
    await store.write_facts(
        flow_run_id,
        RunFacts(
            started_at=manifest.started_at,
            host=manifest.host,
            gpus=",".join(manifest.devices),
            run_dir=str(root),
            git_commit=manifest.git_commit,
            attempt=execution.attempt.number or None,
            reason="" if known else None,
            job_id=status.job_id,
        ),
    )


async def _finish(recording: "asyncio.Task[None]", cut_short: bool) -> None:
    """Await the record of the launch; one that still waits for Slurm is given up at a stop."""
    if cut_short:
        _, late = await asyncio.wait({recording}, timeout=5.0)
        if late:
            recording.cancel()
            await asyncio.wait({recording})
            return
    await recording


async def _requeue(store: RunStore, execution: Execution, outcome: Outcome) -> Outcome:
    """Put a failed run back into the queue for another attempt; its slot is free meanwhile."""
    retry, flow_run_id = outcome.retry, UUID(execution.run_id)
    assert retry is not None
    # The labels tell of the run as a whole; what this attempt came to stands in its manifest.
    if execution.paths.manifest.exists():
        await asyncio.to_thread(_finish_files, execution.paths, outcome)
    following = await asyncio.to_thread(begin_next, execution.paths)
    await store.write_facts(
        flow_run_id,
        RunFacts(attempt=following.number, started_at=0.0, reason=f"{outcome.message}; retry"),
    )
    due = datetime.now(UTC) + timedelta(seconds=retry.delay_seconds)
    await store.client.set_flow_run_state(
        flow_run_id,
        AwaitingRetry(scheduled_time=due, message=f"{outcome.message}; {retry.message}"),
        force=True,
    )
    return Outcome(status="requeued", message=retry.message)


async def _record_end(store: RunStore, execution: Execution, outcome: Outcome) -> None:
    if not execution.paths.manifest.exists():
        return
    token = store.settings.token
    await asyncio.to_thread(
        mask_token,
        execution.paths.root,
        [execution.paths.log.name, execution.paths.metrics.name],
        token.get_secret_value() if token else None,
    )
    finished = await asyncio.to_thread(_finish_files, execution.paths, outcome)
    await store.write_facts(UUID(execution.run_id), finished)


def _finish_files(paths: RunPaths, outcome: Outcome) -> RunFacts:
    metrics = run_metrics(paths.root)
    manifest: Manifest = finish_manifest(paths, outcome.status, outcome.exit_code)
    return RunFacts(
        finished_at=manifest.finished_at,
        exit_code=outcome.exit_code,
        metrics=json.dumps(metrics),
    )
