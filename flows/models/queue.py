"""Why each queued run waits, in words; the rules are those of `flows.models.capacity`."""

from collections.abc import Callable, Collection, Sequence

from wildloop.flows.models.capacity import Capacity
from wildloop.flows.models.cluster import HostRecord, total_cpus
from wildloop.flows.models.run import Run
from wildloop.flows.text.plural import counted

NAMED = 3


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
    free, ahead, blocked = room.g - room.r, 0, ""
    found: dict[str, str] = {}
    for run in in_turn(queue):
        wants = run.gpus_requested
        if blocked and wanted is not None and run.id not in wanted:
            # It changes nothing for those behind it but their number.
            ahead += 0 < wants <= largest
            continue
        if run.reason:
            found[run.id] = run.reason
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
            found[run.id] = "it is about to start, or what is free is used by others"
            free -= wants
        ahead += 0 < wants <= largest
    return found


def _full(wants: int, free: int, room: Capacity, held: Sequence[Run]) -> str:
    names = [run.name for run in held if run.gpus_requested]
    by = ", ".join(names[:NAMED]) + (
        f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    )
    told = f" by {by}" if names else ""
    if free <= 0:
        return f"all {room.g} slots are held{told}" if room.g > 1 else f"the one slot is held{told}"
    return f"it wants {wants} slots, {free} of {room.g} {'is' if free == 1 else 'are'} free"
