"""Slurm's commands and their answers."""

import asyncio
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from wildloop.blocks.launchers.base import LaunchFailed
from wildloop.blocks.launchers.slurm_reasons import is_submit_limit, mend_of_refusal

COMMAND_SECONDS = 20.0
SUBMIT_SECONDS = 60.0
_SQUEUE = ("squeue", "--noheader", "--states=all")
_PENDING = frozenset(
    {
        *("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD"),
        *("SPECIAL_EXIT", "POWER_UP_NODE"),
    }
)
_RUNNING = frozenset(
    {
        *("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING"),
        "UPDATE_DB",
    }
)
# Slurm may yet put these back into the queue.
_REQUEUED = frozenset({"PREEMPTED", "NODE_FAIL", "BOOT_FAIL"})
_OWN_END = frozenset({"COMPLETED", "FAILED"})
# Said by sbatch when it cannot know whether the job was accepted.
_UNANSWERED = re.compile(
    r"unable to contact|connection (refused|timed out|reset)|socket timed out|communication|"
    r"zero bytes|transport|timed out|temporarily unable",
    re.IGNORECASE,
)
_LISTED_STATE = re.compile(r"[A-Z_]+")


class SlurmSilent(Exception):
    """Slurm did not answer: nothing is known, and no job is lost by that."""


class SubmitLimit(Exception):
    """Slurm takes no more jobs of this user, account or QOS until others have ended."""


class JobView(BaseModel):
    """One job as Slurm lists it. `started_at` (Unix seconds) is its latest start."""

    model_config = ConfigDict(frozen=True)

    job_id: str
    state: str
    nodes: str = ""
    reason: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    started_at: float | None = None

    @property
    def is_pending(self) -> bool:
        """It waits, perhaps again."""
        return self.state in _PENDING

    @property
    def is_running(self) -> bool:
        """It holds its resources; also while its processes are being ended."""
        return self.state in _RUNNING

    @property
    def has_ended(self) -> bool:
        """Neither waiting nor running, so that an unknown state of a later Slurm is an end."""
        return not (self.is_pending or self.is_running)

    @property
    def may_be_requeued(self) -> bool:
        """An end that Slurm may turn into waiting by itself."""
        return self.state in _REQUEUED

    @property
    def ended_by_slurm(self) -> str | None:
        """The state, where it says more than the exit code does."""
        return self.state if self.has_ended and self.state not in _OWN_END else None


@dataclass(frozen=True)
class Answer:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


async def submit(arguments: Sequence[str], env: Mapping[str, str], cwd: str, lock: int) -> str:
    """Call sbatch; return the job id. `lock` is inherited, so that it is held until sbatch ends.

    Raises:
        LaunchFailed: Slurm refuses the job.
        SubmitLimit: it refuses more jobs for now.
        SlurmSilent: the job may or may not have been accepted.
    """
    answer = await _call(("sbatch", *arguments), SUBMIT_SECONDS, env, cwd, (lock,))
    if answer.code == 0:
        found = re.search(r"(?:^|Submitted batch job )(\d+)(?:;\S*)?\s*$", answer.out, re.MULTILINE)
        if found is not None:
            return found.group(1)
        raise SlurmSilent(f"sbatch gave no job id: {answer.out.strip()[:200]}")
    said = _said(answer)
    if is_submit_limit(said):
        raise SubmitLimit(said)
    if _UNANSWERED.search(said):
        raise SlurmSilent(f"sbatch: {said}")
    raise LaunchFailed(f"sbatch refused the job: {said}; {mend_of_refusal(said)}")


async def list_jobs(job_ids: Iterable[str]) -> dict[str, JobView]:
    """All these jobs by one squeue; those that Slurm has forgotten are left out.

    Raises:
        SlurmSilent: squeue does not answer.
    """
    wanted = sorted(set(job_ids))
    if not wanted:
        return {}
    answer = await _call((*_SQUEUE, f"--jobs={','.join(wanted)}", "--format=%i|%T|%N|%r|%S"))
    # Slurm says so when it knows none of them.
    if answer.code != 0 and "Invalid job id" not in answer.err:
        raise SlurmSilent(f"squeue: {_said(answer)}")
    return parse_squeue(answer.out)


async def find_job(token: str) -> str | None:
    """The job whose comment bears this launch's token.

    Raises:
        SlurmSilent: squeue does not answer.
    """
    answer = await _call((*_SQUEUE, f"--user={os.getuid()}", "--format=%i|%k"))
    if answer.code != 0:
        raise SlurmSilent(f"squeue: {_said(answer)}")
    for line in answer.out.splitlines():
        job_id, _, comment = line.partition("|")
        if f"launch={token}" in comment.split():
            return job_id.strip()
    return None


async def cancel_job(job_id: str) -> None:
    """Cancel a job; one that has ended is left as it is.

    Raises:
        SlurmSilent: scancel does not answer.
    """
    await _cancel(("scancel", job_id))


async def cancel_named(name: str) -> None:
    """Cancel the user's jobs of this name.

    Raises:
        SlurmSilent: scancel does not answer.
    """
    await _cancel(("scancel", f"--user={os.getuid()}", f"--name={name}"))


async def shown_job(job_id: str) -> JobView | None:
    """A job that slurmctld still lists, with its exit code; None where it does not know it.

    Raises:
        SlurmSilent: it does not answer.
    """
    shown = await _call(("scontrol", "--oneliner", "show", "job", job_id))
    if shown.code == 0 and (view := parse_scontrol(shown.out)) is not None:
        return view
    if shown.code != 0 and "Invalid job id" not in shown.err + shown.out:
        raise SlurmSilent(f"scontrol: {_said(shown)}")
    return None


async def recorded_jobs(job_ids: Iterable[str]) -> dict[str, JobView]:
    """What the cluster's accounts say of jobs, by one sacct; empty where none are kept."""
    wanted = sorted(set(job_ids))
    if not wanted or shutil.which("sacct") is None:
        return {}
    command = ("sacct", "--noheader", "--parsable2", "--allocations", f"--jobs={','.join(wanted)}")
    told = await _call((*command, "--format=JobIDRaw,State,NodeList,ExitCode"))
    # Many small clusters keep no accounts: that is no answer, and no fault either.
    return parse_sacct(told.out) if told.code == 0 else {}


async def list_with_tasks(job_ids: Iterable[str]) -> dict[str, list[JobView]]:
    """All these jobs by one squeue, those of an array under the array's number.

    Raises:
        SlurmSilent: squeue does not answer.
    """
    wanted = sorted(set(job_ids))
    if not wanted:
        return {}
    # %F is the array's number, or the job's.
    answer = await _call((*_SQUEUE, f"--jobs={','.join(wanted)}", "--format=%F|%T|%N|%r|%S"))
    if answer.code != 0 and "Invalid job id" not in answer.err:
        raise SlurmSilent(f"squeue: {_said(answer)}")
    found: dict[str, list[JobView]] = {}
    for line in answer.out.splitlines():
        for job, view in parse_squeue(line).items():
            found.setdefault(job, []).append(view)
    return found


def parse_squeue(text: str) -> dict[str, JobView]:
    """Jobs from `%i|%T|%N|%r|%S`; lines of another form are left out."""
    views = {}
    for line in text.splitlines():
        fields = [part.strip() for part in line.split("|", 4)]
        if len(fields) >= 4 and fields[0].isdigit() and _LISTED_STATE.match(fields[1]):
            job_id, state, nodes, reason = fields[:4]
            shown = None if reason in ("", "None", "(null)") else reason.strip("()")
            views[job_id] = JobView(
                job_id=job_id,
                state=state,
                nodes=nodes,
                reason=shown,
                started_at=_moment(fields[4]) if len(fields) > 4 else None,
            )
    return views


def _moment(text: str) -> float | None:
    """Unix seconds of a time as squeue prints it by default; None for none."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def parse_scontrol(text: str) -> JobView | None:
    """One job from `scontrol --oneliner show job`."""
    # Before the command's own texts (Command=, Comment=), which may hold anything.
    fields = dict(
        part.split("=", 1) for part in text.partition(" Command=")[0].split() if "=" in part
    )
    if "JobId" not in fields or "JobState" not in fields:
        return None
    code, signal = _exit(fields.get("ExitCode", ""))
    reason, nodes = fields.get("Reason"), fields.get("NodeList", "")
    return JobView(
        job_id=fields["JobId"],
        state=fields["JobState"],
        nodes="" if nodes == "(null)" else nodes,
        reason=None if reason in (None, "None") else reason,
        exit_code=code,
        signal=signal,
    )


def parse_sacct(text: str) -> dict[str, JobView]:
    """Jobs of `sacct --parsable2 --format=JobIDRaw,State,NodeList,ExitCode`, each as told last."""
    views = {}
    for line in text.splitlines():
        fields = line.split("|")
        # "CANCELLED by 1000"
        state = _LISTED_STATE.match(fields[1]) if len(fields) == 4 else None
        if state is not None:
            code, signal = _exit(fields[3])
            views[fields[0]] = JobView(
                job_id=fields[0],
                state=state.group(),
                nodes="" if fields[2] == "None assigned" else fields[2],
                exit_code=code,
                signal=signal,
            )
    return views


def _exit(text: str) -> tuple[int | None, int | None]:
    code, _, signal = text.partition(":")
    if not (code.isdigit() and signal.isdigit()):
        return None, None
    return int(code), int(signal) or None


async def _cancel(command: Sequence[str]) -> None:
    answer = await _call(command)
    said = answer.err.lower()
    over = ("invalid job id", "already completing or completed", "invalid job")
    if answer.code != 0 and not any(word in said for word in over):
        raise SlurmSilent(f"scancel: {_said(answer)}")


def _said(answer: Answer) -> str:
    text = answer.err.strip() or answer.out.strip() or f"exit code {answer.code}"
    lines = [re.sub(r"^\w+: (?:error: )?", "", line) for line in text.splitlines()]
    return " / ".join(lines)[:400]


async def _call(
    command: Sequence[str],
    timeout_seconds: float = COMMAND_SECONDS,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    pass_fds: Sequence[int] = (),
) -> Answer:
    """Run a Slurm command.

    Raises:
        LaunchFailed: it is not installed.
        SlurmSilent: it did not answer in time; it is ended then.
    """
    program = shutil.which(command[0])
    if program is None:
        raise LaunchFailed(
            f"{command[0]} is not on PATH: start Wildloop on a login node of the Slurm cluster"
        )
    process = await asyncio.create_subprocess_exec(
        program,
        *command[1:],
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=dict(env) if env is not None else _plain_environment(),
        cwd=cwd,
        pass_fds=pass_fds,
    )
    try:
        async with asyncio.timeout(timeout_seconds):
            out, err = await process.communicate()
    except TimeoutError as error:
        raise SlurmSilent(f"{command[0]} did not answer within {timeout_seconds:g} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Answer(
        process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")
    )


def _plain_environment() -> dict[str, str]:
    """This process's, less the variables by which sites and outer jobs change the output."""
    changing = ("SQUEUE_", "SCANCEL_", "SACCT_", "SLURM_TIME_FORMAT", "SLURM_JOB")
    return {name: text for name, text in os.environ.items() if not name.startswith(changing)}
