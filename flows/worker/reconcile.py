"""After a crash: which flow runs are driven by nobody."""

from collections.abc import Container, Sequence
from datetime import UTC, datetime
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound

from wildloop.flows.store.base import LOOP_TAG, PAGE, every_flow_run
from wildloop.flows.store.run_mapping import EXPERIMENT_TAG
from wildloop.flows.store.states import in_states
from wildloop.flows.worker.identity import WorkerIdentity

UNSIGNED_SECONDS = 20.0
NAMES_SHOWN = 5
ASKED = (StateType.CANCELLING, StateType.CANCELLED, StateType.PAUSED)
DELETED = "Deleted"
ACTIVE = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
HELD_BY_A_PROCESS = [*ACTIVE, StateType.PAUSED]


async def active(client: PrefectClient) -> list[FlowRun]:
    """Every session and experiment that a worker has claimed and that has not ended."""
    return await _in_states(client, [EXPERIMENT_TAG, LOOP_TAG], ACTIVE)


def orphans(
    active: Sequence[FlowRun],
    held: Container[UUID],
    me: WorkerIdentity,
    taken: Container[UUID] = (),
) -> list[FlowRun]:
    """The flow runs of this host that nobody drives: none of those in `held`.

    Those in `taken` are known to have been claimed by a worker of this host, signed or not.
    """
    now = datetime.now(UTC)
    return [
        run
        for run in active
        if run.id not in held
        and (is_orphan(run, me, now) or (run.infrastructure_pid is None and run.id in taken))
    ]


def is_orphan(flow_run: FlowRun, me: WorkerIdentity, now: datetime) -> bool:
    """Whether nobody drives this active flow run, which is not held by worker `me`.

    It was mine, and I lost it when the Prefect server did not answer; or its worker's process is
    gone, told by pid and start time; or it was claimed and never signed, long enough ago. A run
    of another host is left to that host's worker.
    """
    owner = WorkerIdentity.parse(flow_run.infrastructure_pid)
    if owner is not None:
        return owner == me or owner.is_dead() is True
    state = flow_run.state
    return state is not None and (now - state.timestamp).total_seconds() > UNSIGNED_SECONDS


async def requests(client: PrefectClient, held: Sequence[UUID]) -> list[tuple[UUID, str]]:
    """Those of the flow runs `held` that someone has cancelled, paused or deleted, and which."""
    found: list[tuple[UUID, str]] = []
    for start in range(0, len(held), PAGE):
        wanted = list(held[start : start + PAGE])
        flow_runs = await read(client, wanted)
        found += [
            (run.id, run.state.name or "")
            for run in flow_runs
            if run.state is not None and run.state.type in ASKED
        ]
        missing = set(wanted) - {run.id for run in flow_runs}
        found += [(id, DELETED) for id in missing if await _is_deleted(client, id)]
    return found


async def read(client: PrefectClient, ids: list[UUID]) -> list[FlowRun]:
    """Those of at most a page of flow runs that are there."""
    return await client.read_flow_runs(
        flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=ids)), limit=PAGE
    )


async def _is_deleted(client: PrefectClient, flow_run_id: UUID) -> bool:
    try:
        await client.read_flow_run(flow_run_id)
    except ObjectNotFound:
        return True
    return False


async def paused_and_left(client: PrefectClient) -> list[FlowRun]:
    """The sessions of this host that were paused while nobody drove them: an agent may work."""
    found = await _in_states(client, [LOOP_TAG], [StateType.PAUSED])
    owners = [(WorkerIdentity.parse(run.infrastructure_pid), run) for run in found]
    return [run for owner, run in owners if owner is not None and owner.is_dead()]


async def _in_states(
    client: PrefectClient, tags: list[str], types: list[StateType]
) -> list[FlowRun]:
    wanted = FlowRunFilter(tags=FlowRunFilterTags(any_=tags), state=in_states(types))
    return await every_flow_run(client, wanted)


def taken_up_note(adopted: Sequence[FlowRun]) -> str:
    """What a worker says at its start of the sessions and runs that it took up again."""
    sessions = [run.name for run in adopted if LOOP_TAG in run.tags]
    runs = [run.name for run in adopted if EXPERIMENT_TAG in run.tags]
    parts = [
        f"{word}{'s' if len(names) > 1 else ''} "
        + ", ".join(names[:NAMES_SHOWN])
        + (f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else "")
        for word, names in (("session", sessions), ("run", runs))
        if names
    ]
    return f"taken up again: {'; '.join(parts)}" if parts else ""
