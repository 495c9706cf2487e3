"""Which launcher a command belongs to."""

from pathlib import Path

from wildloop.blocks.launchers.base import Launcher
from wildloop.blocks.launchers.local import LocalLauncher
from wildloop.blocks.launchers.record import RECORD
from wildloop.blocks.launchers.slurm import SlurmLauncher
from wildloop.blocks.launchers.slurm_compute import SlurmCompute
from wildloop.blocks.launchers.slurm_record import is_slurm_launch


class Launchers:
    """The launchers of one worker.

    Args:
        slurm: how new commands become Slurm jobs; None: they run on this host.
    """

    def __init__(self, slurm: SlurmCompute | None = None) -> None:
        self._local = LocalLauncher()
        self._slurm = SlurmLauncher(slurm or SlurmCompute())
        self._new: Launcher = self._slurm if slurm is not None else self._local

    @property
    def is_local(self) -> bool:
        """Whether new commands run on this host."""
        return self._new is self._local

    def renew(self, slurm: SlurmCompute) -> None:
        """Have new Slurm jobs ask for resources by another block."""
        self._slurm.compute = slurm

    def of(self, folder: Path) -> Launcher:
        """The launcher that began what `folder` records; where nothing is, the one for new ones."""
        if is_slurm_launch(folder):
            return self._slurm
        if (folder / RECORD).exists():
            return self._local
        return self._new
