"""A session on Slurm while its nodes die, its jobs are preempted and slurmctld restarts."""

import random
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.project import git, make_project
from tests.support.server import Server, start_server
from tests.support.slurm import Slurm

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slurm,
    pytest.mark.long,
    pytest.mark.timeout(3600),
]
TOML = """\
[project]
name = "toy"
[train]
command = "python train.py"
[metric]
name = "val_accuracy"
[baseline]
lr = 0.5
[search.lr]
values = [0.5, 0.1, 0.05]
[budget]
runs = 12
seeds = 2
[confirm]
seeds = 0
further = 0
"""
# The same whatever is done to it; a start that is cut short leaves nothing.
TRAIN = """\
import json, os, sys, time

given = dict(one.lstrip("-").split("=") for one in sys.argv[1:])
time.sleep(4)
value = 0.9 - abs(float(given["lr"]) - 0.1) + int(given.get("seed", 0)) % 7 / 1000
with open(os.path.join(os.environ["WILDLOOP_RUN_DIR"], "metrics.jsonl"), "a") as file:
    file.write(json.dumps({"val_accuracy": value}) + "\\n")
"""


@pytest.fixture(scope="module")
def server(slurm_cluster: Slurm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("slurm-session")
    extra = {"SLURM_CONF": str(slurm_cluster.conf)}
    running = start_server(
        folder / "home", make_project(folder / "project"), slots=None, extra=extra
    )
    yield running
    running.stop()


def toy(folder: Path) -> Path:
    project = make_project(folder, TOML)
    (project / "train.py").write_text(TRAIN)
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", "train")
    return project


class Storm:
    """What happens to the cluster, again and again, until it is told to end."""

    def __init__(self, slurm: Slurm) -> None:
        self._slurm, self._over = slurm, threading.Event()
        self._thread = threading.Thread(target=self._rage)
        self.happened: Counter[str] = Counter()

    def __enter__(self) -> "Storm":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _rage(self) -> None:
        dice = random.Random(3)
        kinds = [self._preempt, self._fail_node, self._restart]
        while not self._over.wait(6):
            kinds[self.happened.total() % len(kinds)](dice.choice(["n1", "n2"]))
            # Slurm holds what it has put back for two minutes, unless told.
            for job in self._call("squeue", "-h", "-t", "PD", "-o", "%i").split():
                self._call("scontrol", "update", f"jobid={job}", "starttime=now")

    def _call(self, *command: str) -> str:
        # A job may have ended meanwhile, slurmctld be about to start.
        try:
            return self._slurm.call(*command)
        except (AssertionError, subprocess.TimeoutExpired):
            return ""

    def _preempt(self, node: str) -> None:
        self._call(
            *("sbatch", "--parsable", "--qos=high", "--gres=gpu:4", f"--nodelist={node}"),
            *("--output=/dev/null", "--wrap=sleep 3"),
        )
        self.happened["preempted"] += 1

    def _fail_node(self, node: str) -> None:
        self._call("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
        self._over.wait(2)
        self._call("scontrol", "update", f"nodename={node}", "state=resume")
        self.happened["node failed"] += 1

    def _restart(self, _: str) -> None:
        self._slurm.kill("slurmctld")
        self._over.wait(2)
        self._slurm.start("slurmctld")
        self.happened["slurmctld restarted"] += 1


def outcome(server: Server, project: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What a session of the built-in agent comes to, and its runs."""
    id = server.start(project, "baseline", max_iterations=12)
    session = server.session_ended(id, 600)
    runs = server.get("/runs", chat_session_id=id, limit=200)
    best = next(run for run in runs if run["id"] == session["best"]["run_id"])
    told = {
        "status": session["status"],
        "runs": Counter(run["status"] for run in runs),
        "best": best["parameters"]["lr"],
    }
    return told, runs


def test_session_comes_to_what_it_would_have_come_to_in_peace(
    slurm_cluster: Slurm, server: Server, tmp_path: Path
) -> None:
    in_peace, _ = outcome(server, toy(tmp_path / "peace"))
    with Storm(slurm_cluster) as storm:
        in_storm, runs = outcome(server, toy(tmp_path / "storm"))
    assert in_storm == in_peace
    assert set(in_storm["runs"]) == {"finished"}
    assert min(storm.happened.values()) >= 1 and len(storm.happened) == 3, storm.happened
    assert sum(run["restarts"] for run in runs) >= 1
    for run in runs:
        log = server.get(f"/runs/{run['id']}/metrics")["series"]["val_accuracy"]
        assert len(log) == 1, (run["id"], log)
