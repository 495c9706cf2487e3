"""Which queued runs may start on this host now."""

import asyncio
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
from wildloop.flows.models.capacity import Plan, Room, Turns, Waiting, plan
from wildloop.flows.models.compute import is_particular
from wildloop.flows.models.run import RunSpec
from wildloop.flows.store.run_mapping import EXPERIMENT_TAG, PRIORITY_TAG, spec_of
from wildloop.flows.store.states import in_states
from wildloop.flows.worker.host import HostCompute
from wildloop.flows.worker.identity import WorkerIdentity
from wildloop.flows.worker.keeping import Keeping
from wildloop.flows.worker.turns import TurnBook, longest_seconds, owner_of

PAGE = 200
PAGES = 10
Demand = Callable[[FlowRun], RunSpec]


class Placed(NamedTuple):
    """A run that may start, and the compute that it is to have."""

    flow_run: FlowRun
    room: str


class Rules:
    """Who comes first, and who is waited for.

    Args:
        turns: whose turn it is; None: nobody takes turns.
        keeping: for whom slots are kept; None: for each run that wants more than what is free.
    """

    def __init__(self, turns: TurnBook | None = None, keeping: Keeping | None = None) -> None:
        self.turns, self.keeping = turns, keeping

    async def others(self, client: PrefectClient, offered: Sequence[FlowRun]) -> list[FlowRun]:
        """Runs of those who take turns with the owners of what is offered."""
        if self.turns is None:
            return []
        return await self.turns.others(client, offered, len(offered))

    async def let_by(
        self, client: PrefectClient, runs: Sequence[FlowRun], demand: Demand
    ) -> set[UUID]:
        """Those that hold nobody up."""
        if self.keeping is None:
            # One GPU of a type is had as soon as one is free: nobody need wait for it.
            asked = [(run.id, demand(run)) for run in runs]
            return {id for id, spec in asked if spec.gpus == 1 and is_particular(spec)}
        kept_for = await self.keeping.due(client, runs, demand)
        return {run.id for run in runs} - kept_for


async def choose(
    client: PrefectClient,
    host: HostCompute,
    held: Mapping[UUID, int],
    offered: Sequence[FlowRun],
    demand: Demand = spec_of,
    bound: int | None = None,
    rules: Rules | None = None,
) -> list[Placed]:
    """Those that fit, counted in slots: by priority, by turns, then first in, first out.

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
        rules: who comes first, and who is waited for.
    """
    rules = rules or Rules()
    without = await host.servable.of(client, [run for run in offered if demand(run).gpus == 0])
    free, _ = await _placed(client, host, held, without, demand, bound, Rules())
    needy = [run for run in offered if demand(run).gpus > 0]
    if not needy:
        return free
    # A limit of the pool or of a queue that people have lowered lets no more through.
    let_through = len(needy)
    listed = await _with_preferred(client, host, needy, demand, rules)
    seen = await host.servable.of(client, listed)
    chosen, made = await _placed(client, host, held, seen, demand, bound, rules)
    is_varied = len(host.offers) > 1 or any(is_particular(demand(run)) for run in seen)
    has_room = made is None or made.is_open
    has_passed = made is not None and made.passed
    if len(chosen) < let_through and has_room and (is_varied or has_passed):
        # Behind those that wait for more than what is free, or for one compute, there may be
        # others for it.
        everyone = [run for run in await _all_queued(client) if demand(run).gpus > 0]
        served = await host.servable.of(client, everyone)
        chosen, made = await _placed(client, host, held, served, demand, bound, rules)
    if rules.keeping is not None and made is not None:
        rules.keeping.look(made.passed, made.chosen)
    return free + chosen[:let_through]


def _rooms(
    host: HostCompute, held: Mapping[UUID, int], bound: int | None, turns: TurnBook | None
) -> list[Room]:
    """The computes of a host, with what is free of each.

    Of one alone, runs without a GPU are as many as the server lets through.
    """
    offers = host.offers
    taken = [(host.room_of(str(id)), slots, id) for id, slots in held.items()]
    rooms = []
    for offer in offers:
        is_first = offer is offers[0]
        slots = min(offer.slots, bound) if is_first and bound is not None else offer.slots
        used = sum(count for name, count, _ in taken if name == offer.name)
        known = [
            (ends_in, count)
            for name, count, id in taken
            if turns is not None
            and name == offer.name
            and (ends_in := turns.ends_in(id)) is not None
        ]
        counted = {str(id) for id, count in held.items() if count == 0}
        places = None
        if len(offers) > 1 and offer.places is not None:
            places = max(0, offer.places - host.count_in(offer.name, counted))
        rooms.append(
            Room(
                name=offer.name,
                slots=slots,
                free=slots - used,
                places=places,
                here=is_first,
                ends=tuple(known),
            )
        )
    return rooms


async def _placed(
    client: PrefectClient,
    host: HostCompute,
    held: Mapping[UUID, int],
    runs: Sequence[FlowRun],
    demand: Demand,
    bound: int | None,
    rules: Rules,
) -> tuple[list[Placed], Plan | None]:
    # What no compute of this host can serve is left to others; it must not block the rest.
    fitting = {run.id: tuple(host.rooms_for(demand(run))) for run in runs}
    fits = [run for run in runs if fitting[run.id]]
    if not fits:
        return [], None
    occupancy = await host.occupancy()
    let_by = await rules.let_by(client, fits, demand)
    waiting = [
        _waiting(run, host, occupancy, demand(run)).model_copy(
            update={"rooms": fitting[run.id], "lets_by": run.id in let_by}
        )
        for run in fits
    ]
    turns = rules.turns.of(held) if rules.turns is not None else Turns()
    if rules.turns is None:
        waiting = [run.model_copy(update={"owner": ""}) for run in waiting]
    by_id = {str(run.id): run for run in fits}
    made = plan(_rooms(host, held, bound, rules.turns), waiting, turns)
    return [Placed(by_id[id], room) for id, room in made.chosen.items()], made


async def _with_preferred(
    client: PrefectClient,
    host: HostCompute,
    offered: list[FlowRun],
    demand: Demand,
    rules: Rules,
) -> list[FlowRun]:
    """Add those that may go before what the server offers.

    The server knows no priorities, and offers no more than its limit: behind runs that ask for
    more than this host has, others would not be seen.
    """
    stuck = not any(host.rooms_for(demand(run)) for run in offered)
    others, preferred = await asyncio.gather(
        rules.others(client, offered), _queued(client, [EXPERIMENT_TAG, PRIORITY_TAG])
    )
    oldest = await _queued(client, [EXPERIMENT_TAG]) if preferred or stuck else []
    known = {run.id: run for run in [*oldest, *others, *preferred, *offered]}
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
        owner=owner_of(flow_run),
        lasts=longest_seconds(spec),
        left_alone=host.devices.free() - host.devices.free(avoided),
        priority=spec.priority,
        queued_at=due.timestamp() if due else created,
        created_at=created,
    )
