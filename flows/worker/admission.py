"""Which queued runs may start on this host now."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple
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
from wildloop.flows.models.capacity import Room, Waiting, place
from wildloop.flows.models.compute import is_particular
from wildloop.flows.models.run import RunSpec
from wildloop.flows.store.run_mapping import EXPERIMENT_TAG, PRIORITY_TAG, spec_of
from wildloop.flows.store.states import in_states
from wildloop.flows.worker.host import HostCompute
from wildloop.flows.worker.identity import WorkerIdentity

PAGE = 200
PAGES = 10
Demand = Callable[[FlowRun], RunSpec]


class Placed(NamedTuple):
    """A run that may start, and the compute that it is to have."""

    flow_run: FlowRun
    room: str


async def choose(
    client: PrefectClient,
    host: HostCompute,
    held: Mapping[UUID, int],
    offered: Sequence[FlowRun],
    demand: Demand = spec_of,
    bound: int | None = None,
) -> list[Placed]:
    """Those that fit, counted in slots: by priority, then first in, first out.

    The server's count of a queue leaves out runs that are being cancelled, whose processes still
    live, and counts a run as one whatever it holds: so slots are counted here anew.

    Args:
        client: the Prefect client.
        host: the slots and devices of this host, and its further computes.
        held: the slots of each run that this worker drives, or that no worker drives now.
        offered: what the server offers: the oldest, as many as its limit lets through.
        demand: what each asks for.
        bound: the most slots that a shared limit lets through of the first compute; None: there is
            none.
    """
    rooms = _rooms(host, held, bound)
    without = await host.servable.of(client, [run for run in offered if demand(run).gpus == 0])
    free = await _placed(host, rooms, without, demand)
    needy = [run for run in offered if demand(run).gpus > 0]
    if not needy:
        return free
    # A limit of the pool or of a queue that people have lowered lets no more through.
    let_through = len(needy)
    seen = await host.servable.of(client, await _with_preferred(client, host, needy, demand))
    chosen = await _placed(host, rooms, seen, demand)
    if len(chosen) < let_through and (
        len(rooms) > 1 or any(is_particular(demand(r)) for r in seen)
    ):
        # Behind those that wait for one compute there may be others for what is free.
        everyone = [run for run in await _all_queued(client) if demand(run).gpus > 0]
        chosen = await _placed(host, rooms, await host.servable.of(client, everyone), demand)
    return free + chosen[:let_through]


def _rooms(host: HostCompute, held: Mapping[UUID, int], bound: int | None) -> list[Room]:
    """The computes of a host, with what is free of each.

    Of one alone, runs without a GPU are as many as the server lets through.
    """
    offers = host.offers
    taken = [(host.room_of(str(id)), slots) for id, slots in held.items()]
    rooms = []
    for offer in offers:
        is_first = offer is offers[0]
        slots = min(offer.slots, bound) if is_first and bound is not None else offer.slots
        used = sum(count for name, count in taken if name == offer.name)
        counted = {str(id) for id, count in held.items() if count == 0}
        places = None
        if len(offers) > 1 and offer.places is not None:
            places = max(0, offer.places - host.count_in(offer.name, counted))
        rooms.append(
            Room(name=offer.name, slots=slots, free=slots - used, places=places, here=is_first)
        )
    return rooms


async def _placed(
    host: HostCompute, rooms: Sequence[Room], runs: Sequence[FlowRun], demand: Demand
) -> list[Placed]:
    # What no compute of this host can serve is left to others; it must not block the rest.
    fitting = {run.id: tuple(host.rooms_for(demand(run))) for run in runs}
    fits = [run for run in runs if fitting[run.id]]
    if not fits:
        return []
    occupancy = await host.occupancy()
    waiting = [
        _waiting(run, host, occupancy, demand(run)).model_copy(update={"rooms": fitting[run.id]})
        for run in fits
    ]
    by_id = {str(run.id): run for run in fits}
    return [Placed(by_id[id], room) for id, room in place(rooms, waiting).items()]


async def _with_preferred(
    client: PrefectClient, host: HostCompute, offered: list[FlowRun], demand: Demand
) -> list[FlowRun]:
    """Add those that may go before what the server offers.

    The server knows no priorities, and offers no more than its limit: behind runs that ask for
    more than this host has, others would not be seen.
    """
    stuck = not any(host.rooms_for(demand(run)) for run in offered)
    preferred = await _queued(client, [EXPERIMENT_TAG, PRIORITY_TAG])
    if not preferred and not stuck:
        return offered
    oldest = await _queued(client, [EXPERIMENT_TAG])
    known = {run.id: run for run in [*oldest, *preferred, *offered]}
    return [run for run in known.values() if demand(run).gpus > 0]


async def _all_queued(client: PrefectClient) -> list[FlowRun]:
    """The runs that are due, the oldest first; of very many, the first `PAGES` pages."""
    found: dict[UUID, FlowRun] = {}
    for number in range(PAGES):
        page = await _queued(client, [EXPERIMENT_TAG], number * PAGE)
        found |= {run.id: run for run in page}
        if len(page) < PAGE:
            break
    return list(found.values())


async def _queued(client: PrefectClient, tags: list[str], offset: int = 0) -> list[FlowRun]:
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
        offset=offset,
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
        # One GPU of a type is had as soon as one is free: nobody need wait for it.
        lets_by=spec.gpus == 1 and is_particular(spec),
        left_alone=host.devices.free() - host.devices.free(avoided),
        priority=spec.priority,
        queued_at=due.timestamp() if due else created,
        created_at=created,
    )
