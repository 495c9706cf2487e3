"""What processes beside a run tell of it, and whether it agrees with what Wildloop sees."""

import asyncio
import json
import time
from pathlib import Path

from wildloop.flows.errors import Conflict, InvalidTransition
from wildloop.flows.files.paths import RunPaths
from wildloop.flows.models.run import Run
from wildloop.shim.models import StatusReport

MOST_BYTES = 1024 * 1024


def check_report(run: Run, report: StatusReport) -> None:
    """Refuse a report that contradicts what Wildloop knows of the run.

    Raises:
        InvalidTransition: the run has ended otherwise, or was not launched.
        Conflict: it is told to have ended while its command runs, or with another exit code.
    """
    if run.status.is_active and report.status.is_terminal:
        raise Conflict(
            f"run '{run.id}' is '{run.status}': it cannot become '{report.status}' by a report, "
            "its command is not over; the outcome is its exit code (to end it: POST "
            f"/runs/{run.id}/stop)"
        )
    if report.status is not run.status and not (run.status.is_active and report.status.is_active):
        raise InvalidTransition("run", run.id, run.status, report.status)
    if report.exit_code not in (None, run.exit_code):
        raise Conflict(
            f"run '{run.id}' is '{run.status}' with exit code {run.exit_code}, not "
            f"{report.exit_code}: leave exit_code out"
        )


async def keep_report(run: Run, report: StatusReport) -> None:
    """Append the report to the run's folder; one that was never launched has none."""
    paths = RunPaths(Path(run.run_dir))
    line = json.dumps({"time": time.time(), **report.model_dump(mode="json", exclude_none=True)})

    def append() -> None:
        if not paths.root.is_dir():
            return
        if paths.reports.exists() and paths.reports.stat().st_size > MOST_BYTES:
            raise Conflict(
                f"run '{run.id}' has more than {MOST_BYTES} bytes of reports: report changes only"
            )
        with paths.reports.open("ab", buffering=0) as file:
            file.write(line.encode() + b"\n")

    await asyncio.to_thread(append)
