"""Several computes at once: this host and two blocks of a Slurm, chosen by a run or a rule."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gates import Gate
from tests.support.project import make_project
from tests.support.server import Server, start_server
from tests.support.slurm import Slurm

pytestmark = [pytest.mark.e2e, pytest.mark.slurm]
BLOCKS = """
from wildloop.blocks.launchers.slurm_compute import SlurmCompute
SlurmCompute(partition="gpu", cpus_per_task=1).save("lab")
SlurmCompute(partition="short", gpu_memory_gb=80, cpus_per_task=1).save("short")
"""
COMPUTES = "wildloop-slurm-compute/lab,local,wildloop-slurm-compute/short"
SAYS = "echo on ${SLURM_JOB_PARTITION:-this host}"


@pytest.fixture(scope="module")
def server(slurm_cluster: Slurm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("computes")
    project = make_project(folder / "project")
    extra = {"SLURM_CONF": str(slurm_cluster.conf)}
    running = start_server(folder / "home", project, slots=2, extra=extra)
    access = {
        "PREFECT_API_URL": f"http://127.0.0.1:{running.prefect_port}/api",
        "PREFECT_API_AUTH_STRING": f"wildloop:{running.token}",
    }
    saving = [sys.executable, "-P", "-c", BLOCKS]
    subprocess.run(saving, env=running.env | access, cwd=folder, check=True)
    running.stop()
    running.options = ["--compute", COMPUTES]
    running.launch()
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def quiet(server: Server) -> Iterator[None]:
    yield
    server.stop_runs()


def said(server: Server, run_id: str) -> str:
    ended = server.ended(run_id)
    assert ended["status"] == "finished", ended
    return str(server.get(f"/runs/{run_id}/logs")["content"]).strip()


def test_runs_go_where_they_ask_for(slurm_cluster: Slurm, server: Server) -> None:
    view = server.get("/cluster")
    offers = {offer["name"]: offer for offer in view["computes"]}
    assert list(offers) == ["local", "lab", "short"]
    assert [offer["slots"] for offer in offers.values()] == [2, 8, 4]
    assert offers["lab"]["kinds"] == [{"type": "a100", "count": 8, "memory_gb": None}]
    assert view["capacity"]["g"] == 14
    hold = server.run("sleep 600", gpu_type="A100", gpus=2)
    runs = {
        "this host": server.run(SAYS, compute="local"),
        "gpu": server.run(SAYS, gpu_type="a100"),
        "short": server.run(SAYS, gpu_memory_gb=40),
    }
    for where, run in runs.items():
        assert said(server, run["id"]) == f"on {where}"
    named = {where: server.get(f"/runs/{run['id']}") for where, run in runs.items()}
    assert [run["compute"] for run in named.values()] == ["local", "lab", "short"]
    assert named["this host"]["job_id"] is None and named["short"]["host"] == "n3"
    held = server.reaches(hold["id"], "running")
    shown = slurm_cluster.call("scontrol", "show", "job", held["job_id"], "-o")
    assert "gres:gpu:a100:2" in shown.lower() or "gres/gpu:a100=2" in shown.lower(), shown
    assert len(held["gpus"]) == 2 and held["compute"] == "lab"
    without = [server.run(SAYS, gpus=0, compute=name)["id"] for name in ("local", "short")]
    assert [said(server, id) for id in without] == ["on this host", "on short"]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"compute": "cloud"}, "compute: no host that is online has 'cloud': there is 'lab'"),
        ({"gpu_type": "H100"}, "gpu_type: there is no 'H100'"),
        ({"compute": "local", "gpu_type": "A100"}, "no 'A100' at compute 'local'"),
        ({"compute": "lab", "gpu_memory_gb": 40}, "gpu_memory_gb: no GPU at compute 'lab'"),
        ({"compute": "local", "gpus": 3}, "gpus: 3 are asked for, 'local' has no more than 2"),
    ],
)
def test_what_no_compute_can_serve_is_refused(
    server: Server, fields: dict[str, object], told: str
) -> None:
    answer = server.http.post("/runs", json={"name": "x", "command": "true", **fields})
    assert answer.status_code == 422 and told in answer.json()["detail"], answer.text


def test_full_compute_holds_up_no_other_also_after_a_restart(server: Server) -> None:
    gate = Gate(server.workdir / "held")
    holding = server.run(gate.command, compute="short", gpus=4)
    server.reaches(holding["id"], "running")
    waiting = server.run(SAYS, compute="short")
    local = [server.run(SAYS, compute="local") for _ in range(3)]
    assert {said(server, run["id"]) for run in local} == {"on this host"}
    server.stop()
    server.launch()
    again = server.get(f"/runs/{holding['id']}")
    assert (again["status"], again["compute"]) == ("running", "short")
    lab = server.run(SAYS, compute="lab")
    assert said(server, lab["id"]) == "on gpu"
    told = server.get(f"/runs/{waiting['id']}")
    assert told["status"] == "queued" and "1 slot of 'short'" in told["reason"], told
    gate.open()
    assert said(server, waiting["id"]) == "on short"
    assert server.ended(holding["id"])["status"] == "finished"


def test_sweep_and_project_choose_for_their_runs(server: Server, tmp_path: Path) -> None:
    grid = {
        "name": "grid",
        "base_command": f"{SAYS} #",
        "parameters": {},
        "compute": "short",
        "auto_start": True,
    }
    (run_id,) = server.post("/sweeps", grid)["run_ids"]
    assert said(server, run_id) == "on short"
    project = make_project(tmp_path / "project")
    (project / "wildloop.toml").write_text('[compute]\ngpu_type = "a100"\n')
    by_rule = server.run(SAYS, workdir=str(project))
    assert said(server, by_rule["id"]) == "on gpu"
    own = server.run(SAYS, workdir=str(project), compute="local")
    assert said(server, own["id"]) == "on this host"
