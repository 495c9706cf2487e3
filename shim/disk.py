"""Why queued runs wait for room on a disk, as the API tells it."""

import time
from collections.abc import Sequence
from pathlib import Path

from wildloop.flows.files.disk import DiskLimits, disk_fault, home_fault
from wildloop.flows.models.run import Run, RunStatus

FRESH_SECONDS = 5.0


class DiskNotes:
    """What is known of the disks of the home and of projects on this machine.

    The worker keeps the runs back by the same rule. It is looked at here anew, and told to who
    asks, since nothing can be written down while the database's own disk is full.

    Args:
        home: WILDLOOP_HOME.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._limits = DiskLimits.from_environment()
        self._looked: dict[Path, tuple[float, str | None]] = {}

    def warnings(self) -> list[str]:
        """What is the matter with the home's disk."""
        fault = self._look(self._home)
        return [f"{fault}; new runs wait until there is"] if fault else []

    def explained(self, runs: Sequence[Run]) -> list[Run]:
        """The runs; those that wait for room on a disk say so in their reason."""
        return [self._explained(run) if run.status is RunStatus.QUEUED else run for run in runs]

    def _explained(self, run: Run) -> Run:
        fault = self._look(self._home) or self._look(Path(run.workdir))
        return run.model_copy(update={"reason": fault}) if fault else run

    def _look(self, place: Path) -> str | None:
        at, fault = self._looked.get(place, (float("-inf"), None))
        if (now := time.monotonic()) - at >= FRESH_SECONDS:
            look = home_fault if place == self._home else disk_fault
            fault = look(place, self._limits)
            self._looked[place] = now, fault
        return fault
