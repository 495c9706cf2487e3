"""What Slurm's view of a job and the job's own records say together."""

from wildloop.blocks.launchers.base import ProcessState, ProcessStatus
from wildloop.blocks.launchers.slurm_commands import JobView
from wildloop.blocks.launchers.slurm_record import End, Final, Start
from wildloop.blocks.launchers.slurm_state import Phase, standing
from wildloop.blocks.launchers.slurm_watch import Seen

# An end without the job's own record counts after this long: shared file systems lag, and Slurm
# may put a preempted job back into the queue.
SETTLE_SECONDS = 4.0
START_SECONDS = 30.0
UNKNOWN = "UNKNOWN"
WARNED = "TIMEOUT (ended when warned of its time limit)"
TERMINATED = "SIGTERM from Slurm or a person"


def last_end(start: Start | None, end: End | None) -> End | None:
    """The end record, if it is that of the latest attempt."""
    if start is None or end is None:
        return None
    same = (start.job_id, start.restart) == (end.job_id, end.restart)
    return end if same else None


def is_settled(seen: Seen, start: Start | None, last: End | None) -> bool:
    """Whether a job that is listed as ended, or not at all, can be taken for over."""
    if seen.settled_for >= SETTLE_SECONDS:
        return True
    if seen.view is not None and seen.view.may_be_requeued:
        return False
    never_started = start is None and seen.view is not None and seen.view.state == "CANCELLED"
    return last is not None or never_started


def final_of(
    view: JobView | None, start: Start | None, last: End | None, limit_seconds: float | None = None
) -> Final:
    """Slurm's last word, joined with the job's.

    `limit_seconds`: the job's time limit, less the warning that it is given before; None: unknown.
    """
    ran = last.ended_at - start.started_at if last is not None and start is not None else 0.0
    at_limit = limit_seconds is not None and ran >= limit_seconds
    code = last.exit_code if last is not None else _slurms_code(view, start)
    reason = _reason(view, code)
    if reason is None and last is not None and last.signalled:
        # It ended by itself after a TERM: what it was told by, Slurm does not keep.
        reason = WARNED if at_limit else TERMINATED
    return Final(
        state=view.state if view is not None else UNKNOWN,
        reason=reason,
        exit_code=code,
        host=view.nodes or None if view is not None else None,
    )


def ended(
    job_id: str | None,
    start: Start | None,
    code: tuple[int, float] | None,
    final: Final | None,
    earlier: float = 0.0,
) -> ProcessStatus:
    """The status of a launch that is over; `code` is its exit code and the time of its end."""
    return ProcessStatus(
        state=ProcessState.LOST if code is None else ProcessState.EXITED,
        exit_code=code[0] if code is not None else None,
        ended_at=code[1] if code is not None else None,
        reason=final.reason if final is not None else None,
        host=(final.host if final is not None else None) or (start.host if start else None),
        earlier_seconds=earlier,
        **_of_start(job_id, start),
    )


def alive(
    job_id: str,
    start: Start | None,
    seen: Seen,
    end: End | None = None,
    *,
    fresh: bool = False,
    earlier: float = 0.0,
) -> ProcessStatus:
    """The status of a job that waits, runs, or has ended a moment ago.

    `fresh`: the start is younger than Slurm's view; `earlier`: how long it ran before that start.
    """
    view, stands = seen.view, standing(seen.view, start, end, fresh)
    if stands.phase in (Phase.WAITING, Phase.REQUEUED, Phase.SUSPENDED):
        return _pending(job_id, stands.reason, stands.restarts)
    if stands.phase is Phase.STARTING:
        if seen.settled_for <= START_SECONDS:
            return _pending(job_id, stands.reason, stands.restarts)
        assert view is not None
        return ProcessStatus(
            state=ProcessState.RUNNING,
            host=view.nodes or None,
            job_id=job_id,
            started_at=view.started_at,
            restarts=stands.restarts,
        )
    over = stands.phase is Phase.ENDED
    reason = (stands.reason or "no longer listed") if over else None
    if stands.start is None:
        return _pending(job_id, reason or "")
    return ProcessStatus(
        state=ProcessState.RUNNING,
        reason=reason,
        host=_host(stands.start, None if fresh else view),
        earlier_seconds=earlier,
        **_of_start(job_id, stands.start),
    )


def unanswered(job_id: str, start: Start | None, why: str) -> ProcessStatus:
    """The status while Slurm is silent: nothing has changed as far as is known."""
    if start is None:
        return _pending(job_id, why)
    return ProcessStatus(
        state=ProcessState.RUNNING, reason=why, host=start.host, **_of_start(job_id, start)
    )


def _pending(job_id: str, reason: str, restarts: int = 0) -> ProcessStatus:
    return ProcessStatus(
        state=ProcessState.PENDING, reason=reason, job_id=job_id, restarts=restarts
    )


def _host(start: Start, view: JobView | None) -> str:
    """The node, or all of them as Slurm writes them: "n[1-4]"."""
    several = view is not None and ("[" in view.nodes or "," in view.nodes)
    return view.nodes if view is not None and several else start.host


def _of_start(job_id: str | None, start: Start | None) -> "dict[str, object]":
    if start is None:
        return {"job_id": job_id}
    devices = tuple(part for part in start.devices.split(",") if part)
    return {
        "job_id": job_id,
        "pid": start.pid,
        "started_at": start.started_at,
        "devices": devices,
        "restarts": start.restart,
    }


def _slurms_code(view: JobView | None, start: Start | None) -> int | None:
    """The batch script's exit code by Slurm, where it could leave no record (a full disk)."""
    if view is None or view.ended_by_slurm is not None or view.signal:
        return None
    # Success of a job that was never seen to start is no success.
    return view.exit_code or (view.exit_code if start is not None else None)


def _reason(view: JobView | None, code: int | None) -> str | None:
    if view is None:
        return None if code is not None else "Slurm no longer knows the job"
    if view.ended_by_slurm is not None:
        return view.ended_by_slurm
    if code is not None:
        return None
    return f"{view.state}, signal {view.signal}" if view.signal else view.state
