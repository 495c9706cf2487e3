"""Commands as Slurm jobs."""

import asyncio
import logging
import math
import os
import time
from contextlib import suppress
from pathlib import Path

from wildloop.blocks.launchers.base import (
    Launcher,
    LaunchFailed,
    LaunchSpec,
    ProcessState,
    ProcessStatus,
)
from wildloop.blocks.launchers.record import read_exit_code
from wildloop.blocks.launchers.slurm_accounts import Accounts
from wildloop.blocks.launchers.slurm_commands import (
    JobView,
    SlurmSilent,
    SubmitLimit,
    cancel_job,
    cancel_named,
    list_jobs,
    recorded_jobs,
    shown_job,
)
from wildloop.blocks.launchers.slurm_compute import SlurmCompute
from wildloop.blocks.launchers.slurm_inner import (
    cancel_inside,
    look_inside,
    submitted,
    waits_for,
)
from wildloop.blocks.launchers.slurm_record import (
    END,
    FINAL,
    INTENT,
    START,
    STOP,
    End,
    Final,
    Intent,
    Start,
    earlier_seconds,
    read,
    settle_exit_code,
    write,
    write_text,
)
from wildloop.blocks.launchers.slurm_submit import (
    RETRY_SECONDS,
    SubmitGate,
    find_submitted,
    hand_in,
    job_id_of,
    prepare_launch,
    submission_lock,
)
from wildloop.blocks.launchers.slurm_verdict import (
    alive,
    ended,
    final_of,
    is_settled,
    last_end,
    unanswered,
)
from wildloop.blocks.launchers.slurm_watch import POLL_SECONDS, JobWatch, Seen

logger = logging.getLogger(__name__)

REASON_SECONDS = 5.0
CANCEL_AGAIN_SECONDS = 20.0
# Half seconds after which a launch is looked at whatever the signs say.
LOOKS = 10
TOO_MANY = ProcessStatus(
    state=ProcessState.PENDING,
    reason="MaxSubmitJobs: Slurm takes no more jobs now; it is submitted when others have ended",
)
_SUBMITTING = ProcessStatus(state=ProcessState.PENDING, reason="being submitted")
_GOING_ON = (ProcessState.PENDING, ProcessState.RUNNING)


class SlurmLauncher(Launcher):
    """Launches as batch jobs of this host's Slurm cluster; the record folder must be shared.

    One launcher per process and event loop, or several that know of one another (`beside`): they
    ask after all jobs with one squeue. A job is
    handed in once, whatever dies in between: an intent is recorded before sbatch is called, whose
    token is in the job's comment, and a job that is not the folder's first does nothing. Only the
    job's own exit code, or Slurm's word that it is over, ends a launch; while Slurm does not
    answer, the last known state stands.

    A preempted job, or one whose node failed, is PENDING again when Slurm requeues it, else LOST
    with the reason. PENDING also stands for a submission in progress; ABSENT after it means that
    nothing reached Slurm: launch again.

    Where Slurm takes no more jobs for now, the launch is PENDING and waits for its turn.

    A command that calls `srun` uses the job's allocation. One that calls `sbatch` itself gets a
    small job without GPUs, in which sbatch waits for the inner job and returns its exit code
    (SBATCH_WAIT); the latter asks for its resources by itself. What a script that the command runs
    hands in is noted by an `sbatch` that stands before Slurm's in PATH: the launch is RUNNING until
    that has ended, too. Stopping the launch cancels all of it.
    """

    def __init__(self, compute: SlurmCompute, beside: "SlurmLauncher | None" = None) -> None:
        self.compute = compute
        # Of several blocks too, Slurm is asked once for all jobs.
        self._watch: JobWatch = beside._watch if beside else JobWatch(list_jobs)
        self._accounts: Accounts = beside._accounts if beside else Accounts(recorded_jobs)
        self._gate: SubmitGate = beside._gate if beside else SubmitGate()
        self._attempts: dict[Path, tuple[str, int, float]] = {}
        self._waiting: dict[Path, asyncio.Task[None]] = {}

    async def launch(self, spec: LaunchSpec) -> ProcessStatus:
        """Hand the command in; see `Launcher.launch`.

        Raises:
            LaunchFailed: also when Slurm refuses the job, or does not answer for some minutes.
        """
        launching = asyncio.ensure_future(self._launch(spec))
        try:
            return await asyncio.shield(launching)
        except asyncio.CancelledError:
            # Left half-way, the job would be queued unseen.
            await asyncio.wait({launching})
            if not launching.cancelled() and (error := launching.exception()) is not None:
                logger.info("cancelled launch in '%s' failed: %s", spec.folder, error)
            raise

    async def status(self, folder: Path) -> ProcessStatus:
        """What became of the job; see `Launcher.status`.

        Raises:
            LaunchFailed: a record is damaged.
        """
        try:
            return await self._status(folder)
        except ValueError as error:
            raise LaunchFailed(str(error)) from error

    async def ran(self, folder: Path, timeout_seconds: float | None = None) -> ProcessStatus:
        """Wait while the job runs; see `Launcher.ran`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                if (await self._while(folder, (ProcessState.RUNNING,))).exit_code:
                    await self._ask_why(folder)
        return await self.status(folder)

    async def begun(self, folder: Path) -> ProcessStatus:
        """Wait until the job has started or ended; see `Launcher.begun`."""
        return await self._while(folder, (ProcessState.PENDING,))

    async def wait(self, folder: Path, timeout_seconds: float | None = None) -> ProcessStatus:
        """Wait for the end; see `Launcher.wait`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                if (await self._while(folder, _GOING_ON)).exit_code:
                    await self._ask_why(folder)
        return await self.status(folder)

    async def stop(self, folder: Path, grace_seconds: float = 5.0) -> ProcessStatus:
        """Cancel the job; see `Launcher.stop`.

        The job itself ends its processes with KILL after the grace; on other nodes of the job,
        and where the job's shell is gone, Slurm does so after its KillWait. A Slurm that does not
        answer is asked until it does.
        """
        try:
            intent = read(folder, INTENT, Intent)
            grace = max(grace_seconds, self.compute.grace_seconds or 0)
            if intent is not None and read(folder, FINAL, Final) is None:
                await asyncio.to_thread(write_text, folder, STOP, f"{max(0.0, grace):g}\n")
                await self._cancel(folder)
        except ValueError as error:
            raise LaunchFailed(str(error)) from error
        if intent is not None and (intent.submits or submitted(folder) is not None):
            await _cancel_inner(folder, intent)
        return await self.status(folder)

    async def _while(self, folder: Path, states: tuple[ProcessState, ...]) -> ProcessStatus:
        """The first status that is none of these.

        It looks again when the job has written something or Slurm has answered, and now and then.
        """
        status = await self.status(folder)
        while status.state in states:
            before, looks = self._signs(folder, status.job_id), 0
            while looks < LOOKS and self._signs(folder, status.job_id) == before:
                await asyncio.sleep(POLL_SECONDS)
                looks += 1
            status = await self.status(folder)
        return status

    def _signs(self, folder: Path, job_id: str | None) -> tuple[object, ...]:
        """What changes when there may be news; cheap, since hundreds of runs look at once."""
        try:
            written = folder.stat().st_mtime_ns
        except OSError:
            written = 0
        seen = self._watch.known(job_id) if job_id is not None else None
        return (written, seen.asked_at if seen is not None else None, folder in self._waiting)

    async def _launch(self, spec: LaunchSpec) -> ProcessStatus:
        for name, path in (("record folder", spec.folder), ("working directory", spec.cwd)):
            if not path.is_dir():
                raise LaunchFailed(f"{name} '{path}' is not a folder on this host: create it")
        if (earlier := await self.status(spec.folder)).state is not ProcessState.ABSENT:
            return earlier
        try:
            with submission_lock(spec.folder) as lock:
                if lock is None:
                    return _SUBMITTING
                if job_id_of(spec.folder) is None and not await self._hand_in(spec, lock):
                    return TOO_MANY
        except (OSError, ValueError) as error:
            raise LaunchFailed(f"cannot submit the command: {error}") from error
        return await self.status(spec.folder)

    async def _hand_in(self, spec: LaunchSpec, lock: int) -> bool:
        """Hand the job in; False where it has to wait for its turn, as a task of its own."""
        intent, known = await prepare_launch(spec, self.compute.merged(spec.slurm))
        if not self._gate.is_shut:
            try:
                await hand_in(spec, intent, lock, known, None)
            except SubmitLimit as limit:
                logger.info("'%s' waits to be submitted: %s", spec.name, limit)
            else:
                return True
        # The right to submit goes along: who else looks sees that it is being submitted.
        copy = os.dup(lock)
        self._waiting[spec.folder] = asyncio.create_task(self._in_turn(spec, intent, copy))
        return False

    async def _in_turn(self, spec: LaunchSpec, intent: Intent, lock: int) -> None:
        try:
            await hand_in(spec, intent, lock, True, self._gate)
        except (LaunchFailed, OSError, ValueError) as error:
            # Nobody waits for this task: who looks at the launch is told.
            logger.info("'%s' was not submitted: %s", spec.name, error)
            write(spec.folder, INTENT, intent)
            final = Final(
                state="REFUSED", reason=f"not launched: {error}", exit_code=None, host=None
            )
            write(spec.folder, FINAL, final)
        finally:
            os.close(lock)
            self._waiting.pop(spec.folder, None)

    async def _status(self, folder: Path) -> ProcessStatus:
        intent = read(folder, INTENT, Intent)
        if intent is None:
            return ProcessStatus(state=ProcessState.ABSENT)
        start, job_id = read(folder, START, Start), job_id_of(folder)
        final, code = read(folder, FINAL, Final), read_exit_code(folder)
        earlier = earlier_seconds(folder, start) if start is not None else 0.0
        if final is not None or code is not None:
            over = ended(job_id, start, code, final, earlier)
            return over if intent.submits else await self._with_inner(folder, over)
        if job_id is None:
            return await self._half_way(folder, intent)
        began = self._began(folder, start)
        try:
            seen = self._watch.known(job_id)
            if seen is None or not began > seen.asked_at:
                seen = await self._watch.look(job_id)
            fresh = began > seen.asked_at
            if not fresh and (seen.view is None or seen.view.has_ended):
                return await self._judge(folder, job_id, seen)
        except SlurmSilent as silence:
            return unanswered(job_id, start, str(silence))
        end = read(folder, END, End)
        return alive(job_id, start, seen, end, fresh=fresh, earlier=earlier)

    def _began(self, folder: Path, start: Start | None) -> float:
        """When the latest attempt was first seen here (monotonic): Slurm's view may be older."""
        if start is None:
            return -math.inf
        known = self._attempts.get(folder)
        if known is None or known[:2] != (start.job_id, start.restart):
            known = (start.job_id, start.restart, time.monotonic())
            self._attempts[folder] = known
        return known[2]

    async def _with_inner(self, folder: Path, over: ProcessStatus) -> ProcessStatus:
        """The end of a command, but for jobs that it has handed in and that go on."""
        jobs = submitted(folder)
        if jobs is None or over.exit_code != 0 or (folder / STOP).exists():
            return over
        running = {"state": ProcessState.RUNNING, "exit_code": None, "ended_at": None}
        try:
            inner = await look_inside(folder, jobs, self._accounts)
        except SlurmSilent as silence:
            return over.model_copy(update={**running, "reason": str(silence)})
        if not inner.is_over:
            return over.model_copy(update={**running, "reason": waits_for(inner)})
        if inner.exit_code == 0:
            return over
        return over.model_copy(update={"exit_code": inner.exit_code, "reason": inner.reason})

    async def _half_way(self, folder: Path, intent: Intent) -> ProcessStatus:
        """A launch without a job id: being handed in, or left by a process that died."""
        with submission_lock(folder) as lock:
            if lock is None:
                return TOO_MANY if folder in self._waiting else _SUBMITTING
            if job_id_of(folder) is None:
                try:
                    if await find_submitted(folder, intent) is None:
                        return ProcessStatus(state=ProcessState.ABSENT)
                except SlurmSilent as silence:
                    return ProcessStatus(state=ProcessState.PENDING, reason=str(silence))
        return await self._status(folder)

    async def _judge(self, folder: Path, job_id: str, seen: Seen) -> ProcessStatus:
        """A job that Slurm shows as ended, or no more at all: is it over for good?"""
        start = read(folder, START, Start)
        last = last_end(start, read(folder, END, End))
        if not is_settled(seen, start, last):
            await self._watch.look(job_id, at_once=True)
            return alive(job_id, start, seen)
        view = seen.view
        if last is None:
            shown = await shown_job(job_id) if view is not None else None
            view = shown or await self._accounts.look(job_id) or view
            if view is not None and not view.has_ended:
                return alive(job_id, start, seen)
        final = await self._conclude(folder, view)
        return ended(job_id, start, read_exit_code(folder), final)

    async def _conclude(self, folder: Path, view: JobView | None) -> Final:
        """Note that the launch is over, so that nobody has to ask Slurm again."""
        start = read(folder, START, Start)
        intent = read(folder, INTENT, Intent)
        warned = intent.warned_after if intent is not None else None
        final = final_of(view, start, last_end(start, read(folder, END, End)), warned)
        if final.exit_code is not None and read_exit_code(folder) is None:
            await asyncio.to_thread(settle_exit_code, folder, final.exit_code)
        await asyncio.to_thread(write, folder, FINAL, final)
        self._attempts.pop(folder, None)
        return final

    async def _ask_why(self, folder: Path) -> None:
        """After a failure, ask for some seconds whether Slurm ended the job, and note it."""
        # By then at least one call has been made that began after the end.
        deadline = time.monotonic() + REASON_SECONDS + 2 * self._watch.floor
        job_id = job_id_of(folder)
        while job_id is not None and time.monotonic() < deadline:
            if read(folder, FINAL, Final) is not None:
                return
            try:
                view = (await self._watch.look(job_id, at_once=True)).view
            except SlurmSilent:
                # The exit code stands by itself: only a word on it is missing, worth some seconds.
                await asyncio.sleep(POLL_SECONDS)
                continue
            if view is None or view.has_ended:
                await self._conclude(folder, view)
                return
            await asyncio.sleep(POLL_SECONDS)

    async def _cancel(self, folder: Path) -> None:
        """Cancel until the job is over and its processes are gone."""
        cancel_at = None
        while read(folder, FINAL, Final) is None:
            status, job_id = await self.status(folder), job_id_of(folder)
            if status.state is ProcessState.ABSENT:
                return
            if job_id is not None:
                exited = status.state is ProcessState.EXITED
                if cancel_at is None:
                    # A command that has ended lets its job end by itself.
                    cancel_at = time.monotonic() + (REASON_SECONDS if exited else 0.0)
                try:
                    view = (await self._watch.look(job_id, at_once=True)).view
                    if view is None or view.has_ended:
                        if exited:
                            await self._conclude(folder, view)
                            return
                    elif time.monotonic() >= cancel_at:
                        await cancel_job(job_id)
                        cancel_at = time.monotonic() + CANCEL_AGAIN_SECONDS
                except SlurmSilent as silence:
                    logger.warning("cannot cancel Slurm job %s yet: %s", job_id, silence)
            await asyncio.sleep(POLL_SECONDS)


async def _cancel_inner(folder: Path, intent: Intent) -> None:
    """Cancel the jobs that the command itself has submitted."""
    while True:
        try:
            if intent.submits:
                await cancel_named(intent.inner_name)
            await cancel_inside(folder)
        except SlurmSilent as silence:
            logger.warning("cannot cancel jobs named %s yet: %s", intent.inner_name, silence)
            await asyncio.sleep(RETRY_SECONDS)
        else:
            return
