"""Capacity: how many runs may start now. Pure functions, used by everything."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

SLURM_DEFAULT = 4


class Capacity(BaseModel):
    """How full the compute is.

    `g` is the number of slots, `r` how many of them launching and running runs hold, `q` how many
    queued runs wait for slots, and `max_new_runs` = max(0, min(q, g - r)) an upper bound of how
    many of those may start now. Where every run takes one slot, `r` is the number of active runs.
    """

    model_config = ConfigDict(frozen=True)

    g: int
    r: int
    q: int
    max_new_runs: int


class Waiting(BaseModel):
    """A queued run as admission sees it. Times are Unix seconds.

    `gpus` is the slots that it takes; `left_alone` how many of the free ones of this host it may
    not have, since others use their devices, or they are of another type. `rooms` are the names of
    those that can serve it, the preferred one first; None: each. One that `lets_by` holds nobody up
    who comes after it.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    gpus: int = Field(default=1, ge=0)
    left_alone: int = Field(default=0, ge=0)
    rooms: tuple[str, ...] | None = None
    lets_by: bool = False
    priority: int = 0
    queued_at: float = 0.0
    created_at: float = 0.0


def slots(cluster_type: str, gpu_count: int | None, override: int | None) -> int:
    """g: slots of the GPU limit, at least 1.

    Args:
        cluster_type: the word of a `ClusterType`.
        gpu_count: GPUs found or set by hand; None or 0 where that is not known.
        override: what the user has set (`--slots`): wins over all else.

    Returns:
        max(1, gpu_count) for local GPUs and Kubernetes, max(1, gpu_count or 4) for Slurm, and 1
        for CPU-only or unknown compute.
    """
    if override is not None:
        return max(1, override)
    if cluster_type == "slurm":
        return max(1, gpu_count or SLURM_DEFAULT)
    if cluster_type in ("local_gpu", "kubernetes"):
        return max(1, gpu_count or 1)
    return 1


def capacity(g: int, active_slots: Sequence[int], queued: Sequence[int]) -> Capacity:
    """The capacity at this moment.

    Args:
        g: slots in all.
        active_slots: for each launching or running run, the slots that it holds.
        queued: for each queued run, the slots that it asks for.

    Runs that take no slot (`gpus: 0`) count neither in r nor in q.
    """
    r, q = sum(active_slots), sum(1 for count in queued if count > 0)
    return Capacity(g=g, r=r, q=q, max_new_runs=max(0, min(q, g - r)))


def order(waiting: Sequence[Waiting]) -> list[Waiting]:
    """First in, first out within a priority; higher priorities first."""
    return sorted(waiting, key=lambda w: (-w.priority, w.queued_at, w.created_at, w.id))


class Room(BaseModel):
    """One compute as admission sees it.

    `slots` in all, of which `free` are not held; `places` is how many runs without a GPU may begin,
    None any number. In one that is `here` devices are left alone.
    """

    model_config = ConfigDict(frozen=True)

    name: str = ""
    slots: int
    free: int
    places: int | None = None
    here: bool = True


def admit(g: int, active: Sequence[int], waiting: Sequence[Waiting]) -> list[str]:
    """The ids of the runs that may start now in one room, in their order: see `place`.

    Args:
        g: slots in all.
        active: for each launching or running run, the slots that it holds.
        waiting: the queued runs, in any order.
    """
    return list(place([Room(slots=g, free=g - sum(active))], waiting))


def place(rooms: Sequence[Room], waiting: Sequence[Waiting]) -> dict[str, str]:
    """Which runs may start now, in their order, and in which room.

    Never more than its slots are held of a room. A large request at the head is not overtaken by
    small ones behind it in a room that can serve it, or it would starve. One that asks for more
    than a room has would block for ever: it is passed over. One that takes no slot is never held
    up by those that do.
    """
    by_name = {room.name: room for room in rooms}
    free = {room.name: room.free for room in rooms}
    places = {room.name: room.places for room in rooms}
    blocked, chosen = set[str](), dict[str, str]()
    for run in order(waiting):
        wanted = by_name if run.rooms is None else run.rooms
        names = [name for name in wanted if name in by_name]
        if run.gpus == 0:
            found = next((name for name in names if places[name] != 0), None)
            if found is not None:
                chosen[run.id] = found
                left = places[found]
                places[found] = None if left is None else left - 1
            continue
        names = [name for name in names if run.gpus <= by_name[name].slots and name not in blocked]
        found = next((n for n in names if run.gpus <= _usable(by_name[n], free[n], run)), None)
        if found is not None:
            free[found] -= run.gpus
            chosen[run.id] = found
        elif not run.lets_by:
            blocked |= set(names)
    return chosen


def _usable(room: Room, free: int, run: Waiting) -> int:
    return free - run.left_alone if room.here else free
