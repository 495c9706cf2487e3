"""Which launcher a command belongs to."""

import time
from collections.abc import Mapping
from pathlib import Path

from wildloop.blocks.launchers.base import Launcher
from wildloop.blocks.launchers.local import LocalLauncher
from wildloop.blocks.launchers.record import RECORD
from wildloop.blocks.launchers.slurm import SlurmLauncher
from wildloop.blocks.launchers.slurm_compute import SlurmCompute
from wildloop.blocks.launchers.slurm_record import is_slurm_launch

MOST_FAULTS = 3
ASIDE_SECONDS = 600.0
REFUSED_SECONDS = 120.0


class Launchers:
    """The launchers of one worker.

    Args:
        slurm: how new commands become Slurm jobs; None: they run on this host.
        further: of the worker's other computes, by their names.
    """

    def __init__(
        self, slurm: SlurmCompute | None = None, further: Mapping[str, SlurmCompute] | None = None
    ) -> None:
        self._local = LocalLauncher()
        self._slurm = SlurmLauncher(slurm or SlurmCompute())
        self._faults, self._aside_until = 0, 0.0
        self._refused: dict[str, float] = {}
        self._new: Launcher = self._slurm if slurm is not None else self._local
        self._further: dict[str, SlurmLauncher] = {
            name: SlurmLauncher(block, beside=self._slurm)
            for name, block in (further or {}).items()
        }

    @property
    def is_local(self) -> bool:
        """Whether all new commands run on this host."""
        return self._new is self._local and not self._further

    @property
    def is_aside(self) -> bool:
        """Whether this host is to take no runs for now, as long as there are others."""
        return time.monotonic() < self._aside_until

    def note_launch(self, fault: str | None) -> bool:
        """Count launches on this host that failed before the command was begun.

        Returns:
            True when this one is the last of MOST_FAULTS in a row: the host is set aside for
            ASIDE_SECONDS, and again at the next fault after that.
        """
        self._faults = 0 if fault is None else self._faults + 1
        if self._new is not self._local or self._faults < MOST_FAULTS or self.is_aside:
            return False
        self._aside_until = time.monotonic() + ASIDE_SECONDS
        return True

    def refuse(self, run_id: str) -> None:
        """Note that this host cannot serve a run for now: it is left to others."""
        now = time.monotonic()
        self._refused = {id: until for id, until in self._refused.items() if until > now}
        self._refused[run_id] = now + REFUSED_SECONDS

    def has_refused(self, run_id: str) -> bool:
        """Whether it was found lately that this host cannot serve a run."""
        return time.monotonic() < self._refused.get(run_id, 0.0)

    def renew(self, slurm: SlurmCompute, name: str | None = None) -> None:
        """Have new Slurm jobs ask for resources by another block: the first's, or a further one."""
        (self._slurm if name is None else self._further[name]).compute = slurm

    def of(self, folder: Path, compute: str | None = None) -> Launcher:
        """The launcher that began what `folder` records.

        Args:
            folder: of the run.
            compute: where it is to begin, if nothing is there; None, or no further one: the first.
        """
        given = self._further.get(compute) if compute is not None else None
        if is_slurm_launch(folder):
            return given or self._slurm
        if (folder / RECORD).exists():
            return self._local
        return given or self._new

    def is_here(self, launcher: Launcher) -> bool:
        """Whether a launcher's commands run on this host."""
        return launcher is self._local
