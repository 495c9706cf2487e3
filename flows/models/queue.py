"""Why each queued run waits, in words; the rules are those of `flows.models.capacity`."""

from collections.abc import Callable, Collection, Sequence

from wildloop.flows.models.capacity import Capacity
from wildloop.flows.models.cluster import HostRecord, every_offer, total_cpus
from wildloop.flows.models.compute import Asked, is_particular, why_unserved
from wildloop.flows.models.run import Run
from wildloop.flows.text.plural import counted

NAMED = 3
SOON = "it is about to start, or what is free is used by others"


def in_turn(queue: Sequence[Run]) -> list[Run]:
    """The queued runs in the order in which they are taken."""
    return sorted(queue, key=lambda run: (-run.priority, run.created_at, run.id))


def reasons(
    queue: Sequence[Run],
    held: Sequence[Run],
    room: Capacity,
    hosts: Sequence[HostRecord],
    limited: Callable[[Run], str | None] = lambda run: None,
    wanted: Collection[str] | None = None,
) -> dict[str, str]:
    """The reason of each run in the queue, by its id.

    Args:
        queue: the queued runs.
        held: the runs that launch or run.
        room: slots, and how many are held.
        hosts: what there is.
        limited: what a run waits for beside slots and its turn.
        wanted: the runs whose reasons are asked for (default: all): thousands may wait.
    """
    largest = max((host.largest for host in hosts), default=room.g)
    places, without = total_cpus(hosts), sum(run.gpus_requested == 0 for run in held)
    computes = Computes(hosts, held)
    free, ahead, blocked = room.g - room.r, 0, ""
    found: dict[str, str] = {}
    for run in in_turn(queue):
        wants = run.gpus_requested
        chooses = computes.are_chosen_from(run)
        if blocked and wanted is not None and run.id not in wanted and not chooses:
            # It changes nothing for those behind it but their number.
            ahead += 0 < wants <= largest
            continue
        if run.reason:
            found[run.id] = run.reason
        elif chooses:
            found[run.id] = computes.reason(run) or limited(run) or SOON
            continue
        elif wants > largest:
            found[run.id] = f"no host has {wants} slots: the most is {largest}"
        elif (limit := limited(run)) is not None:
            found[run.id] = limit
        elif wants == 0:
            taken = f"all {places} places of runs without a GPU are taken"
            found[run.id] = taken if without >= places else "it is about to start"
        elif blocked:
            found[run.id] = f"{counted(ahead, 'run')} before it{blocked}"
        elif wants > free:
            found[run.id] = _full(wants, free, room, held)
            blocked = f"; the first wants {counted(wants, 'slot')}" if wants > 1 else ""
            blocked = blocked or ", and no slot is free"
        else:
            found[run.id] = SOON
            free -= wants
        ahead += 0 < wants <= largest
    return found


class Computes:
    """The computes of all hosts, with what runs hold of each.

    Args:
        hosts: what there is.
        held: the runs that launch or run.
    """

    def __init__(self, hosts: Sequence[HostRecord], held: Sequence[Run]) -> None:
        self._offers = every_offer(hosts)
        first = {host.host: host.own.name for host in hosts}
        default = self._offers[0].name if self._offers else ""
        free: dict[str, int] = {}
        for offer in self._offers:
            free[offer.name] = free.get(offer.name, 0) + offer.slots
        for run in held:
            name = run.compute or first.get(run.host or "", default)
            free[name] = free.get(name, 0) - run.gpus_requested
        self._free = free
        self._are_several = len({offer.name for offer in self._offers}) > 1

    def are_chosen_from(self, run: Run) -> bool:
        """Whether a run's wish, or several computes, decide on where it goes."""
        return self._are_several or is_particular(_asked(run))

    def reason(self, run: Run) -> str | None:
        """Why a run waits; None where there is room for it, which it is counted to take."""
        asked = _asked(run)
        if (why := why_unserved(self._offers, asked)) is not None:
            return why
        names = list(dict.fromkeys(one.name for one in self._offers if one.serves(asked)))
        room = next((name for name in names if self._free[name] >= asked.gpus), None)
        if room is not None:
            self._free[room] -= asked.gpus
            return None
        told = " and ".join(f"'{name}'" for name in names)
        return f"it wants {counted(asked.gpus, 'slot')} of {told}, which are held by others"


def _asked(run: Run) -> Asked:
    return Asked(run.gpus_requested, run.compute, run.gpu_type, run.gpu_memory_gb)


def _full(wants: int, free: int, room: Capacity, held: Sequence[Run]) -> str:
    names = [run.name for run in held if run.gpus_requested]
    by = ", ".join(names[:NAMED]) + (
        f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    )
    told = f" by {by}" if names else ""
    if free <= 0:
        return f"all {room.g} slots are held{told}" if room.g > 1 else f"the one slot is held{told}"
    return f"it wants {wants} slots, {free} of {room.g} {'is' if free == 1 else 'are'} free"
