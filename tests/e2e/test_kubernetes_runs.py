"""Runs as Kubernetes Jobs by HTTP, beside runs of this host; the cluster is a stub."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gates import Gate
from tests.support.kubernetes import NAMESPACE, FakeKubernetes, fake_kubernetes
from tests.support.project import make_project
from tests.support.server import Server, start_server

pytestmark = [pytest.mark.e2e]
BLOCK = """
import sys
from wildloop.blocks.launchers.kubernetes_compute import KubernetesCompute
kubeconfig, namespace, folder = sys.argv[1:]
KubernetesCompute(
    kubeconfig=kubeconfig, namespace=namespace, mount_path=folder, host_path=True,
    image="team/train:1", grace_seconds=5,
).save("cloud")
"""
MEASURED = (
    "echo in $WILDLOOP_NODE; "
    'printf \'{"step": 1, "score": 0.5}\\n\' > $WILDLOOP_RUN_DIR/metrics.jsonl'
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kubernetes")


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Iterator[FakeKubernetes]:
    with fake_kubernetes(folder) as found:
        yield found


@pytest.fixture(scope="module")
def server(cluster: FakeKubernetes, folder: Path) -> Iterator[Server]:
    running = start_server(folder / "home", make_project(folder / "project"), slots=1)
    access = {
        "PREFECT_API_URL": f"http://127.0.0.1:{running.prefect_port}/api",
        "PREFECT_API_AUTH_STRING": f"wildloop:{running.token}",
    }
    saving = [sys.executable, "-P", "-c", BLOCK, str(cluster.kubeconfig), NAMESPACE, str(folder)]
    subprocess.run(saving, env=running.env | access, cwd=folder, check=True)
    running.stop()
    running.options = ["--compute", "local,wildloop-kubernetes-compute/cloud"]
    running.launch()
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def quiet(server: Server) -> Iterator[None]:
    yield
    server.stop_runs()


def log_of(server: Server, run_id: str) -> str:
    return str(server.get(f"/runs/{run_id}/logs")["content"])


def test_run_goes_to_the_cluster_and_all_of_it_is_read(
    server: Server, cluster: FakeKubernetes
) -> None:
    offers = {offer["name"]: offer for offer in server.get("/cluster")["computes"]}
    assert {name: offer["slots"] for name, offer in offers.items()} == {"local": 1, "cloud": 4}
    (kind,) = offers["cloud"]["kinds"]
    assert kind == {"type": "NVIDIA-A100-SXM4-80GB", "count": 4, "memory_gb": 80.0}
    secret = {"API_KEY": "k-secret-of-the-run"}
    run = server.run(MEASURED, gpu_type="A100", gpus=2, env=secret, metric="score")
    ended = server.ended(run["id"])
    assert (ended["status"], ended["compute"], ended["host"]) == ("finished", "cloud", "gpu-node-1")
    assert ended["gpus"] == ["GPU-0", "GPU-1"]
    assert log_of(server, run["id"]) == "in gpu-node-1\n"
    assert ended["metrics"]["score"] == 0.5
    job = cluster.jobs[ended["job_id"]]
    selector = job["spec"]["template"]["spec"]["nodeSelector"]
    assert selector == {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}
    assert "k-secret-of-the-run" not in json.dumps(job)
    assert "k-secret-of-the-run" in json.dumps(cluster.secrets[ended["job_id"]])
    here = server.ended(server.run("echo here", compute="local")["id"])
    assert here["status"] == "finished" and here["job_id"] is None
    answer = server.http.post("/runs", json={"name": "x", "command": "true", "gpu_type": "H100"})
    assert answer.status_code == 422 and "gpu_type: there is no 'H100'" in answer.text


def test_what_happens_to_a_pod_is_the_outcome_of_its_run(
    server: Server, cluster: FakeKubernetes
) -> None:
    evicted = server.run("sleep 600", compute="cloud")
    lost = server.run("sleep 600", compute="cloud")
    stopped = server.run("sleep 600", compute="cloud")
    late = server.run("sleep 600", compute="cloud", timeout_seconds=3)
    for run in (evicted, lost, stopped):
        server.reaches(run["id"], "running")
    job = {run["id"]: server.get(f"/runs/{run['id']}")["job_id"] for run in (evicted, lost)}
    cluster.evict(job[evicted["id"]])
    cluster.lose_node(job[lost["id"]])
    server.post(f"/runs/{stopped['id']}/stop")
    told = server.ended(evicted["id"])
    assert told["status"] == "failed" and "Evicted: The node was low" in told["error"], told
    gone = server.ended(lost["id"])
    assert gone["status"] == "failed" and "its pod is gone" in gone["error"], gone
    assert server.ended(stopped["id"])["status"] == "stopped"
    ended = server.ended(late["id"])
    assert ended["status"] == "failed" and "time-out after 3 s" in ended["error"], ended
    server.wait_for(
        lambda: not [p for p in cluster.pods.values() if p.status["phase"] == "Running"],
        "no pod is left",
    )


def test_evicted_run_with_attempts_left_begins_anew(
    server: Server, cluster: FakeKubernetes
) -> None:
    go = server.workdir / "evicted-once"
    run = server.run(f"[ -e '{go}' ] || sleep 600", compute="cloud", retries=1)
    first = server.reaches(run["id"], "running")
    go.touch()
    cluster.evict(first["job_id"])
    ended = server.ended(run["id"])
    assert (ended["status"], ended["attempt"]) == ("finished", 1), ended
    assert ended["job_id"] != first["job_id"]


def test_restart_in_mid_run_takes_the_job_up_again(server: Server, cluster: FakeKubernetes) -> None:
    gate = Gate(server.workdir / "held")
    held = server.run(gate.command, compute="cloud", gpus=4)
    server.reaches(held["id"], "running")
    server.stop()
    server.launch()
    waiting = server.run("true", compute="cloud")
    here = server.run("true", compute="local")
    assert server.ended(here["id"])["status"] == "finished"
    told = server.get(f"/runs/{waiting['id']}")
    assert told["status"] == "queued" and "1 slot of 'cloud'" in told["reason"], told
    gate.open()
    assert server.ended(held["id"])["status"] == "finished"
    assert server.ended(waiting["id"])["status"] == "finished"
    assert gate.came() == 1
