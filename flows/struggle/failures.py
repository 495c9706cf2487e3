"""Failed runs by cause, as their logs tell it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel

from wildloop.flows.files.paths import RunPaths
from wildloop.flows.models.run import Run, RunStatus
from wildloop.flows.run.attempts import log_tail
from wildloop.flows.text.log_end import error_line, likeness

LOGS_READ = 60


class Cause(BaseModel):
    """Why some runs failed."""

    text: str
    runs: list[Run]


def failure_logs(runs: Sequence[Run]) -> dict[str, str]:
    """Ends of the logs of the failed runs, by id; of very many the latest."""
    failed = [run for run in runs if run.status is RunStatus.FAILED][-LOGS_READ:]
    return {run.id: log_tail(RunPaths(Path(run.run_dir)).log) for run in failed}


def causes(runs: Sequence[Run], logs: Mapping[str, str]) -> list[Cause]:
    """The causes in order of their first run; two are one if only numbers differ.

    Args:
        runs: any runs; only failed ones count.
        logs: ends of logs, by run id. Without one the run's own error is taken.
    """
    found: dict[str, Cause] = {}
    for run in runs:
        if run.status is RunStatus.FAILED:
            said = error_line(logs.get(run.id, "")) or run.error or "no reason is known"
            text = " ".join(said.split())
            found.setdefault(likeness(text), Cause(text=text, runs=[])).runs.append(run)
    return list(found.values())
