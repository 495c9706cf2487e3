"""A real, private Slurm with four fake GPUs on one node, for tests that need one."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.debian import apt_install
from tests.support.pace import patient
from tests.support.server import alive, wait_for
from wildloop.shim.net import free_ports

CLUSTER_PROGRAMS = ("slurmdbd", "mariadbd", "mariadb-install-db")
PROGRAMS = ("sbatch", "slurmctld", "slurmd", "munged", "mknod")
_SCRIPTS = Path(__file__).parent / "slurm"


@dataclass(frozen=True)
class Slurm:
    """A running cluster: node n1, partitions `gpu` and `urgent`, which preempts `gpu`."""

    folder: Path

    @property
    def conf(self) -> Path:
        """The SLURM_CONF that its commands need."""
        return self.folder / "etc" / "slurm.conf"

    def call(self, *command: str) -> str:
        """What a Slurm command prints, with success."""
        env = dict(os.environ) | {"SLURM_CONF": str(self.conf)}
        # sbatch leaves a job's output where it was called.
        done = subprocess.run(
            command, env=env, capture_output=True, text=True, timeout=patient(60), cwd=self.folder
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def jobs(self, comment: str = "") -> list[str]:
        """Ids of the jobs, ended ones too, whose comment holds a text."""
        lines = self.call("squeue", "-h", "-t", "all", "-o", "%i|%k").splitlines()
        return [line.partition("|")[0] for line in lines if comment in line.partition("|")[2]]

    def state(self, job_id: str) -> str:
        """A job's state."""
        return self.call("squeue", "-h", "-t", "all", "-j", job_id, "-o", "%T").strip()

    def kill(self, daemon: str) -> None:
        """KILL slurmctld or slurmd, and wait until it is dead.

        slurmctld is let save its state first: it would come back with used job numbers, whose
        jobs slurmd refuses.
        """
        if daemon == "slurmctld":
            asked_at, saved = time.time(), self.folder / "state" / "job_state"
            self.call("scontrol", "reconfigure")
            wait_for(lambda: saved.stat().st_mtime >= asked_at, "slurmctld saves its state")
        pid = int((self.folder / "run" / f"{daemon}.pid").read_text())
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not alive(pid), f"{daemon} is dead")

    def start(self, daemon: str) -> None:
        """Start a killed daemon again."""
        node = ["-N", "n1"] if daemon == "slurmd" else []
        self.call(daemon, "-f", str(self.conf), *node)

    def node(self) -> str:
        """The node's state; empty while slurmctld does not answer."""
        env = dict(os.environ) | {"SLURM_CONF": str(self.conf)}
        command = ["sinfo", "-h", "-p", "gpu", "-o", "%T"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=patient(60))
        return done.stdout.strip()

    def resume(self) -> None:
        """Take a node that was set down back; Slurm may do so by itself when slurmd registers."""

        def back() -> bool:
            if not {"down", "drained", "unknown"} & set(self.node().strip("*").split("\n")):
                return bool(self.node())
            env = dict(os.environ) | {"SLURM_CONF": str(self.conf)}
            update = ["scontrol", "update", "nodename=n1", "state=resume"]
            subprocess.run(update, env=env, capture_output=True, timeout=patient(60))
            return False

        wait_for(back, "the node is back")

    def calm(self) -> None:
        """Cancel every job, and wait for an idle node."""
        self.call("scancel", f"--user={os.getuid()}")
        self.resume()
        wait_for(lambda: self.node() == "idle", "the node is idle")


def install_slurm(with_accounts: bool = False) -> None:
    """Install Slurm where it is missing and can be installed; else skip the test."""
    wanted = (*PROGRAMS, *(CLUSTER_PROGRAMS if with_accounts else ()))
    packages = ("slurmdbd", "mariadb-server") if with_accounts else ()
    if os.getuid() != 0:
        pytest.skip("a private Slurm needs root: its fake GPUs are devices")
    os.environ["PATH"] += os.pathsep + "/usr/sbin"
    if all(shutil.which(program) for program in wanted):
        return
    if (fault := apt_install("slurm-wlm", "munge", *packages)) is not None:
        pytest.skip(f"Slurm is missing and cannot be installed: {fault}")


@pytest.fixture(scope="session")
def slurm_session() -> Iterator[Slurm]:
    """One cluster for all tests of the session."""
    install_slurm()
    yield from _started("start.sh", 2)


@pytest.fixture(scope="module")
def slurm_cluster() -> Iterator[Slurm]:
    """Three nodes with accounts, QOS, preemption and, where it can be had, cgroup tracking."""
    install_slurm(with_accounts=True)
    yield from _started("start_cluster.sh", 6)


def _started(script: str, ports: int) -> Iterator[Slurm]:
    # pytest's own folders are closed to others: munged refuses a socket there.
    folder = Path(tempfile.mkdtemp(prefix="wildloop-slurm-", dir="/tmp"))
    command = [_SCRIPTS / script, folder, *map(str, free_ports(ports))]
    try:
        # The daemons keep its output open: a pipe would never end.
        with (folder / "start.log").open("w") as log:
            done = subprocess.run(command, stdout=log, stderr=log, timeout=patient(90))
        if done.returncode != 0:
            said = (folder / "start.log").read_text()
            pytest.fail(f"the private Slurm does not start: {said[-2000:]}")
        yield Slurm(folder)
    finally:
        subprocess.run([_SCRIPTS / "stop.sh", folder], timeout=patient(60))
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def slurm(slurm_session: Slurm, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slurm]:
    """The cluster, idle, with SLURM_CONF pointing at it."""
    monkeypatch.setenv("SLURM_CONF", str(slurm_session.conf))
    slurm_session.calm()
    yield slurm_session
    slurm_session.calm()
