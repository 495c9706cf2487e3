"""Several hosts on one machine: network namespaces, a team's PostgreSQL and Redis, an API."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.debian import apt_install
from tests.support.nvml import FakeNvml, build_nvml
from tests.support.pace import patient
from tests.support.postgres import postgres_url
from tests.support.project import make_project
from tests.support.server import command_environment
from tests.support.waiting import wait_for
from wildloop.shim.net import free_ports

TOKEN = "of-the-cluster-and-nobody-else"
OVER = ("finished", "failed", "stopped")
SIGNS = 300.0


@dataclass
class Host:
    """A host: its own network, name, home and sight of the project's folder."""

    name: str
    namespace: str
    link: str
    devices: int
    mount: str
    home: Path
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def log(self) -> Path:
        """What its worker says."""
        return self.home / "worker.log"

    def cut_off(self) -> None:
        """Take it off the network."""
        _sh("ip", "link", "set", self.link, "down")

    def bring_back(self) -> None:
        """Put it on the network again."""
        _sh("ip", "link", "set", self.link, "up")


@dataclass
class Hosts:
    """The hosts, and the machine beside them that has the servers and the project's folder."""

    folder: Path
    address: str
    number: int
    project: Path
    env: dict[str, str]
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    all: dict[str, Host] = field(default_factory=dict)

    def start(self, name: str, command: list[str], extra: Mapping[str, str]) -> None:
        """Start a server on the machine itself."""
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes.append(
                subprocess.Popen(
                    command,
                    env=self.env | dict(extra),
                    cwd=self.project,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )

    def host(self, name: str, devices: int, mount: str = "true") -> Host:
        """Start a host with a worker; `mount` is done in its own mount namespace before."""
        index = len(self.all) + 1
        space, link = f"wl{self.number}h{index}", f"wl{self.number}v{index}"
        _sh("ip", "netns", "add", space)
        _sh("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", space)
        _sh("ip", "link", "set", link, "master", f"wl{self.number}br", "up")
        _sh("ip", "-n", space, "addr", "add", f"10.77.{self.number}.1{index}/24", "dev", "eth0")
        for device in ("eth0", "lo"):
            _sh("ip", "-n", space, "link", "set", device, "up")
        host = Host(name, space, link, devices, mount, self.folder / f"home-{name}")
        host.home.mkdir()
        self.all[name] = host
        self.start_worker(host)
        return host

    def start_worker(self, host: Host) -> None:
        """Start the worker of a host, and wait until it takes work."""
        ready = host.home / "ready"
        ready.unlink(missing_ok=True)
        words = [sys.executable, "-P", "-m", "wildloop.flows.worker.main", "--ready-file"]
        inner = f'hostname {host.name} && {host.mount} && cd "$0" && exec "$@"'
        command = ["ip", "netns", "exec", host.namespace, "unshare", "--uts", "--mount"]
        command += ["bash", "-c", inner, str(host.home), *words, str(ready)]
        gpus = FakeNvml(self.folder / "nvml", host.home / "gpus", host.devices)
        env = self.env | gpus.environment
        env |= {
            "WILDLOOP_HOME": str(host.home),
            "PREFECT_HOME": str(host.home / "prefect"),
        }
        with host.log.open("ab") as log:
            host.process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        self.processes.append(host.process)
        wait_for(
            ready.exists, f"the worker of {host.name}", SIGNS, sign=lambda: host.log.stat().st_size
        )

    @property
    def http(self) -> httpx.Client:
        """A client of the API, as its user."""
        return httpx.Client(
            base_url=self.env["WILDLOOP_SERVER_URL"],
            headers={"X-Auth-Token": TOKEN},
            timeout=patient(60),
        )

    def run(self, command: str, **fields: Any) -> str:
        """Create a queued run in the project; return its id."""
        body = {"name": "test", "command": command, "auto_start": True, **fields}
        with self.http as http:
            answer = http.post("/runs", json=body)
        assert answer.is_success, answer.text
        return str(answer.json()["id"])

    def ended(self, ids: list[str], seconds: float = SIGNS) -> dict[str, dict[str, Any]]:
        """These runs, once all have their outcome; fails `seconds` after the last one got it."""
        found: dict[str, dict[str, Any]] = {}

        def look() -> bool:
            with self.http as http:
                for offset in range(0, len(ids) + 100, 100):
                    page = http.get("/runs", params={"limit": 100, "offset": offset})
                    assert page.is_success, page.text
                    found.update({run["id"]: run for run in page.json()})
            return all(id in found and found[id]["status"] in OVER for id in ids)

        def sign() -> int:
            return sum(run["status"] in OVER for run in found.values())

        wait_for(look, f"{len(ids)} runs end", seconds, sign=sign, pauses=(1.0, 3.0))
        return {id: found[id] for id in ids}

    def get(self, path: str, **params: Any) -> Any:
        """GET with success, as JSON."""
        with self.http as http:
            answer = http.get(path, params=params)
        assert answer.is_success, answer.text
        return answer.json()


@contextmanager
def several_hosts() -> Iterator[Hosts]:
    """The machine of the servers, with a project; hosts are started on it.

    Skips where there are no namespaces, or PostgreSQL or Redis cannot be had.
    """
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    if shutil.which("redis-server") is None and (fault := apt_install("redis-server")) is not None:
        pytest.skip(f"Redis cannot be had: {fault}")
    pytest.importorskip("prefect_redis")
    number = os.getpid() % 250 + 1
    bridge, address = f"wl{number}br", f"10.77.{number}.1"
    made = subprocess.run(["ip", "link", "add", bridge, "type", "bridge"], capture_output=True)
    if made.returncode:
        pytest.skip(f"this machine has no bridges: {made.stderr.decode().strip()}")
    folder = Path(tempfile.mkdtemp(prefix="wildloop-hosts-"))
    project = make_project(folder / "shared" / "project")
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.callback(_sh, "ip", "link", "del", bridge)
        _sh("ip", "addr", "add", f"{address}/24", "dev", bridge)
        _sh("ip", "link", "set", bridge, "up")
        database = stack.enter_context(postgres_url())
        build_nvml(folder / "nvml")
        prefect, api, redis = free_ports(3)
        hosts = Hosts(folder, address, number, project, _environment(folder, address, prefect, api))
        stack.callback(_end, hosts)
        hosts.start("redis", ["redis-server", "--port", str(redis), "--save", ""], {})
        hosts.start(
            "prefect",
            [
                *(str(Path(sys.executable).with_name("prefect")), "server", "start"),
                *("--host", address, "--port", str(prefect)),
            ],
            _redis(redis) | {"PREFECT_API_DATABASE_CONNECTION_URL": database},
        )
        _wait(hosts, f"http://{address}:{prefect}/api/health", "prefect")
        words = [sys.executable, "-P", "-m", "wildloop.shim.cli.main", "serve"]
        hosts.start("api", [*words, "--host", address, "--port", str(api)], {})
        _wait(hosts, f"http://{address}:{api}/health", "api")
        yield hosts


def _environment(folder: Path, address: str, prefect: int, api: int) -> dict[str, str]:
    return command_environment(folder / "home") | {
        "PREFECT_API_URL": f"http://{address}:{prefect}/api",
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
        "WILDLOOP_SERVER_URL": f"http://{address}:{api}",
        "WILDLOOP_AUTH_TOKEN": TOKEN,
        "WILDLOOP_WORKDIR": str(folder / "shared" / "project"),
        "WILDLOOP_RUNS_PER_MINUTE": "0",
        "WILDLOOP_HOST_PATIENCE_SECONDS": "20",
    }


def _redis(port: int) -> dict[str, str]:
    return {
        "PREFECT_MESSAGING_BROKER": "prefect_redis.messaging",
        "PREFECT_MESSAGING_CACHE": "prefect_redis.messaging",
        "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
        "PREFECT_REDIS_MESSAGING_HOST": "127.0.0.1",
        "PREFECT_REDIS_MESSAGING_PORT": str(port),
    }


def _wait(hosts: Hosts, url: str, name: str) -> None:
    log, process = hosts.folder / f"{name}.log", hosts.processes[-1]

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return httpx.get(url, timeout=5).is_success
        except httpx.TransportError:
            return False

    wait_for(answers, f"{name} answers", SIGNS, sign=lambda: log.stat().st_size)


def _sh(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


def _end(hosts: Hosts) -> None:
    """End what was started, the workers before the servers, and the hosts with all on them."""
    for process in reversed(hosts.processes):
        process.terminate()
    for process in hosts.processes:
        try:
            process.wait(patient(30))
        except subprocess.TimeoutExpired:
            process.kill()
    for host in hosts.all.values():
        pids = subprocess.run(
            ["ip", "netns", "pids", host.namespace], capture_output=True, text=True
        ).stdout.split()
        for pid in pids:
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                continue
        _sh("ip", "netns", "del", host.namespace)
