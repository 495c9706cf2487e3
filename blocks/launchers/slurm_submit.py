"""Handing a launch to Slurm once, whatever dies in between."""

import asyncio
import errno
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from wildloop.blocks.launchers.base import LaunchFailed, LaunchSpec
from wildloop.blocks.launchers.slurm_commands import SlurmSilent, SubmitLimit, find_job, submit
from wildloop.blocks.launchers.slurm_options import (
    SlurmOverride,
    limit_minutes,
    limit_of,
    sbatch_options,
    warning_seconds,
)
from wildloop.blocks.launchers.slurm_record import (
    INTENT,
    JOB,
    LOCK,
    SCRIPT,
    STOP,
    Intent,
    Job,
    read,
    read_claim,
    write,
    write_text,
)
from wildloop.blocks.launchers.slurm_script import (
    SBATCH_NOTE,
    batch_script,
    calls_sbatch,
    submission_environment,
)

logger = logging.getLogger(__name__)

GIVE_UP_SECONDS = 180.0
RETRY_SECONDS = 2.0
# Between two tries of the one job at the head of those that wait to be submitted.
LIMIT_SECONDS = 10.0
_NO_LOCKS = frozenset({errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK})


def job_id_of(folder: Path) -> str | None:
    """The job of the launch in `folder`: the one that runs it, else the one handed in."""
    if (claimed := read_claim(folder)) is not None:
        return claimed
    job = read(folder, JOB, Job)
    return job.job_id if job is not None else None


@contextmanager
def submission_lock(folder: Path) -> Iterator[int | None]:
    """The right to submit, as a descriptor; None while another holds it.

    sbatch inherits the descriptor, so that the lock outlasts a killed submitter for as long as
    its sbatch may still hand in the job.
    """
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        except OSError as error:
            # Some shared file systems have no locks; a second job then still does nothing.
            if error.errno not in _NO_LOCKS:
                raise
        yield descriptor
    finally:
        os.close(descriptor)


class SubmitGate:
    """Lets jobs in one after another once Slurm has said that there are too many.

    The first waits at the head and asks again every LIMIT_SECONDS; the others stand behind it in
    their order and ask nothing.
    """

    def __init__(self) -> None:
        self._waiting = asyncio.Lock()

    @property
    def is_shut(self) -> bool:
        """Whether somebody waits."""
        return self._waiting.locked()

    async def queue_up(self, spec: LaunchSpec, intent: Intent, lock: int) -> str:
        """Wait for one's turn, and until Slurm takes the job; return its id.

        Raises:
            LaunchFailed: Slurm refuses it for another reason, or it was stopped meanwhile.
        """
        await self._turn(spec.folder)
        try:
            while True:
                try:
                    return await _submit_or_find(spec, intent, lock, known=True)
                except SubmitLimit as limit:
                    logger.info("'%s' waits to be submitted: %s", spec.name, limit)
                for _ in range(round(LIMIT_SECONDS / RETRY_SECONDS)):
                    _check_stopped(spec.folder)
                    await asyncio.sleep(RETRY_SECONDS)
        finally:
            self._waiting.release()

    async def _turn(self, folder: Path) -> None:
        """Become the head."""
        turn = asyncio.ensure_future(self._waiting.acquire())
        try:
            while not turn.done():
                await asyncio.wait({turn}, timeout=RETRY_SECONDS)
                if not turn.done():
                    _check_stopped(folder)
        except BaseException:
            if not turn.cancel():
                self._waiting.release()
            raise


async def prepare_launch(spec: LaunchSpec, options: SlurmOverride) -> tuple[Intent, bool]:
    """Write down what is to be handed in, unless an earlier try did so; under the folder's lock.

    Returns:
        The intent, and whether it was there before: its job may be, too.
    """
    intent = read(spec.folder, INTENT, Intent)
    known = intent is not None
    if intent is None:
        (spec.folder / STOP).unlink(missing_ok=True)
        spec.log.parent.mkdir(parents=True, exist_ok=True)
        intent = _intend(spec, options)
        write(spec.folder, INTENT, intent)
    script = batch_script(spec, intent, options)
    await asyncio.to_thread(_write_script, spec.folder, script)
    return intent, known


def _write_script(folder: Path, script: str) -> None:
    write_text(folder, SCRIPT, script)
    (folder / "bin").mkdir(exist_ok=True)
    write_text(folder / "bin", "sbatch", SBATCH_NOTE)
    (folder / "bin" / "sbatch").chmod(0o755)


async def hand_in(
    spec: LaunchSpec, intent: Intent, lock: int, known: bool, gate: SubmitGate | None
) -> None:
    """Hand the job in; under the folder's lock.

    Args:
        spec: what to launch.
        intent: what was written down of it.
        lock: the folder's lock, which sbatch inherits.
        known: its job may have been handed in before.
        gate: wait here for as long as Slurm takes no more jobs; None: do not wait.

    Raises:
        SubmitLimit: Slurm takes no more jobs now, and there is no gate.
        LaunchFailed: Slurm refuses the job, does not answer for GIVE_UP_SECONDS, or the launch
            was stopped meanwhile; the folder can be launched into again.
    """
    try:
        if gate is not None:
            job_id = await gate.queue_up(spec, intent, lock)
        else:
            job_id = await _submit_or_find(spec, intent, lock, known)
    except LaunchFailed:
        # A job of this intent that turns up later finds it gone, and does nothing.
        (spec.folder / INTENT).replace(spec.folder / f"{INTENT}.given-up")
        raise
    write(spec.folder, JOB, Job(job_id=job_id, submitted_at=time.time()))


async def find_submitted(folder: Path, intent: Intent) -> str | None:
    """The job of a launch that was left half-way, noted for the next time; None: there is none.

    Raises:
        SlurmSilent: squeue does not answer.
    """
    job_id = await find_job(intent.token)
    if job_id is not None:
        write(folder, JOB, Job(job_id=job_id, submitted_at=intent.written_at))
    return job_id


async def _submit_or_find(spec: LaunchSpec, intent: Intent, lock: int, known: bool) -> str:
    env = submission_environment(spec, intent, os.environ)
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while True:
        _check_stopped(spec.folder)
        try:
            if known and (found := await find_job(intent.token)) is not None:
                return found
            known = True
            return await submit(intent.arguments, env, str(spec.cwd), lock)
        except SlurmSilent as silence:
            if time.monotonic() > deadline:
                raise LaunchFailed(
                    f"Slurm did not take the job within {GIVE_UP_SECONDS:g} s ({silence}): "
                    "see `scontrol ping`, then run it again"
                ) from silence
            logger.warning("submission for '%s' waits: %s", spec.folder, silence)
        await asyncio.sleep(RETRY_SECONDS)


def _check_stopped(folder: Path) -> None:
    if (folder / STOP).exists():
        raise LaunchFailed("stopped before Slurm took the job")


def _intend(spec: LaunchSpec, options: SlurmOverride) -> Intent:
    submits = calls_sbatch(spec.command)
    own_limit = spec.slurm is not None and spec.slurm.time_limit is not None
    resources = sbatch_options(
        options, 0 if submits else spec.gpus, spec.timeout_seconds, own_limit
    )
    limit = limit_of(options, spec.timeout_seconds, own_limit)
    warning = warning_seconds(options, limit)
    intent = Intent(
        token=uuid4().hex,
        run_id="".join(one for one in spec.run_id if one.isalnum() or one in "-_.") or "none",
        arguments=[],
        written_at=time.time(),
        submits=submits,
        warned_after=None if warning is None else limit_minutes(limit or "") * 60 - warning - 60,
    )
    name = "".join(one for one in spec.name if one.isprintable())[:100] or "wildloop"
    own = [f"--job-name={name}", f"--comment={intent.comment}", "--parsable", "--export=ALL"]
    own += [f"--chdir={spec.cwd.absolute()}", "--open-mode=append", "--input=/dev/null"]
    own.append(f"--output={_literally(spec.log)}")
    if spec.stderr is not None:
        own.append(f"--error={_literally(spec.stderr)}")
    arguments = [*resources, *own, str((spec.folder / SCRIPT).absolute())]
    return intent.model_copy(update={"arguments": arguments})


def _literally(path: Path) -> str:
    """A path in which sbatch replaces nothing."""
    return str(path.absolute()).replace("%", "%%")
