"""Which launcher a command belongs to."""

import time
from collections.abc import Mapping
from pathlib import Path

from wildloop.blocks.launchers.base import Launcher
from wildloop.blocks.launchers.kubernetes import KubernetesLauncher
from wildloop.blocks.launchers.kubernetes_compute import KubernetesCompute
from wildloop.blocks.launchers.kubernetes_record import is_kubernetes_launch
from wildloop.blocks.launchers.local import LocalLauncher
from wildloop.blocks.launchers.record import RECORD
from wildloop.blocks.launchers.slurm import SlurmLauncher
from wildloop.blocks.launchers.slurm_compute import SlurmCompute
from wildloop.blocks.launchers.slurm_record import is_slurm_launch

ComputeBlock = SlurmCompute | KubernetesCompute
MOST_FAULTS = 3
ASIDE_SECONDS = 600.0
REFUSED_SECONDS = 120.0


class Launchers:
    """The launchers of one worker.

    Args:
        compute: how new commands become jobs of a cluster; None: they run on this host.
        further: of the worker's other computes, by their names.
    """

    def __init__(
        self, compute: ComputeBlock | None = None, further: Mapping[str, ComputeBlock] | None = None
    ) -> None:
        self._local = LocalLauncher()
        self._slurm = SlurmLauncher(
            compute if isinstance(compute, SlurmCompute) else SlurmCompute()
        )
        self._faults, self._aside_until = 0, 0.0
        self._refused: dict[str, float] = {}
        self._new: Launcher = self._local
        if isinstance(compute, SlurmCompute):
            self._new = self._slurm
        elif compute is not None:
            self._new = KubernetesLauncher(compute)
        self._further = {name: self._launcher(block) for name, block in (further or {}).items()}

    def _launcher(self, block: ComputeBlock) -> SlurmLauncher | KubernetesLauncher:
        if isinstance(block, SlurmCompute):
            return SlurmLauncher(block, beside=self._slurm)
        return KubernetesLauncher(block)

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

    def renew(self, block: ComputeBlock, name: str | None = None) -> None:
        """Have new jobs ask for resources by another block: of the first, or a further compute."""
        launcher = self._new if name is None else self._further[name]
        if (isinstance(launcher, SlurmLauncher) and isinstance(block, SlurmCompute)) or (
            isinstance(launcher, KubernetesLauncher) and isinstance(block, KubernetesCompute)
        ):
            launcher.compute = block

    def of(self, folder: Path, compute: str | None = None) -> Launcher:
        """The launcher that began what `folder` records.

        Args:
            folder: of the run.
            compute: where it is to begin, if nothing is there; None, or no further one: the first.
        """
        given = self._further.get(compute) if compute is not None else None
        if is_slurm_launch(folder):
            return given if isinstance(given, SlurmLauncher) else self._slurm
        if is_kubernetes_launch(folder):
            every = [given, self._new, *self._further.values()]
            return next((one for one in every if isinstance(one, KubernetesLauncher)), self._new)
        if (folder / RECORD).exists():
            return self._local
        return given or self._new

    def is_here(self, launcher: Launcher) -> bool:
        """Whether a launcher's commands run on this host."""
        return launcher is self._local
