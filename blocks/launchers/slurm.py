"""Commands as Slurm jobs."""

import asyncio
import logging
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
from wildloop.blocks.launchers.slurm_commands import (
    JobView,
    SlurmSilent,
    cancel_job,
    cancel_named,
    ended_job,
    list_jobs,
)
from wildloop.blocks.launchers.slurm_compute import SlurmCompute
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
    read,
    settle_exit_code,
    write,
    write_text,
)
from wildloop.blocks.launchers.slurm_submit import (
    RETRY_SECONDS,
    find_submitted,
    job_id_of,
    submission_lock,
    submit_launch,
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
_SUBMITTING = ProcessStatus(state=ProcessState.PENDING, reason="being submitted")
_GOING_ON = (ProcessState.PENDING, ProcessState.RUNNING)


class SlurmLauncher(Launcher):
    """Launches as batch jobs of this host's Slurm cluster; the record folder must be shared.

    One launcher per process and event loop: it asks after all its jobs with one squeue. A job is
    handed in once, whatever dies in between: an intent is recorded before sbatch is called, whose
    token is in the job's comment, and a job that is not the folder's first does nothing. Only the
    job's own exit code, or Slurm's word that it is over, ends a launch; while Slurm does not
    answer, the last known state stands.

    A preempted job, or one whose node failed, is PENDING again when Slurm requeues it, else LOST
    with the reason. PENDING also stands for a submission in progress; ABSENT after it means that
    nothing reached Slurm: launch again.

    A command that calls `srun` uses the job's allocation. One that calls `sbatch` itself gets a
    small job without GPUs, in which sbatch waits for the inner job and returns its exit code
    (SBATCH_WAIT), so that the end of the run is the end of the inner job; the latter asks for its
    resources by itself, and stopping the launch cancels it.
    """

    def __init__(self, compute: SlurmCompute) -> None:
        self._compute = compute
        self._watch = JobWatch(list_jobs)
        self._attempts: dict[Path, tuple[str, int]] = {}

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
            if intent is not None and read(folder, FINAL, Final) is None:
                await asyncio.to_thread(write_text, folder, STOP, f"{max(0.0, grace_seconds):g}\n")
                await self._cancel(folder)
        except ValueError as error:
            raise LaunchFailed(str(error)) from error
        if intent is not None and intent.submits:
            await _cancel_inner(intent)
        return await self.status(folder)

    async def _while(self, folder: Path, states: tuple[ProcessState, ...]) -> ProcessStatus:
        """The first status that is none of these."""
        status = await self.status(folder)
        while status.state in states:
            await asyncio.sleep(POLL_SECONDS)
            status = await self.status(folder)
        return status

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
                if job_id_of(spec.folder) is None:
                    await submit_launch(spec, self._compute.merged(spec.slurm), lock)
        except (OSError, ValueError) as error:
            raise LaunchFailed(f"cannot submit the command: {error}") from error
        return await self.status(spec.folder)

    async def _status(self, folder: Path) -> ProcessStatus:
        intent = read(folder, INTENT, Intent)
        if intent is None:
            return ProcessStatus(state=ProcessState.ABSENT)
        start, job_id = read(folder, START, Start), job_id_of(folder)
        final, code = read(folder, FINAL, Final), read_exit_code(folder)
        if final is not None or code is not None:
            return ended(job_id, start, code, final)
        if job_id is None:
            return await self._half_way(folder, intent)
        try:
            seen = await self._watch.look(job_id, at_once=self._is_new(folder, start))
            if seen.view is None or seen.view.has_ended:
                return await self._judge(folder, job_id, seen)
        except SlurmSilent as silence:
            return unanswered(job_id, start, str(silence))
        return alive(job_id, start, seen)

    def _is_new(self, folder: Path, start: Start | None) -> bool:
        """Whether an attempt has begun since the last look, so that Slurm's view is old."""
        if start is None or self._attempts.get(folder) == (start.job_id, start.restart):
            return False
        self._attempts[folder] = (start.job_id, start.restart)
        return True

    async def _half_way(self, folder: Path, intent: Intent) -> ProcessStatus:
        """A launch without a job id: being handed in, or left by a process that died."""
        with submission_lock(folder) as lock:
            if lock is None:
                return _SUBMITTING
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
            view = await ended_job(job_id) or view
            if view is not None and not view.has_ended:
                return alive(job_id, start, seen)
        final = await self._conclude(folder, view)
        return ended(job_id, start, read_exit_code(folder), final)

    async def _conclude(self, folder: Path, view: JobView | None) -> Final:
        """Note that the launch is over, so that nobody has to ask Slurm again."""
        start = read(folder, START, Start)
        final = final_of(view, start, last_end(start, read(folder, END, End)))
        if final.exit_code is not None and read_exit_code(folder) is None:
            await asyncio.to_thread(settle_exit_code, folder, final.exit_code)
        await asyncio.to_thread(write, folder, FINAL, final)
        self._attempts.pop(folder, None)
        return final

    async def _ask_why(self, folder: Path) -> None:
        """After a failure, ask for some seconds whether Slurm ended the job, and note it."""
        job_id, deadline = job_id_of(folder), time.monotonic() + REASON_SECONDS
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


async def _cancel_inner(intent: Intent) -> None:
    """Cancel the jobs that the command itself has submitted."""
    while True:
        try:
            await cancel_named(intent.inner_name)
        except SlurmSilent as silence:
            logger.warning("cannot cancel jobs named %s yet: %s", intent.inner_name, silence)
            await asyncio.sleep(RETRY_SECONDS)
        else:
            return
