"""Jobs that a run's own command hands in: the run lasts until they have ended."""

import logging
import re
from collections.abc import Iterable
from pathlib import Path

from wildloop.blocks.launchers.slurm_accounts import Accounts
from wildloop.blocks.launchers.slurm_commands import (
    JobView,
    cancel_job,
    list_with_tasks,
)
from wildloop.blocks.launchers.slurm_record import INNER, SUBMITTED, Inner, read, write

logger = logging.getLogger(__name__)

_SUCCESS = "COMPLETED"
_ID = re.compile(r"(?:^|Submitted batch job )(\d+)(?:;\S*)?$", re.MULTILINE)
_SHOWN = 5


def submitted(folder: Path) -> list[str] | None:
    """The jobs that the command has handed in, as far as known; None: it never called sbatch."""
    path = folder / SUBMITTED
    if not path.exists():
        return None
    return list(dict.fromkeys(_ID.findall(path.read_text(encoding="utf-8", errors="replace"))))


async def look_inside(folder: Path, jobs: Iterable[str], accounts: Accounts) -> Inner:
    """What the jobs of a command that has ended are doing, or what came of them.

    Raises:
        SlurmSilent: Slurm does not answer.
    """
    known = read(folder, INNER, Inner) or Inner()
    if known.is_over:
        return known
    wanted = list(jobs)
    views = await list_with_tasks(wanted)
    states = {job: known.jobs.get(job, "") for job in wanted}
    states |= {job: _word(tasks) for job, tasks in views.items()}
    going = [job for job, tasks in views.items() if any(not one.has_ended for one in tasks)]
    found = Inner(jobs=states) if going else await _concluded(states, accounts)
    if found != known:
        write(folder, INNER, found)
    return found


async def cancel_inside(folder: Path) -> None:
    """Cancel what the command has handed in and is not over.

    Raises:
        SlurmSilent: scancel does not answer.
    """
    known = read(folder, INNER, Inner)
    if known is None or not known.is_over:
        for job in submitted(folder) or ():
            await cancel_job(job)


def waits_for(inner: Inner) -> str:
    """Why a run whose command has ended goes on."""
    going = [job for job, state in inner.jobs.items() if state in ("", "PENDING", "RUNNING")]
    return f"waits for job {', '.join(going[:_SHOWN])} that its command handed in"


async def _concluded(states: dict[str, str], accounts: Accounts) -> Inner:
    """What came of jobs none of which goes on; one that failed is what the run came to."""
    if not states:
        logger.warning("a command called sbatch, and no job of it is known")
    for job, last in states.items():
        state, code = last, 1
        told = await accounts.look(job) if last != _SUCCESS else None
        if told is not None and told.has_ended:
            state, code = told.state, told.exit_code or 1
        if state == _SUCCESS:
            continue
        if not JobView(job_id=job, state=state or "PENDING").has_ended:
            why = f"job {job}, which the command handed in, is gone: Slurm does not tell its end"
        else:
            why = f"job {job}, which the command handed in, ended as {state}"
        return Inner(jobs=states, is_over=True, exit_code=code, reason=why)
    return Inner(jobs=states, is_over=True)


def _word(tasks: list[JobView]) -> str:
    """One state for all tasks of an array: of one that goes on, else of one that failed."""
    going = [one.state for one in tasks if not one.has_ended]
    failed = [one.state for one in tasks if one.state != _SUCCESS]
    return (going or failed or [_SUCCESS])[0]
