"""What Slurm's view of a job and the job's own records say together."""

from wildloop.blocks.launchers.base import ProcessState, ProcessStatus
from wildloop.blocks.launchers.slurm_commands import JobView
from wildloop.blocks.launchers.slurm_record import End, Final, Start
from wildloop.blocks.launchers.slurm_watch import Seen

# An end without the job's own record counts after this long: shared file systems lag, and Slurm
# may put a preempted job back into the queue.
SETTLE_SECONDS = 4.0
START_SECONDS = 30.0
UNKNOWN = "UNKNOWN"


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


def final_of(view: JobView | None, start: Start | None, last: End | None) -> Final:
    """Slurm's last word, joined with the job's."""
    code = last.exit_code if last is not None else _slurms_code(view, start)
    return Final(
        state=view.state if view is not None else UNKNOWN,
        reason=_reason(view, code),
        exit_code=code,
        host=view.nodes or None if view is not None else None,
    )


def ended(
    job_id: str | None, start: Start | None, code: tuple[int, float] | None, final: Final | None
) -> ProcessStatus:
    """The status of a launch that is over; `code` is its exit code and the time of its end."""
    return ProcessStatus(
        state=ProcessState.LOST if code is None else ProcessState.EXITED,
        exit_code=code[0] if code is not None else None,
        ended_at=code[1] if code is not None else None,
        reason=final.reason if final is not None else None,
        host=start.host if start is not None else (final.host if final is not None else None),
        **_of_start(job_id, start),
    )


def alive(job_id: str, start: Start | None, seen: Seen) -> ProcessStatus:
    """The status of a job that waits, runs, or has ended a moment ago."""
    view = seen.view
    if view is not None and view.is_pending:
        return _pending(job_id, view.reason or "waits")
    reason = None
    if view is None or view.has_ended:
        reason = view.state if view is not None else "no longer listed"
    if start is not None:
        return ProcessStatus(
            state=ProcessState.RUNNING,
            reason=reason,
            host=start.host,
            **_of_start(job_id, start),
        )
    nodes = view.nodes if view is not None else ""
    if reason is None and seen.settled_for > START_SECONDS:
        return ProcessStatus(state=ProcessState.RUNNING, host=nodes or None, job_id=job_id)
    return _pending(job_id, reason or f"starting on {nodes}")


def unanswered(job_id: str, start: Start | None, why: str) -> ProcessStatus:
    """The status while Slurm is silent: nothing has changed as far as is known."""
    if start is None:
        return _pending(job_id, why)
    return ProcessStatus(
        state=ProcessState.RUNNING, reason=why, host=start.host, **_of_start(job_id, start)
    )


def _pending(job_id: str, reason: str) -> ProcessStatus:
    return ProcessStatus(state=ProcessState.PENDING, reason=reason, job_id=job_id)


def _of_start(job_id: str | None, start: Start | None) -> "dict[str, object]":
    if start is None:
        return {"job_id": job_id}
    devices = tuple(part for part in start.devices.split(",") if part)
    return {
        "job_id": job_id,
        "pid": start.pid,
        "started_at": start.started_at,
        "devices": devices,
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
