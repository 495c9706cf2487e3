"""Capacity: how many runs may start now. Pure functions, used by everything."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

SLURM_DEFAULT = 4


class Capacity(BaseModel):
    """g slots, r of them held, q runs queued, and how many of those may start."""

    g: int
    r: int
    q: int
    max_new_runs: int


class Waiting(BaseModel):
    """A queued run as admission sees it. Times are Unix seconds."""

    model_config = ConfigDict(frozen=True)

    id: str
    gpus: int = 1
    priority: int = 0
    queued_at: float = 0.0
    created_at: float = 0.0


def slots(cluster_type: str, gpu_count: int | None, override: int | None) -> int:
    """g: slots of the GPU limit.

    `override` (`--slots`) wins; else max(1, gpu_count) for local GPUs, max(1, gpu_count or 4) for
    Slurm, and 1 for CPU-only or unknown.
    """
    if override is not None:
        return max(1, override)
    if cluster_type == "local_gpu":
        return max(1, gpu_count or 0)
    if cluster_type == "slurm":
        return max(1, gpu_count or SLURM_DEFAULT)
    return 1


def capacity(g: int, active: Sequence[int], queued: Sequence[int]) -> Capacity:
    """The capacity with `active` and `queued` runs, each given by the slots that it takes.

    r is the number of slots held (runs that take none do not count), q the number of queued runs
    that need slots, and max_new_runs = max(0, min(q, g - r)).
    """
    r, q = sum(active), sum(1 for count in queued if count > 0)
    return Capacity(g=g, r=r, q=q, max_new_runs=max(0, min(q, g - r)))


def order(waiting: Sequence[Waiting]) -> list[Waiting]:
    """First in, first out within a priority; higher priorities first."""
    return sorted(waiting, key=lambda w: (-w.priority, w.queued_at, w.created_at, w.id))


def admit(g: int, active: Sequence[int], waiting: Sequence[Waiting]) -> list[str]:
    """The ids of the runs that may start now, in their order.

    Never more than g slots are held. A large request at the head is not overtaken by small ones
    behind it, or it would starve; one that asks for more than g is passed over (`unschedulable`).
    """
    free, chosen = g - sum(active), []
    for run in order(waiting):
        if run.gpus > g:
            continue
        if run.gpus > free:
            break
        free -= run.gpus
        chosen.append(run.id)
    return chosen


def unschedulable(g: int, waiting: Sequence[Waiting]) -> list[str]:
    """The ids of the runs that ask for more slots than there are."""
    return [run.id for run in order(waiting) if run.gpus > g]
