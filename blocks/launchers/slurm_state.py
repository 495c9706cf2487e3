"""Where a Slurm job stands: one pure function over Slurm's view and the job's own records.

    WAITING -> STARTING -> RUNNING <-> SUSPENDED
       ^                      |
       +---- REQUEUED <-------+ preempted, node failed, `scontrol requeue`
                              +-> ENDED

Clocks, time-outs and what people see follow from it: only RUNNING costs time, and a start counts
only for the attempt that reported it.
"""

from dataclasses import dataclass
from enum import StrEnum

from wildloop.blocks.launchers.slurm_commands import JobView
from wildloop.blocks.launchers.slurm_record import End, Start

# The job's clock and slurmctld's may differ; a requeued job begins later than that.
SKEW_SECONDS = 60.0
AFTER_SECONDS = 5.0
"""How long after a reported end Slurm must have begun an attempt for it to be another one."""


class Phase(StrEnum):
    """WAITING: never ran. REQUEUED: ran, and waits to run again. STARTING: Slurm has given it
    nodes, and its latest attempt has not reported its start.
    """

    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    SUSPENDED = "suspended"
    REQUEUED = "requeued"
    ENDED = "ended"


@dataclass(frozen=True)
class Standing:
    """A job's phase, the start of the attempt that is under way, and why it waits.

    `restarts` counts how often Slurm began it anew.
    """

    phase: Phase
    start: Start | None = None
    reason: str = ""
    restarts: int = 0


def standing(view: JobView | None, start: Start | None, end: End | None, fresh: bool) -> Standing:
    """Where a job stands.

    Args:
        view: as Slurm listed it; None where it knows it no more.
        start: the last start that the job has reported.
        end: the last end that it has reported.
        fresh: `start` is younger than `view`, which cannot know of that attempt.
    """
    restarts = start.restart if start is not None else 0
    if start is not None and fresh:
        return Standing(Phase.RUNNING, start, "", restarts)
    if view is None or view.has_ended:
        return Standing(Phase.ENDED, start, view.state if view is not None else "", restarts)
    if view.is_pending:
        if start is None:
            return Standing(Phase.WAITING, None, view.reason or "waits")
        why = f"put back into the queue: {view.reason or view.state}"
        return Standing(Phase.REQUEUED, None, why, restarts + 1)
    if view.state == "SUSPENDED":
        return Standing(Phase.SUSPENDED, start, "suspended by Slurm", restarts)
    is_ending = view.state in ("COMPLETING", "STAGE_OUT")
    if start is not None and not is_ending and _is_another(start, end, view):
        return Standing(Phase.STARTING, None, f"starting again on {view.nodes}", restarts + 1)
    if start is None:
        return Standing(Phase.STARTING, None, f"starting on {view.nodes}")
    return Standing(Phase.RUNNING, start, "", restarts)


def _same(start: Start, end: End) -> bool:
    return (start.job_id, start.restart) == (end.job_id, end.restart)


def _is_another(start: Start, end: End | None, view: JobView) -> bool:
    """Whether Slurm began the attempt that it shows after the one that has reported.

    For a moment after its end it shows a job as running that ran once: an end alone says nothing.
    """
    begun = view.started_at
    if begun is None:
        return False
    ended = end.ended_at if end is not None and _same(start, end) else None
    return begun - start.started_at > SKEW_SECONDS or (
        ended is not None and begun - ended > AFTER_SECONDS
    )
