"""A stub of Kubernetes' API server: Jobs, Pods, Secrets and Nodes; a pod is a local process.

What it is sent must be what Kubernetes' own client models know, field for field. It does what the
Job controller, the scheduler and the kubelet would, as far as Wildloop's Jobs meet them; a test
evicts pods, loses nodes, suspends Jobs as Kueue does, and takes the API away.
"""

import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

from kubernetes_asyncio import client

Json = dict[str, Any]
NAMESPACE = "research"
NODE_LABELS = {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB", "nvidia.com/gpu.memory": "81920"}


def unknown_fields(body: Json, kind: str) -> list[str]:
    """What of a body Kubernetes' own model of this kind does not have."""
    api = client.ApiClient.__new__(client.ApiClient)
    api.configuration = client.Configuration()

    class Answer:
        data = json.dumps(body)

    known = api.sanitize_for_serialization(api.deserialize(Answer(), kind))
    return list(_lost(body, known, ""))


def _lost(sent: Any, known: Any, where: str) -> Iterator[str]:
    if isinstance(sent, dict):
        for key, value in sent.items():
            if not isinstance(known, dict) or key not in known:
                yield f"{where}.{key}"
            else:
                yield from _lost(value, known[key], f"{where}.{key}")
    elif isinstance(sent, list):
        for number, value in enumerate(sent):
            yield from _lost(value, known[number], f"{where}[{number}]")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Pod:
    """One pod of a Job, and the local process that is its container."""

    def __init__(self, job: Json, number: int, node: str | None, waiting: Json | None) -> None:
        name, template = job["metadata"]["name"], job["spec"]["template"]
        self.spec = dict(template["spec"]) | ({"nodeName": node} if node else {})
        labels = {**template["metadata"]["labels"], "batch.kubernetes.io/job-name": name}
        self.metadata = {
            "name": f"{name}-{number}",
            "labels": labels,
            "creationTimestamp": _now(),
            "uid": str(uuid4()),
        }
        self.status: Json = waiting or {"phase": "Pending"}
        self.process: subprocess.Popen[bytes] | None = None
        self.gone = False
        self.output = b""

    @property
    def json(self) -> Json:
        return {"metadata": self.metadata, "spec": self.spec, "status": self.status}

    def start(self, env: dict[str, str]) -> None:
        container = self.spec["containers"][0]
        self.process = subprocess.Popen(
            container["command"],
            env=env,
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        running = {"state": {"running": {"startedAt": _now()}}, "name": container["name"]}
        self.status = {"phase": "Running", "containerStatuses": [running]}

    def end(self, grace: float) -> None:
        """TERM to the first process, as the kubelet does; KILL to all after the grace."""
        if self.process is None:
            return
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(grace)
        self.kill()

    def kill(self) -> None:
        """Its first process is dead: the container is over, with all that is in it."""
        assert self.process is not None
        marker = f"WILDLOOP_POD={self.metadata['name']}".encode()
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    if marker in (entry / "environ").read_bytes().split(b"\0"):
                        os.kill(int(entry.name), signal.SIGKILL)
                except (OSError, ProcessLookupError):
                    continue
        self.process.wait()


class FakeKubernetes:
    """The state of the cluster, and what a test does to it."""

    def __init__(self, folder: Path) -> None:
        self.jobs: dict[str, Json] = {}
        self.secrets: dict[str, Json] = {}
        self.pods: dict[str, Pod] = {}
        self.requests: list[str] = []
        self.gpus = 4
        self.silent = False
        self.refuses: str | None = None
        self._lock = threading.RLock()
        self._made = 0
        handler = _handler(self)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._over = threading.Event()
        self.kubeconfig = folder / "kubeconfig"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        threading.Thread(target=self._control, daemon=True).start()
        self.kubeconfig.write_text(json.dumps(self.config))

    @property
    def config(self) -> Json:
        """A kubeconfig."""
        url = f"http://127.0.0.1:{self._server.server_port}"
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "stub",
            "contexts": [{"name": "stub", "context": {"cluster": "stub", "user": "me"}}],
            "clusters": [{"name": "stub", "cluster": {"server": url}}],
            "users": [{"name": "me", "user": {"token": "secret-token-of-the-cluster"}}],
        }

    def close(self) -> None:
        """End it and all pods."""
        self._over.set()
        for pod in list(self.pods.values()):
            if pod.process is not None and pod.process.poll() is None:
                pod.kill()
        self._server.shutdown()
        self._server.server_close()

    def pod_of(self, job: str) -> Pod:
        """The latest pod of a Job."""
        return [pod for pod in self.pods.values() if self._owner(pod) == job][-1]

    def evict(self, job: str) -> None:
        """The kubelet evicts a pod for want of a resource."""
        pod = self.pod_of(job)
        pod.end(1.0)
        with self._lock:
            pod.status = {
                "phase": "Failed",
                "reason": "Evicted",
                "message": "The node was low on resource: ephemeral-storage.",
            }

    def lose_node(self, job: str) -> None:
        """Its node is gone: the pod is killed with it and removed, nobody sees it end."""
        pod = self.pod_of(job)
        assert pod.process is not None
        pod.kill()
        with self._lock:
            pod.gone = True
            del self.pods[pod.metadata["name"]]
            self._fail(self.jobs[job], "BackoffLimitExceeded", "Job has reached the backoff limit")

    def out_of_memory(self, job: str) -> None:
        """The kernel kills the container."""
        pod = self.pod_of(job)
        pod.kill()
        with self._lock:
            self._ended(pod, 137, "OOMKilled")

    def suspend(self, job: str) -> None:
        """Kueue takes a Job back: its pod is deleted."""
        with self._lock:
            self.jobs[job]["spec"]["suspend"] = True
            pod = self.pod_of(job)
            pod.gone = True
        pod.end(5.0)
        with self._lock:
            self.pods.pop(pod.metadata["name"], None)

    def admit(self, job: str) -> None:
        """Kueue lets a Job begin."""
        with self._lock:
            self.jobs[job]["spec"]["suspend"] = False

    # What follows is what the cluster does by itself.

    def _owner(self, pod: Pod) -> str:
        return str(pod.metadata["labels"]["batch.kubernetes.io/job-name"])

    def _control(self) -> None:
        while not self._over.wait(0.05):
            with self._lock:
                for job in list(self.jobs.values()):
                    self._reconcile(job)

    def _reconcile(self, job: Json) -> None:
        name = job["metadata"]["name"]
        own = [pod for pod in self.pods.values() if self._owner(pod) == name]
        if job["status"].get("conditions") or job["spec"].get("suspend"):
            return
        if not own:
            self._made += 1
            pod = Pod(job, self._made, *self._scheduled(job))
            self.pods[pod.metadata["name"]] = pod
            return
        pod = own[-1]
        if pod.status["phase"] == "Pending":
            self._begin(job, pod)
        elif pod.status["phase"] == "Running" and pod.process is not None:
            code = pod.process.poll()
            if code is not None and not pod.gone:
                pod.kill()
                assert pod.process.stdout is not None
                pod.output = pod.process.stdout.read()
                self._ended(pod, code if code >= 0 else 128 - code, "Error" if code else None)
        elif pod.status["phase"] == "Failed":
            self._fail(job, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
        elif pod.status["phase"] == "Succeeded":
            job["status"]["conditions"] = [{"type": "Complete", "status": "True"}]

    def _scheduled(self, job: Json) -> tuple[str | None, Json | None]:
        pod = job["spec"]["template"]["spec"]
        selector = pod.get("nodeSelector") or {}
        limits = pod["containers"][0]["resources"]["limits"]
        wanted = int(limits.get("nvidia.com/gpu", 0))
        free = self.gpus - sum(self._gpus_of(one) for one in self.pods.values())
        if wanted > free or any(NODE_LABELS.get(key) != one for key, one in selector.items()):
            told = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
            condition = {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": told,
            }
            return None, {"phase": "Pending", "conditions": [condition]}
        return "gpu-node-1", None

    def _gpus_of(self, pod: Pod) -> int:
        if "nodeName" not in pod.spec or pod.status["phase"] in ("Failed", "Succeeded"):
            return 0
        limits = pod.spec["containers"][0]["resources"]["limits"]
        return int(limits.get("nvidia.com/gpu", 0))

    def _begin(self, job: Json, pod: Pod) -> None:
        if "nodeName" not in pod.spec:
            node, waiting = self._scheduled(job)
            if node is None:
                pod.status = waiting or pod.status
                return
            pod.spec["nodeName"] = node
        container = pod.spec["containers"][0]
        if container["image"].startswith("missing/"):
            waiting = {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}
            pod.status["containerStatuses"] = [{"state": {"waiting": waiting}}]
            return
        env = {"PATH": os.environ["PATH"], "HOME": "/", "LANG": "C.UTF-8"}
        for source in container.get("envFrom", []):
            secret = self.secrets.get(source["secretRef"]["name"])
            if secret is None:
                missing = {"reason": "CreateContainerConfigError", "message": "no such secret"}
                pod.status["containerStatuses"] = [{"state": {"waiting": missing}}]
                return
            env |= secret["stringData"]
        fields = {"metadata.name": pod.metadata["name"], "spec.nodeName": pod.spec["nodeName"]}
        for one in container.get("env", []):
            named = one.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
            env[one["name"]] = fields[named] if named else one["value"]
        number = self._gpus_of(pod)
        env["NVIDIA_VISIBLE_DEVICES"] = ",".join(f"GPU-{n}" for n in range(number)) or "void"
        pod.start(env)

    def _ended(self, pod: Pod, code: int, reason: str | None) -> None:
        terminated = {"exitCode": code, "reason": reason or "Completed", "finishedAt": _now()}
        pod.status = {
            "phase": "Failed" if code else "Succeeded",
            "containerStatuses": [{"state": {"terminated": terminated}}],
        }

    def _fail(self, job: Json, reason: str, message: str) -> None:
        failed = {"type": "Failed", "status": "True", "reason": reason, "message": message}
        job["status"]["conditions"] = [failed]

    # The API.

    def answer(self, method: str, path: str, query: Json, body: Json | None) -> tuple[int, Any]:
        """What the API server says."""
        jobs = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
        core = f"/api/v1/namespaces/{NAMESPACE}"
        self.requests.append(f"{method} {path}")
        with self._lock:
            if self.silent:
                return 503, _problem("the server is currently unable to handle the request")
            if (method, path) == ("POST", jobs):
                return self._create(self.jobs, body or {}, "V1Job", {"status": {}})
            if (method, path) == ("POST", f"{core}/secrets"):
                return self._create(self.secrets, body or {}, "V1Secret", {})
            if (method, path) == ("GET", jobs):
                return 200, {"items": _selected(list(self.jobs.values()), query)}
            if (method, path) == ("GET", f"{core}/pods"):
                return 200, {"items": _selected([one.json for one in self.pods.values()], query)}
            if (method, path) == ("GET", "/api/v1/nodes"):
                status = {"allocatable": {"cpu": "8", "nvidia.com/gpu": str(self.gpus)}}
                meta = {"name": "gpu-node-1", "labels": NODE_LABELS}
                return 200, {"items": _selected([{"metadata": meta, "status": status}], query)}
            if found := re.fullmatch(re.escape(core) + r"/pods/([^/]+)/log", path):
                return 200, self.pods[found[1]].output.decode()
            if found := re.fullmatch(re.escape(jobs) + r"/([^/]+)", path):
                return self._one_job(method, found[1])
        return 404, _problem(f"{method} {path} is not in the stub")

    def _create(self, kind: dict[str, Json], body: Json, model: str, more: Json) -> tuple[int, Any]:
        name = body["metadata"]["name"]
        if self.refuses is not None:
            return 403, _problem(self.refuses)
        if lost := unknown_fields(body, model):
            return 400, _problem(f"unknown fields: {lost}")
        if name in kind:
            return 409, _problem(f'"{name}" already exists')
        body["metadata"] |= {"uid": str(uuid4()), "creationTimestamp": _now()}
        kind[name] = body | more
        return 201, kind[name]

    def _one_job(self, method: str, name: str) -> tuple[int, Any]:
        if name not in self.jobs:
            return 404, _problem(f'jobs.batch "{name}" not found')
        if method == "DELETE":
            del self.jobs[name]
            self.secrets.pop(name, None)
            for pod in [pod for pod in self.pods.values() if self._owner(pod) == name]:
                pod.gone = True
                threading.Thread(target=self._terminate, args=[pod], daemon=True).start()
            return 200, {"kind": "Status", "status": "Success"}
        return 200, self.jobs[name]

    def _terminate(self, pod: Pod) -> None:
        pod.end(float(pod.spec["terminationGracePeriodSeconds"]))
        with self._lock:
            self.pods.pop(pod.metadata["name"], None)


def _selected(items: list[Json], query: Json) -> list[Json]:
    wanted = [one.split("=", 1) for one in query.get("labelSelector", [""])[0].split(",") if one]
    return [
        item
        for item in items
        if all((item["metadata"].get("labels") or {}).get(key) == value for key, value in wanted)
    ]


def _problem(message: str) -> Json:
    return {"kind": "Status", "status": "Failure", "message": message}


def _handler(cluster: FakeKubernetes) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            url = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            status, answer = cluster.answer(self.command, url.path, parse_qs(url.query), body)
            is_text = isinstance(answer, str)
            data = answer.encode() if is_text else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain" if is_text else "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = _serve

        def log_message(self, *_: Any) -> None:
            return None

    return Handler


@contextmanager
def fake_kubernetes(folder: Path) -> Iterator[FakeKubernetes]:
    """A cluster while the block lasts."""
    cluster = FakeKubernetes(folder)
    try:
        yield cluster
    finally:
        cluster.close()
