"""The experiment flow: one run, from launch (or adoption) to its one true outcome."""

import asyncio
import json
import socket
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.exceptions import Abort
from prefect.logging import get_run_logger
from prefect.runtime import flow_run as runtime
from prefect.states import AwaitingRetry, Cancelled, Completed, Failed, Scheduled

from wildloop.blocks.launchers.base import LaunchFailed, ProcessState, ProcessStatus
from wildloop.blocks.launchers.record import cpu_seconds, peak_memory
from wildloop.flows.alerts.unmeasured import is_trained, unmeasured_finding
from wildloop.flows.alerts.waiting import WaitWatch, aside_finding
from wildloop.flows.alerts.watch import watch_run
from wildloop.flows.errors import WildloopError
from wildloop.flows.files.disk import when_there_is_room
from wildloop.flows.files.manifest import Manifest, finish_manifest, startup_note
from wildloop.flows.files.paths import RunPaths
from wildloop.flows.git import repository
from wildloop.flows.guards.leaks import mask_token
from wildloop.flows.guards.runs import RunGuard, verdict
from wildloop.flows.metrics import final_metrics
from wildloop.flows.metrics.missing import unmeasured, wanted_names
from wildloop.flows.metrics.names import match
from wildloop.flows.metrics.sealed import seal
from wildloop.flows.models.metrics import RunMetrics
from wildloop.flows.models.own_runs import session_behind
from wildloop.flows.models.run import RunFacts, RunSpec
from wildloop.flows.run import checkout
from wildloop.flows.run.artifact import Ended, attach_artifact
from wildloop.flows.run.attempts import begin_next
from wildloop.flows.run.bytecode import remove_bytecode
from wildloop.flows.run.checkout import worktree_of
from wildloop.flows.run.code import why_unknown
from wildloop.flows.run.control import current_control
from wildloop.flows.run.elsewhere import CannotServe, code_given
from wildloop.flows.run.execution import Execution, Outcome, launch_fault
from wildloop.flows.run.launch_record import write_manifest
from wildloop.flows.run.progress import shown_progress
from wildloop.flows.run.sending import sent_along
from wildloop.flows.run.shared_files import shared_files
from wildloop.flows.settings import Settings
from wildloop.flows.store.alerts import AlertStore
from wildloop.flows.store.hosts import live_hosts
from wildloop.flows.store.runs import RunStore
from wildloop.flows.store.session_mapping import project_of

T = TypeVar("T")
WAIT_SECONDS = 1.0


@flow(name="experiment", persist_result=False, validate_parameters=True)
async def experiment(spec: RunSpec) -> State[Any]:
    """Run one command as a tracked experiment.

    Args:
        spec: what to run: command, working directory, parameters, GPUs, time-out.
    """
    async with sent_along(spec, str(runtime.id)) as sending:
        outcome = await execute(spec, str(runtime.id))
        sending.has_ended = outcome.status not in ("detached", "requeued")
        if sending.has_ended and (spec.checkout is not None or _was_given_code(spec)):
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
                await control.guards.find(
                    client, settings.home, session_behind(spec.chat_session_id)
                )
            )
        try:
            status = await execution.begin()
        except CannotServe as error:
            await _note_fault(AlertStore(client, settings), execution, str(error))
            return await _left_to_others(store, execution, str(error))
        except (LaunchFailed, OSError, WildloopError) as error:
            if not isinstance(error, WildloopError):
                await _note_fault(AlertStore(client, settings), execution, str(error))
            return launch_fault(error)
        finally:
            control.launched.set()
        if status.state is ProcessState.ABSENT:
            return Outcome(status="stopped", message="stopped before it was launched")
        control.launchers.note_launch(None)
        alerts = AlertStore(client, settings)
        recording = asyncio.create_task(_record_launch(store, alerts, execution, status))
        following = asyncio.create_task(_record_changes(store, alerts, execution, recording))
        try:
            async with (
                shown_progress(store, execution, status.started_at),
                watch_run(execution, status, alerts) as watch,
            ):
                outcome = await _believed(execution, await execution.follow(status))
        finally:
            await _finish(recording, cut_short=control.reason is not None)
            await _let_go(following)
        if outcome.status == "detached":
            return outcome
        if outcome.retry is not None:
            await watch.ended(outcome)
            return await _requeue(store, execution, outcome)
        finished = await _record_end(store, execution, outcome)
        # What it came to is on record before anybody is told.
        await watch.ended(outcome)
        if finished is not None and finished.unmeasured:
            await _tell_unmeasured(store, alerts, execution, finished)
        return outcome


async def _note_fault(alerts: AlertStore, execution: Execution, fault: str) -> None:
    """Count a run that could not be launched here; of several in a row the user is told."""
    if execution.control.launchers.note_launch(fault):
        found = aside_finding(socket.gethostname(), fault)
        await alerts.report(execution.run_id, execution.spec.chat_session_id, found)


async def _anew(store: RunStore, ended: Execution) -> Execution:
    """Another attempt of a run that had ended and was put into the queue again by Prefect."""
    following = await asyncio.to_thread(begin_next, ended.paths)
    facts = RunFacts(attempt=following.number, started_at=0.0)
    await store.write_facts(UUID(ended.run_id), facts)
    return Execution(ended.spec, ended.run_id, ended.workdir, ended.control)


async def _believed(execution: Execution, outcome: Outcome) -> Outcome:
    """The outcome, or a failure where protected files were written to meanwhile."""
    if outcome.status != "finished":
        await execution.guard.let_go()
        return outcome
    control = execution.control
    if control.is_adopted and execution.is_here:
        execution.violations.append("its end was not seen by the worker that had started it")
    if (outside := execution.guard.outside(execution.workdir)) is not None:
        execution.violations.append(outside)
    status = await execution.launcher.status(execution.paths.root)
    checked_out = execution.spec.checkout is not None
    cwd = worktree_of(execution.workdir, execution.run_id) if checked_out else execution.workdir
    violations = await execution.guard.changed_since(status.started_at, cwd)
    if not violations:
        return outcome
    execution.violations += [bad.text for bad in violations]
    return Outcome(status="failed", message=verdict(violations), exit_code=outcome.exit_code)


def _was_given_code(spec: RunSpec) -> bool:
    workdir = Path(spec.workdir or Settings.from_environment().workdir)
    return code_given(RunPaths.of(workdir, str(runtime.id))) is not None


async def _release(spec: RunSpec, run_id: str) -> None:
    workdir = Path(spec.workdir or Settings.from_environment().workdir)
    try:
        await checkout.release(workdir, run_id)
    except (repository.GitError, OSError) as error:
        # The run has its outcome; what is left is taken away when its session ends.
        get_run_logger().warning("the worktree of the run was not tidied: %s", error)


async def _record_launch(
    store: RunStore, alerts: AlertStore, execution: Execution, status: ProcessStatus
) -> None:
    """Note why the command waits, for as long as it does; then what it is as it starts."""
    waited = status.state is ProcessState.PENDING
    if waited:
        status = await _record_wait(store, alerts, execution, status)
    manifest = await write_manifest(execution, status)
    await store.write_facts(
        UUID(execution.run_id),
        RunFacts(
            started_at=manifest.started_at,
            host=manifest.host,
            gpus=",".join(manifest.devices),
            compute=execution.control.compute,
            run_dir=str(execution.paths.root),
            git_commit=manifest.git_commit,
            code=manifest.code,
            code_lines=manifest.code_lines,
            startup=startup_note(manifest),
            attempt=execution.attempt.number or None,
            # What held it back until now, or another host has said of it, holds no longer.
            reason="" if waited or not execution.attempt.number else None,
            job_id=status.job_id,
            **_again(status),
        ),
    )


async def _record_wait(
    store: RunStore, alerts: AlertStore, execution: Execution, status: ProcessStatus
) -> ProcessStatus:
    """Note why a command waits in a scheduler's queue, and tell of what does not end by itself."""
    known: str | None = None
    watch, told = WaitWatch(), set[str]()
    while status.state is ProcessState.PENDING:
        if status.reason != known:
            known = status.reason
            facts = RunFacts(reason=known, job_id=status.job_id)
            await store.write_facts(UUID(execution.run_id), facts)
        found = watch.see(time.monotonic(), status.reason or "")
        if found is not None and found.key not in told:
            told.add(found.key)
            await alerts.report(execution.run_id, execution.spec.chat_session_id, found)
        await asyncio.sleep(WAIT_SECONDS)
        status = await execution.launcher.status(execution.paths.root)
    return status


async def _record_changes(
    store: RunStore, alerts: AlertStore, execution: Execution, launch: "asyncio.Task[None]"
) -> None:
    """Note when a scheduler takes the command off its host, and where it has begun anew."""
    if execution.is_here:
        return
    await asyncio.wait({launch})
    root, flow_run_id = execution.paths.root, UUID(execution.run_id)
    status = before = await execution.launcher.status(root)
    while status.state in (ProcessState.RUNNING, ProcessState.PENDING):
        if status.state is ProcessState.PENDING:
            gone = RunFacts(started_at=0.0, host="", gpus="", **_again(status, before))
            await store.write_facts(flow_run_id, gone)
            status = await _record_wait(store, alerts, execution, status)
            if status.started_at is not None:
                await _record_start(store, execution, status)
        elif (status.started_at, status.reason) != (before.started_at, before.reason):
            await _record_start(store, execution, status)
        before = status
        await asyncio.sleep(WAIT_SECONDS)
        status = await execution.launcher.status(root)


async def _record_start(store: RunStore, execution: Execution, status: ProcessStatus) -> None:
    manifest = await write_manifest(execution, status)
    facts = RunFacts(
        started_at=manifest.started_at,
        host=manifest.host,
        gpus=",".join(manifest.devices),
        reason=status.reason or "",
        **_again(status),
    )
    await store.write_facts(UUID(execution.run_id), facts)


def _again(status: ProcessStatus, before: ProcessStatus | None = None) -> dict[str, Any]:
    """What is to be noted of a command's earlier starts; of most there are none."""
    seconds = status.earlier_seconds
    if before is not None and before.started_at is not None:
        seconds = before.earlier_seconds + max(0.0, time.time() - before.started_at)
    if not status.restarts:
        return {}
    return {"restarts": status.restarts, "earlier_seconds": seconds}


async def _finish(recording: "asyncio.Task[None]", cut_short: bool) -> None:
    """Await the record of the launch; one that still waits for Slurm is given up at a stop."""
    if cut_short:
        _, late = await asyncio.wait({recording}, timeout=5.0)
        if late:
            recording.cancel()
            await asyncio.wait({recording})
            return
    await recording


async def _let_go(following: "asyncio.Task[None]") -> None:
    following.cancel()
    await asyncio.wait({following})
    if not following.cancelled() and (fault := following.exception()) is not None:
        # The outcome does not hang on it: what was shown meanwhile does.
        get_run_logger().error("where the run was begun anew was not noted", exc_info=fault)


async def _requeue(store: RunStore, execution: Execution, outcome: Outcome) -> Outcome:
    """Put a failed run back into the queue for another attempt; its slot is free meanwhile."""
    retry, flow_run_id = outcome.retry, UUID(execution.run_id)
    assert retry is not None
    # The labels tell of the run as a whole; what this attempt came to stands in its manifest.
    if execution.paths.manifest.exists():
        await _write(execution, lambda: _finish_files(execution.paths, outcome))
    following = await _write(execution, lambda: begin_next(execution.paths))
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


async def _left_to_others(store: RunStore, execution: Execution, why: str) -> Outcome:
    """Put a run that this host cannot serve back into the queue; fail it where there is no other.

    It keeps its place in the queue.
    """
    host, flow_run_id = socket.gethostname(), UUID(execution.run_id)
    if all(one.host == host for one in await live_hosts(store.client)):
        return launch_fault(WildloopError(why))
    execution.control.launchers.refuse(execution.run_id)
    reason = f"left to other hosts by '{host}': {why}"
    get_run_logger().warning(reason)
    await store.write_facts(flow_run_id, RunFacts(reason=reason))
    flow_run = await store.client.read_flow_run(flow_run_id)
    due = flow_run.expected_start_time or datetime.now(UTC)
    again: State[Any] = Scheduled(scheduled_time=due, message=reason)
    await store.client.set_flow_run_state(flow_run_id, again, force=True)
    return Outcome(status="requeued", message=reason)


async def _tell_unmeasured(
    store: RunStore, alerts: AlertStore, execution: Execution, finished: RunFacts
) -> None:
    """Raise an alert where a session's first run has ended without the session's metric."""
    session_id = execution.spec.chat_session_id
    if session_id is None:
        return
    others = await store.all(chat_session_id=session_id)
    found = unmeasured_finding(finished.unmeasured or "", execution.run_id, others)
    if found is not None:
        await alerts.report(execution.run_id, session_id, found)


async def _record_end(store: RunStore, execution: Execution, outcome: Outcome) -> RunFacts | None:
    """Write what the run came to; None where it was never launched."""
    if not execution.paths.manifest.exists():
        return None
    token = store.settings.token
    await _write(
        execution,
        lambda: mask_token(
            execution.paths.root,
            [execution.paths.log.name, execution.paths.metrics.name],
            token.get_secret_value() if token else None,
        ),
    )
    status = await execution.launcher.status(execution.paths.root)
    begun = await write_manifest(execution, status)
    note = await why_unknown(execution)
    session_id = execution.spec.chat_session_id
    wanted = await asyncio.to_thread(wanted_names, execution.workdir, session_id)
    trains = await asyncio.to_thread(is_trained, execution.workdir, execution.spec.command)
    own = execution.spec.metric
    finished, metrics, manifest = await _write(
        execution, lambda: _finish_files(execution.paths, outcome, wanted, trains, own)
    )
    finished.code_note = note or None
    if status.restarts:
        finished = finished.model_copy(
            update={
                "started_at": begun.started_at,
                "host": begun.host,
                "gpus": ",".join(begun.devices),
                **_again(status),
            }
        )
    if execution.violations:
        finished.violations = json.dumps(execution.violations)
    if shared := await asyncio.to_thread(shared_files, execution.paths, execution.workdir):
        finished.shared_files = json.dumps(shared)
    ended = Ended(
        execution.spec,
        execution.run_id,
        execution.paths,
        manifest,
        outcome,
        finished,
        metrics,
        await asyncio.to_thread(project_of, str(execution.workdir)),
        execution.violations,
    )
    await asyncio.gather(
        store.write_facts(UUID(execution.run_id), finished),
        attach_artifact(store.client, execution, ended),
    )
    return finished


async def _write(execution: Execution, work: Callable[[], T]) -> T:
    """Write to the run's folder: on a full disk, once it has room."""
    return await when_there_is_room(work, execution.paths.root)


def _finish_files(
    paths: RunPaths,
    outcome: Outcome,
    wanted: Sequence[str] = (),
    trains: bool | None = False,
    own: str | None = None,
) -> tuple[RunFacts, RunMetrics, Manifest]:
    metrics = final_metrics(paths.root, wanted)
    has_own = own is not None and match(own, metrics.series).found is not None
    is_blind = outcome.status == "finished" and not has_own
    lacking = unmeasured(metrics, trains) if is_blind else ""
    has_value = has_own or any(one.wanted in metrics.last for one in metrics.taken[:1])
    manifest: Manifest = finish_manifest(paths, outcome.status, outcome.exit_code)
    remove_bytecode(paths)
    facts = RunFacts(
        finished_at=manifest.finished_at,
        sealed=seal(paths.root, manifest.started_at, manifest.finished_at),
        exit_code=outcome.exit_code,
        metrics=json.dumps(metrics.last),
        diverged=json.dumps(metrics.diverged) if metrics.diverged else None,
        unmeasured=lacking or None,
        measured=has_value or None,
        cpu_seconds=cpu_seconds(paths.root),
        peak_memory=peak_memory(paths.root),
    )
    return facts, metrics, manifest
