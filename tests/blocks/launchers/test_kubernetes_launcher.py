"""Commands as Kubernetes Jobs, against a stub API server whose pods are local processes."""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import prefect
import pytest
from prefect.client.schemas.actions import WorkPoolCreate

from tests.support.kubernetes import NAMESPACE, FakeKubernetes, fake_kubernetes, unknown_fields
from tests.support.prefect import prefect_client
from tests.support.server import Server, alive
from wildloop.blocks.launchers import kubernetes_watch
from wildloop.blocks.launchers.base import LaunchFailed, LaunchSpec, ProcessState, ProcessStatus
from wildloop.blocks.launchers.kubernetes import KubernetesLauncher
from wildloop.blocks.launchers.kubernetes_compute import KubernetesCompute
from wildloop.blocks.launchers.kubernetes_manifest import job_manifest, secret_manifest
from wildloop.blocks.launchers.kubernetes_options import KubernetesOverride
from wildloop.blocks.launchers.kubernetes_pool import Target

DEADLINE = 60.0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes_watch, "LIST_SECONDS", 0.1)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[FakeKubernetes]:
    with fake_kubernetes(tmp_path) as found:
        yield found


def block(cluster: FakeKubernetes | None, folder: Path, **fields: Any) -> KubernetesCompute:
    given = {
        "kubeconfig": str(cluster.kubeconfig) if cluster is not None else None,
        "namespace": NAMESPACE,
        "image": "python:3.12",
        "mount_path": str(folder),
        "host_path": True,
        "grace_seconds": 5,
    }
    return KubernetesCompute.model_validate(given | fields)


def spec_in(tmp_path: Path, command: str, name: str = "run ü", **fields: Any) -> LaunchSpec:
    folder = tmp_path / name
    folder.mkdir(exist_ok=True)
    given = {
        "folder": folder,
        "command": command,
        "cwd": tmp_path,
        "env": {**os.environ, "WILDLOOP_RUN_ID": "r1", "API_KEY": "k-secret"},
        "log": folder / "output.log",
        "name": name,
        "run_id": "6e0f1b1c",
        "gpus": 1,
    }
    return LaunchSpec.model_validate(given | fields)


async def ended(launcher: KubernetesLauncher, spec: LaunchSpec) -> ProcessStatus:
    await launcher.launch(spec)
    return await launcher.wait(spec.folder, DEADLINE)


async def until(
    launcher: KubernetesLauncher, folder: Path, state: ProcessState, word: str = ""
) -> ProcessStatus:
    async with asyncio.timeout(DEADLINE):
        while True:
            status = await launcher.status(folder)
            if status.state is state and word in (status.reason or ""):
                return status
            await asyncio.sleep(0.05)


def job_of(spec: LaunchSpec) -> str:
    return str(json.loads((spec.folder / "kubernetes_intent.json").read_text())["name"])


async def test_command_has_its_log_code_devices_and_environment(
    cluster: FakeKubernetes, tmp_path: Path
) -> None:
    launcher = KubernetesLauncher(block(cluster, tmp_path))
    spec = spec_in(
        tmp_path, "echo $WILDLOOP_RUN_ID $API_KEY in $PWD; echo 'oh' >&2; exit 7", gpus=2
    )
    status = await ended(launcher, spec)
    assert (status.state, status.exit_code) == (ProcessState.EXITED, 7), status
    assert spec.log.read_text() == f"r1 k-secret in {tmp_path}\noh\n"
    assert status.host == "gpu-node-1" and status.devices == ("GPU-0", "GPU-1")
    assert status.started_at is not None and status.job_id == job_of(spec)
    job = cluster.jobs[job_of(spec)]
    assert "k-secret" not in json.dumps(job)
    limits = job["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits == {"nvidia.com/gpu": "2"}
    assert (await launcher.launch(spec)).exit_code == 7
    assert len(cluster.jobs) == 1
    assert (await KubernetesLauncher(block(cluster, tmp_path)).status(spec.folder)).exit_code == 7


async def test_launch_is_made_once_whatever_dies_in_between(
    cluster: FakeKubernetes, tmp_path: Path
) -> None:
    launcher = KubernetesLauncher(block(cluster, tmp_path))
    spec = spec_in(tmp_path, "echo once >> begun; sleep 1")
    await launcher.launch(spec)
    # As if the worker had died before it noted that the Job was made.
    (spec.folder / "kubernetes_job.json").unlink()
    again = KubernetesLauncher(block(cluster, tmp_path))
    assert (await again.launch(spec)).state in (ProcessState.PENDING, ProcessState.RUNNING)
    assert (await again.wait(spec.folder, DEADLINE)).exit_code == 0
    assert (tmp_path / "begun").read_text() == "once\n" and len(cluster.jobs) == 1


async def test_stop_gives_the_whole_command_time_for_its_checkpoint(
    cluster: FakeKubernetes, tmp_path: Path
) -> None:
    launcher = KubernetesLauncher(block(cluster, tmp_path))
    inner = "trap 'sleep 0.5; echo saved; exit 0' TERM; echo begun; while :; do sleep 0.1; done"
    spec = spec_in(tmp_path, f"bash -c {json.dumps(inner)}; echo over")
    await launcher.launch(spec)
    async with asyncio.timeout(DEADLINE):
        while not spec.log.exists() or "begun" not in spec.log.read_text():
            await asyncio.sleep(0.05)
    status = await launcher.stop(spec.folder)
    assert status.state is ProcessState.EXITED and status.reason is None, status
    assert "saved" in spec.log.read_text()
    assert cluster.jobs == {} and cluster.pods == {} and cluster.secrets == {}
    assert (await launcher.stop(spec.folder)).state is ProcessState.EXITED


async def test_what_ignores_term_is_killed_after_the_grace(
    cluster: FakeKubernetes, tmp_path: Path
) -> None:
    launcher = KubernetesLauncher(block(cluster, tmp_path, grace_seconds=1))
    spec = spec_in(tmp_path, "trap '' TERM; echo $$ > pid; while :; do sleep 0.1; done")
    await launcher.launch(spec)
    await until(launcher, spec.folder, ProcessState.RUNNING)
    async with asyncio.timeout(DEADLINE):
        while not (tmp_path / "pid").exists():
            await asyncio.sleep(0.05)
    status = await launcher.stop(spec.folder)
    assert status.state is ProcessState.LOST and status.exit_code is None
    assert not alive(int((tmp_path / "pid").read_text()))


async def test_lost_pods_are_told_as_what_they_are(cluster: FakeKubernetes, tmp_path: Path) -> None:
    launcher = KubernetesLauncher(block(cluster, tmp_path))
    specs = {}
    for what in ("evicted", "node", "memory", "deleted"):
        specs[what] = spec_in(tmp_path, "sleep 600", what)
        await launcher.launch(specs[what])
    for spec in specs.values():
        await until(launcher, spec.folder, ProcessState.RUNNING)
    cluster.evict(job_of(specs["evicted"]))
    cluster.lose_node(job_of(specs["node"]))
    cluster.out_of_memory(job_of(specs["memory"]))
    cluster.answer(
        "DELETE", f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs/{job_of(specs['deleted'])}", {}, None
    )
    found = {what: await launcher.wait(spec.folder, DEADLINE) for what, spec in specs.items()}
    assert found["evicted"].state is ProcessState.LOST
    assert (found["evicted"].reason or "").startswith("Evicted: The node was low on resource")
    assert found["node"].state is ProcessState.LOST
    assert "its pod is gone" in (found["node"].reason or "")
    assert (found["memory"].exit_code, found["memory"].reason) == (137, "OUT_OF_MEMORY")
    assert found["deleted"].exit_code != 0
    assert found["deleted"].reason is not None
    assert await launcher.status(specs["evicted"].folder) == found["evicted"]


async def test_waiting_says_why(cluster: FakeKubernetes, tmp_path: Path) -> None:
    launcher = KubernetesLauncher(block(cluster, tmp_path))
    large = spec_in(tmp_path, "true", "large", gpus=9)
    other = spec_in(tmp_path, "true", "other", gpu_type="H100")
    image = KubernetesOverride(image="missing/image:1")
    absent = spec_in(tmp_path, "true", "absent", kubernetes=image)
    queued = spec_in(tmp_path, "true", "queued", kubernetes=KubernetesOverride(queue="team"))
    for spec in (large, other, absent, queued):
        assert (await launcher.launch(spec)).state is ProcessState.PENDING
    for spec, word in (
        (large, "Unschedulable: 0/1 nodes are available"),
        (other, "Unschedulable"),
        (absent, "ImagePullBackOff"),
        (queued, "Suspended"),
    ):
        await until(launcher, spec.folder, ProcessState.PENDING, word)
    assert cluster.jobs[job_of(queued)]["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team"
    cluster.admit(job_of(queued))
    assert (await launcher.wait(queued.folder, DEADLINE)).exit_code == 0
    for spec in (large, other, absent):
        status = await launcher.stop(spec.folder)
        assert status.state is ProcessState.LOST and status.reason is None


async def test_job_that_its_queue_takes_back_begins_anew(
    cluster: FakeKubernetes, tmp_path: Path
) -> None:
    launcher = KubernetesLauncher(block(cluster, tmp_path, queue="team"))
    spec = spec_in(tmp_path, "echo try $WILDLOOP_RESTART_COUNT; [ -e go ] || sleep 600")
    await launcher.launch(spec)
    cluster.admit(job_of(spec))
    await until(launcher, spec.folder, ProcessState.RUNNING)
    async with asyncio.timeout(DEADLINE):
        while "try 0" not in (spec.log.read_text() if spec.log.exists() else ""):
            await asyncio.sleep(0.05)
    await asyncio.to_thread(cluster.suspend, job_of(spec))
    waits = await until(launcher, spec.folder, ProcessState.PENDING)
    assert "Suspended" in (waits.reason or "")
    (tmp_path / "go").touch()
    cluster.admit(job_of(spec))
    status = await launcher.wait(spec.folder, DEADLINE)
    assert (status.exit_code, status.restarts) == (0, 1), status
    assert spec.log.read_text().splitlines()[-1] == "try 1"


async def test_silent_api_makes_no_outcome(cluster: FakeKubernetes, tmp_path: Path) -> None:
    launcher = KubernetesLauncher(block(cluster, tmp_path))
    spec = spec_in(tmp_path, "until [ -e go ]; do sleep 0.1; done; sleep 0.5")
    await launcher.launch(spec)
    await until(launcher, spec.folder, ProcessState.RUNNING)
    cluster.silent = True
    told = await until(launcher, spec.folder, ProcessState.RUNNING, "not able to answer")
    assert told.started_at is not None
    (tmp_path / "go").touch()
    # Its own exit code is its outcome, whoever answers.
    assert (await launcher.wait(spec.folder, DEADLINE)).exit_code == 0


async def test_refusal_and_a_wrong_folder_are_said(cluster: FakeKubernetes, tmp_path: Path) -> None:
    launcher = KubernetesLauncher(block(cluster, tmp_path))
    cluster.refuses = 'jobs.batch is forbidden: User "me" cannot create resource "jobs"'
    spec = spec_in(tmp_path, "true")
    with pytest.raises(LaunchFailed, match=r"refused the Job: .*cannot create"):
        await launcher.launch(spec)
    assert (await launcher.status(spec.folder)).state is ProcessState.ABSENT
    cluster.refuses = None
    assert (await ended(launcher, spec)).exit_code == 0
    elsewhere = KubernetesLauncher(block(cluster, tmp_path, mount_path="/shared"))
    with pytest.raises(LaunchFailed, match="is not in a folder that pods have"):
        await elsewhere.launch(spec_in(tmp_path, "true", "elsewhere"))


async def test_pod_that_never_began_says_what_its_container_said(
    cluster: FakeKubernetes, tmp_path: Path
) -> None:
    launcher = KubernetesLauncher(block(cluster, tmp_path))
    spec = spec_in(tmp_path, "true", kubernetes=KubernetesOverride(queue="held"))
    await launcher.launch(spec)
    (spec.folder / "kubernetes_job.sh").unlink()
    cluster.admit(job_of(spec))
    status = await launcher.wait(spec.folder, DEADLINE)
    assert status.state is ProcessState.LOST and status.exit_code is None
    assert "exit code 127" in (status.reason or "") and "kubernetes_job.sh" in (status.reason or "")


def test_manifest_is_what_kubernetes_knows(tmp_path: Path) -> None:
    compute = block(
        None,
        tmp_path,
        host_path=False,
        volume_claim="projects",
        queue="team-a",
        priority_class="low",
        node_selector={"pool": "gpu"},
        env_secrets=["wandb"],
        cpus="8",
        memory="32Gi",
    )
    override = KubernetesOverride(image="team/train:2", memory="64Gi")
    spec = spec_in(tmp_path, "true", gpus=4, kubernetes=override, gpu_type="NVIDIA-H100")
    job = job_manifest(compute, spec, "wildloop-x", None, "team")
    assert unknown_fields(job, "V1Job") == []
    assert unknown_fields(secret_manifest(spec, "wildloop-x", "uid", {}), "V1Secret") == []
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"
    assert job["spec"]["suspend"] is True and job["spec"]["backoffLimit"] == 0
    pod = job["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"pool": "gpu", "nvidia.com/gpu.product": "NVIDIA-H100"}
    assert pod["priorityClassName"] == "low" and pod["restartPolicy"] == "Never"
    claim = {"persistentVolumeClaim": {"claimName": "projects"}, "name": "wildloop-project"}
    assert pod["volumes"] == [claim]
    (container,) = pod["containers"]
    assert container["image"] == "team/train:2"
    wanted = {"cpu": "8", "memory": "64Gi", "nvidia.com/gpu": "4"}
    assert container["resources"] == {"requests": wanted, "limits": wanted}
    assert [one["secretRef"]["name"] for one in container["envFrom"]] == ["wandb", "wildloop-x"]


@pytest.mark.server
async def test_work_pool_of_prefect_is_what_jobs_are_made_from(
    server: Server, cluster: FakeKubernetes, tmp_path: Path
) -> None:
    # What `prefect work-pool create --type kubernetes` gives a pool.
    shipped = Path(prefect.__file__).parent / "server/api/collections_data/views"
    known = json.loads((shipped / "aggregate-worker-metadata.json").read_text())
    worker = known["prefect-kubernetes"]["kubernetes"]
    template = worker["default_base_job_configuration"]
    defaults = {"image": "team/base:1", "namespace": "team", "memory_limit": "8Gi"}
    for name, value in defaults.items():
        template["variables"]["properties"][name]["default"] = value
    template["variables"]["properties"]["env"]["default"] = {"HF_HOME": "/cache"}
    name = f"gpu-{uuid4().hex[:8]}"
    pool = WorkPoolCreate(name=name, type="kubernetes", base_job_template=template)
    compute = block(None, tmp_path, image=None, work_pool=name, namespace=None)
    async with prefect_client(server) as client:
        await client.create_work_pool(pool)
        target, base = await Target().of(compute)
        await client.delete_work_pool(name)
    job = job_manifest(compute, spec_in(tmp_path, "true"), "wildloop-x", base, target.namespace)
    assert unknown_fields(job, "V1Job") == []
    assert target.namespace == job["metadata"]["namespace"] == "team"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert (container["name"], container["image"]) == ("prefect-job", "team/base:1")
    assert container["env"][0] == {"name": "HF_HOME", "value": "/cache"}
    assert container["resources"]["limits"] == {"memory": "8Gi", "nvidia.com/gpu": "1"}
    assert container["command"][0] == "bash" and "args" not in container


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"mount_path": None, "host_path": False}, "pods have no folder"),
        ({"mount_path": "data"}, "not absolute"),
        ({"volume_claim": "x"}, "exclude one another"),
        ({"memory": "lots"}, "memory"),
    ],
)
def test_wrong_block_says_the_mend(tmp_path: Path, fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        block(None, tmp_path, **fields)
