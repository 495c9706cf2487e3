"""Taking away what is old: flow runs with their logs, artifacts, and folders on this machine.

A session goes as a whole, once it and all its runs ended before the given time: runs of a session
that stays are needed by its report, however old they are. Runs without a session go by themselves,
unless one that stays is a repetition or an evaluation of them. Branches, tags and what git tracks
are the user's. Environments of clones go that no run has been given since. Of events Prefect's API
deletes none: its own retention does.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar, cast
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterTags,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.client.schemas.objects import Artifact, FlowRun
from prefect.client.schemas.sorting import ArtifactSort, LogSort
from prefect.exceptions import ObjectNotFound

from wildloop.flows.models.own_runs import session_behind
from wildloop.flows.models.prune import PrunePlan
from wildloop.flows.models.run import Run
from wildloop.flows.models.sweep import SweepRecord
from wildloop.flows.store import artifacts
from wildloop.flows.store.base import LOOP_TAG, PAGE, every_flow_run
from wildloop.flows.store.evo import STOP_KEY
from wildloop.flows.store.naming import READABLE, readable_key
from wildloop.flows.store.position import LOG_KEY, POSITION_KEY
from wildloop.flows.store.pruned_folders import folders_of, remove_folders, setups_of_clones
from wildloop.flows.store.run_mapping import EXPERIMENT_TAG, to_run
from wildloop.flows.store.session_mapping import spec_of
from wildloop.flows.store.sessions import EVENTS_KEY
from wildloop.flows.store.sweeps import PREFIX as SWEEP_PREFIX

T = TypeVar("T")
# Those of plan and report are as they were before they could be read.
SESSION_KEYS = (POSITION_KEY, LOG_KEY, "plan-", "report-", EVENTS_KEY, STOP_KEY)
# Prefect deletes at most so many by one request, and a filter names no more.
AT_ONCE = 50


async def plan_prune(client: PrefectClient, before: float) -> PrunePlan:
    """What ended before a time (Unix seconds) and may go; nothing is changed."""
    sessions = await every_flow_run(client, _tagged(LOOP_TAG))
    runs = [to_run(one) for one in await every_flow_run(client, _tagged(EXPERIMENT_TAG))]
    old = _old_sessions(sessions, runs, before)
    gone = _old_runs(runs, old, {str(one.id) for one in sessions}, before)
    plan = PrunePlan(before=before, sessions=[one.id for one in old])
    plan.runs = [UUID(run.id) for run in gone]
    for session in old:
        steps = await every_flow_run(client, _tagged(f"session:{session.id}"))
        known = {*plan.runs, *plan.sessions}
        plan.steps += [step.id for step in steps if step.id not in known]
    readable = [
        readable_key(kind, spec_of(one).goal, str(one.id)) for one in old for kind in READABLE
    ]
    readable += await _gone_keys(client, {str(one.id) for one in sessions}, before)
    found = await _artifacts_of(client, plan, runs, readable)
    plan.artifacts = list(found)
    plan.artifact_bytes = sum(len(str(one.data or "").encode()) for one in found.values())
    await _count_logs(client, plan)
    specs = {str(one.id): spec_of(one).workdir for one in old}
    plan.folders, plan.left = await folders_of(gone, specs)
    # A run that goes on has what it was given when it began.
    busy = {run.workdir for run in runs if not run.status.is_terminal}
    idle = {run.workdir for run in runs} - busy
    plan.folders += await setups_of_clones(idle, before)
    return plan


async def prune(client: PrefectClient, plan: PrunePlan) -> None:
    """Take away what was planned; folders first, so that what is cut off can be done again."""
    await remove_folders(plan.folders)
    for artifact in plan.artifacts:
        try:
            await client.delete_artifact(artifact)
        except ObjectNotFound:
            continue
    for ids in _parts(plan.flow_runs):
        wanted = FlowRunFilter(id=FlowRunFilterId(any_=ids))
        # The client has no method for it.
        await client.request(
            "POST",
            cast(Any, "/flow_runs/bulk_delete"),
            json={"flow_runs": wanted.model_dump(mode="json"), "limit": AT_ONCE},
        )


def _old_sessions(sessions: Sequence[FlowRun], runs: Sequence[Run], before: float) -> list[FlowRun]:
    """Those that ended before, as did all their runs."""
    busy = {
        session_behind(run.chat_session_id)
        for run in runs
        if run.chat_session_id is not None and not _is_over(run, before)
    }
    return [
        one
        for one in sessions
        if one.state is not None
        and one.state.is_final()
        and (one.end_time or one.state.timestamp).timestamp() < before
        and str(one.id) not in busy
    ]


def _old_runs(
    runs: Sequence[Run], old: Sequence[FlowRun], known: set[str], before: float
) -> list[Run]:
    """The runs of those sessions, and old ones that belong to none and are needed by none."""
    going = {str(one.id) for one in old}
    of_session = {run.id: session_behind(run.chat_session_id or "") for run in runs}
    found = {
        run.id: run
        for run in runs
        if of_session[run.id] in going
        or (of_session[run.id] not in known and _is_over(run, before))
    }
    needed = {run.parent_run_id for run in runs if run.id not in found}
    return [run for id, run in found.items() if of_session[id] in going or id not in needed]


def _is_over(run: Run, before: float) -> bool:
    ended = run.finished_at or run.created_at
    return run.status.is_terminal and ended < before


async def _artifacts_of(
    client: PrefectClient, plan: PrunePlan, runs: Sequence[Run], keys: Sequence[str]
) -> dict[UUID, Artifact]:
    """All versions of the artifacts that the flow runs wrote, or that are named after them.

    Those of `keys` are among them.
    """
    found: dict[UUID, Artifact] = {}
    for ids in _parts(plan.flow_runs):
        wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=ids))
        found |= await _every_version(client, wanted)
    keys = [*keys, *(f"{prefix}{id}" for id in plan.sessions for prefix in SESSION_KEYS)]
    keys += await _sweep_keys(client, plan, runs)
    for some in _parts(keys):
        found |= await _every_version(client, ArtifactFilter(key=ArtifactFilterKey(any_=some)))
    return found


async def _sweep_keys(client: PrefectClient, plan: PrunePlan, runs: Sequence[Run]) -> list[str]:
    """The artifacts of old sweeps whose session goes, or none of whose runs stays."""
    going, sessions = set(plan.runs), {str(id) for id in plan.sessions}
    staying = {run.sweep_id for run in runs if UUID(run.id) not in going}
    found = await artifacts.latest_by_prefix(client, SWEEP_PREFIX, 100_000)
    keys = []
    for key, artifact in found.items():
        record = SweepRecord.model_validate_json(artifacts.record_of(artifact))
        if record.chat_session_id in sessions or (
            record.id not in staying and record.created_at < plan.before
        ):
            keys.append(key)
    return keys


async def _gone_keys(client: PrefectClient, known: set[str], before: float) -> list[str]:
    """The logs of sessions whose flow run somebody has deleted by hand: they belong to none."""
    found = await artifacts.latest_by_prefix(client, LOG_KEY, 100_000)
    return [
        key
        for key, one in found.items()
        if key.removeprefix(LOG_KEY) not in known
        and one.updated is not None
        and one.updated.timestamp() < before
    ]


async def _every_version(client: PrefectClient, wanted: ArtifactFilter) -> dict[UUID, Artifact]:
    found: dict[UUID, Artifact] = {}
    offset = 0
    while True:
        page = await client.read_artifacts(
            artifact_filter=wanted, sort=ArtifactSort.ID_DESC, limit=PAGE, offset=offset
        )
        found |= {one.id: one for one in page}
        offset += len(page)
        if len(page) < PAGE:
            return found


async def _count_logs(client: PrefectClient, plan: PrunePlan) -> None:
    for ids in _parts(plan.flow_runs):
        wanted = LogFilter(flow_run_id=LogFilterFlowRunId(any_=ids))
        offset = 0
        while True:
            page = await client.read_logs(
                log_filter=wanted, sort=LogSort.TIMESTAMP_ASC, limit=PAGE, offset=offset
            )
            plan.logs += len(page)
            plan.log_bytes += sum(len(line.message.encode()) for line in page)
            offset += len(page)
            if len(page) < PAGE:
                break


def _tagged(tag: str) -> FlowRunFilter:
    return FlowRunFilter(tags=FlowRunFilterTags(all_=[tag]))


def _parts(items: Iterable[T]) -> Iterator[list[T]]:
    left = iter(items)
    while part := list(islice(left, AT_ONCE)):
        yield part
