"""Which queued runs may start on this host now."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterNextScheduledStartTime,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort

from wildloop.blocks.cluster.contention import Occupancy
from wildloop.flows.models.capacity import Waiting, admit
from wildloop.flows.models.run import RunSpec
from wildloop.flows.store.run_mapping import EXPERIMENT_TAG, PRIORITY_TAG, spec_of
from wildloop.flows.store.states import in_states
from wildloop.flows.worker.host import HostCompute
from wildloop.flows.worker.identity import WorkerIdentity

PAGE = 200
Demand = Callable[[FlowRun], RunSpec]


async def choose(
    client: PrefectClient,
    host: HostCompute,
    held: Mapping[UUID, int],
    offered: Sequence[FlowRun],
    demand: Demand = spec_of,
    bound: int | None = None,
) -> list[FlowRun]:
    """Those that fit, counted in slots: by priority, then first in, first out.

    The server's count of a queue leaves out runs that are being cancelled, whose processes still
    live, and counts a run as one whatever it holds: so slots are counted here anew.

    Args:
        client: the Prefect client.
        host: the slots and devices of this host.
        held: the slots of each run that this worker drives, or that no worker drives now.
        offered: what the server offers: the oldest, as many as its limit lets through.
        demand: what each asks for.
        bound: the most slots that a shared limit lets through; None: there is none.
    """
    free = await host.servable.of(client, [run for run in offered if demand(run).gpus == 0])
    needy = [run for run in offered if demand(run).gpus > 0]
    if not needy:
        return free
    # A limit of the pool or of a queue that people have lowered lets no more through.
    let_through = len(needy)
    occupancy = await host.occupancy()
    needy = await host.servable.of(client, await _with_preferred(client, host, needy, demand))
    # What asks for more than there is here is left to other hosts; it must not block the rest.
    slots = host.slots if bound is None else min(host.slots, bound)
    needy = [run for run in needy if demand(run).gpus <= min(host.largest, slots)]
    chosen = admit(
        slots,
        [count for count in held.values() if count],
        [_waiting(run, host, occupancy, demand(run)) for run in needy],
    )[:let_through]
    by_id = {str(run.id): run for run in needy}
    return free + [by_id[id] for id in chosen]


async def _with_preferred(
    client: PrefectClient, host: HostCompute, offered: list[FlowRun], demand: Demand
) -> list[FlowRun]:
    """Add those that may go before what the server offers.

    The server knows no priorities, and offers no more than its limit: behind runs that ask for
    more than this host has, others would not be seen.
    """
    stuck = all(demand(run).gpus > host.largest for run in offered)
    preferred = await _queued(client, [EXPERIMENT_TAG, PRIORITY_TAG])
    if not preferred and not stuck:
        return offered
    oldest = await _queued(client, [EXPERIMENT_TAG])
    known = {run.id: run for run in [*oldest, *preferred, *offered]}
    return [run for run in known.values() if demand(run).gpus > 0]


async def _queued(client: PrefectClient, tags: list[str]) -> list[FlowRun]:
    return await client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            tags=FlowRunFilterTags(all_=tags),
            state=in_states([StateType.SCHEDULED]),
            next_scheduled_start_time=FlowRunFilterNextScheduledStartTime(
                before_=datetime.now(UTC)
            ),
        ),
        sort=FlowRunSort.EXPECTED_START_TIME_ASC,
        limit=PAGE,
    )


def may_hold_slots(flow_run: FlowRun, me: WorkerIdentity) -> bool:
    """Whether an active flow run that worker `me` does not drive may hold slots of its host."""
    owner = WorkerIdentity.parse(flow_run.infrastructure_pid)
    here = owner is None or owner.host == me.host
    return here and EXPERIMENT_TAG in flow_run.tags and spec_of(flow_run).gpus > 0


def _waiting(
    flow_run: FlowRun, host: HostCompute, occupancy: Occupancy | None, spec: RunSpec
) -> Waiting:
    """A queued flow run as the capacity rules see it."""
    state = flow_run.state
    due = state.state_details.scheduled_time if state else None
    created = flow_run.created.timestamp() if flow_run.created else 0.0
    avoided = host.avoided(spec, occupancy)
    return Waiting(
        id=str(flow_run.id),
        gpus=spec.gpus,
        left_alone=host.devices.free() - host.devices.free(avoided),
        priority=spec.priority,
        queued_at=due.timestamp() if due else created,
        created_at=created,
    )
