"""Capacity: how many runs may start now. Pure functions, used by everything."""

import math
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence

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
    who comes after it; for any other, what it needs is kept. `owner` is whose it is: owners take
    turns. `lasts` is how many seconds it holds its slots at most; None: any number.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    gpus: int = Field(default=1, ge=0)
    left_alone: int = Field(default=0, ge=0)
    rooms: tuple[str, ...] | None = None
    lets_by: bool = False
    owner: str = ""
    lasts: float | None = None
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
    None any number. In one that is `here` devices are left alone. `ends` is of what is held: in how
    many seconds at the latest, and how many slots; what may be held for ever is not in it.
    """

    model_config = ConfigDict(frozen=True)

    name: str = ""
    slots: int
    free: int
    places: int | None = None
    here: bool = True
    ends: tuple[tuple[float, int], ...] = ()


class Turns(BaseModel):
    """What owners have had: the slots that each holds, and the number of its last turn."""

    model_config = ConfigDict(frozen=True)

    held: dict[str, int] = Field(default_factory=dict)
    last: dict[str, int] = Field(default_factory=dict)


class Plan(BaseModel):
    """What may start now, and what that leaves.

    Attributes:
        chosen: the room of each run that may start, in their order.
        passed: the runs that want more than what was free when they were asked.
        is_open: whether a run that was not listed might start as well.
    """

    model_config = ConfigDict(frozen=True)

    chosen: dict[str, str]
    passed: tuple[str, ...] = ()
    is_open: bool = False


def admit(g: int, active: Sequence[int], waiting: Sequence[Waiting]) -> list[str]:
    """The ids of the runs that may start now in one room, in their order: see `place`.

    Args:
        g: slots in all.
        active: for each launching or running run, the slots that it holds.
        waiting: the queued runs, in any order.
    """
    return list(place([Room(slots=g, free=g - sum(active))], waiting))


def place(rooms: Sequence[Room], waiting: Sequence[Waiting]) -> dict[str, str]:
    """Which runs may start now, in their order, and in which room: see `plan`."""
    return plan(rooms, waiting).chosen


def plan(rooms: Sequence[Room], waiting: Sequence[Waiting], turns: Turns | None = None) -> Plan:
    """Which runs may start now, in their order, and in which room.

    Never more than its slots are held of a room. What a large request lacks is kept for it in one
    room that can serve it, unless it lets others by, or it would starve: meanwhile only those
    start there that delay it by nothing. One that asks for more than a room has would block for
    ever: it is passed over. One that takes no slot is never held up by those that do. Within a
    priority the owner comes first that holds the fewest slots, then the one whose last turn is
    longest ago.
    """
    by_name = {room.name: _Filling(room) for room in rooms}
    chosen, passed = dict[str, str](), list[str]()
    line = _Line(waiting, turns or Turns())
    for run in line:
        wanted = by_name if run.rooms is None else run.rooms
        serving = [by_name[name] for name in wanted if name in by_name]
        if run.gpus > 0:
            serving = [room for room in serving if run.gpus <= room.slots]
        found = next((room for room in serving if room.takes(run)), None)
        if found is not None:
            found.give(run)
            line.give(run)
            chosen[run.id] = found.name
        elif run.gpus > 0 and serving:
            if any(room.free > 0 for room in serving):
                passed.append(run.id)
            if not run.lets_by:
                min(serving, key=lambda room: room.lacks(run)).keep_for(run)
    is_open = any(room.is_open for room in by_name.values())
    return Plan(chosen=chosen, passed=tuple(passed), is_open=is_open)


class _Line:
    """The queued runs in the order of their turns, which follows what is given meanwhile."""

    def __init__(self, waiting: Sequence[Waiting], turns: Turns) -> None:
        self._held, self._last = Counter(turns.held), dict(turns.last)
        self._turn = max(self._last.values(), default=0)
        self._ranks: dict[int, dict[str, deque[Waiting]]] = {}
        for run in order(waiting):
            rank = self._ranks.setdefault(run.priority, {})
            rank.setdefault(run.owner, deque()).append(run)

    def __iter__(self) -> Iterator[Waiting]:
        for rank in self._ranks.values():
            while rank:
                owner = min(rank, key=lambda name: self._key(name, rank))
                run = rank[owner].popleft()
                if not rank[owner]:
                    del rank[owner]
                yield run

    def give(self, run: Waiting) -> None:
        if run.gpus > 0:
            self._turn += 1
            self._held[run.owner] += run.gpus
            self._last[run.owner] = self._turn

    def _key(self, owner: str, rank: Mapping[str, deque[Waiting]]) -> tuple[int, int, float, str]:
        first = rank[owner][0]
        return self._held[owner], self._last.get(owner, 0), first.queued_at, first.id


class _Filling:
    """A room while runs are placed into it."""

    def __init__(self, room: Room) -> None:
        self.name, self.slots, self.free = room.name, room.slots, room.free
        self._places, self._here = room.places, room.here
        self._ends = list(room.ends)
        self._kept_until: float | None = None
        self._spare = 0

    @property
    def is_open(self) -> bool:
        return self.free > 0 and (self._kept_until is None or math.isfinite(self._kept_until))

    def lacks(self, run: Waiting) -> int:
        return run.gpus + (run.left_alone if self._here else 0) - self.free

    def takes(self, run: Waiting) -> bool:
        if run.gpus == 0:
            return self._places != 0
        return self.lacks(run) <= 0 and (self._kept_until is None or self._lets(run))

    def give(self, run: Waiting) -> None:
        if run.gpus == 0:
            self._places = None if self._places is None else self._places - 1
            return
        if self._kept_until is not None and not self._is_short(run):
            self._spare -= run.gpus
        self.free -= run.gpus
        if run.lasts is not None:
            self._ends.append((run.lasts, run.gpus))

    def keep_for(self, run: Waiting) -> None:
        """Keep what is free for a run until it has all, unless it is kept for another already."""
        if self._kept_until is not None:
            return
        self._kept_until, self._spare = math.inf, 0
        lacking = self.lacks(run)
        for seconds, slots in sorted(self._ends):
            lacking -= slots
            if lacking <= 0:
                # What is left over then may be held for ever.
                self._kept_until, self._spare = seconds, -lacking
                return

    def _lets(self, run: Waiting) -> bool:
        return self._is_short(run) or run.gpus <= self._spare

    def _is_short(self, run: Waiting) -> bool:
        until = self._kept_until
        return (
            until is not None
            and math.isfinite(until)
            and run.lasts is not None
            and run.lasts <= until
        )
