"""Plain Prefect, as its documentation has it: a served flow, and the process worker."""

import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from bench.processes import BenchError, PartUsage, clean_environment, end, spawn, until, usage
from bench.served import DEPLOYMENT, POOL
from bench.subjects import LOOPBACK, START_SECONDS, Subject, answer, client, tail
from wildloop.shim.net import free_ports

PREFECT = (sys.executable, "-m", "prefect")
SERVED = (sys.executable, "-m", "bench.served")
RETRY_SECONDS = (2.0, 4.0, 8.0, 16.0, 32.0)


class PrefectSubject(Subject):
    """A `prefect server start` with a home of its own, and something that runs its flow runs."""

    # The default of both the runner and the worker.
    poll_s = 10.0

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="wildloop-bench-"))
        (port,) = free_ports(1)
        self.port = port
        self.env = clean_environment(
            PREFECT_HOME=str(self.folder / "prefect"),
            PREFECT_API_URL=f"http://{LOOPBACK}:{port}/api",
            PREFECT_SERVER_ANALYTICS_ENABLED="false",
        )
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.deployment_id = ""
        self.prefect = client(self.env["PREFECT_API_URL"])

    def start(self, slots: int) -> None:
        """The server, then what runs the flow runs."""
        self.slots = slots
        self._spawn("prefect server", [*PREFECT, "server", "start", "--port", str(self.port)])
        until(self._healthy, f"the server of {self.name} answers", START_SECONDS, 0.1)
        self.start_runner(slots)
        path = f"/deployments/name/served/{DEPLOYMENT}"
        found = until(lambda: self._found(path), "the deployment is there", START_SECONDS, 0.1)
        self.deployment_id = str(found["id"])

    def start_runner(self, slots: int) -> None:
        """Start what runs the flow runs, `slots` at a time."""
        raise NotImplementedError

    def stop(self) -> None:
        """Ends the runner before the server that it needs."""
        for process in reversed(self.processes.values()):
            end(process, seconds=20.0)
        self.processes.clear()

    def close(self) -> None:
        """Stop it and remove its home."""
        self.stop()
        self.prefect.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def submit(self, command: str) -> str:
        """A flow run of the deployment; asked for again where the server has no time (503)."""
        path = f"/deployments/{self.deployment_id}/create_flow_run"
        body = {"parameters": {"command": command}}
        response = self.prefect.post(path, json=body)
        for pause in RETRY_SECONDS:
            if response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            # As Prefect's own client does; SQLite with several writers at once leads to it.
            self.refused += 1
            time.sleep(pause * random.uniform(0.8, 1.2))
            response = self.prefect.post(path, json=body)
        return str(answer(response)["id"])

    def ended(self, run_id: str) -> bool:
        """By the type of the flow run's state."""
        state = answer(self.prefect.get(f"/flow_runs/{run_id}"))["state_type"]
        if state in ("FAILED", "CRASHED", "CANCELLED"):
            raise BenchError(f"flow run {run_id} of {self.name} is {state}")
        return bool(state == "COMPLETED")

    def parts(self) -> list[PartUsage]:
        """The server, and the runner with the flow runs' processes."""
        return [usage(name, [process.pid]) for name, process in self.processes.items()]

    def _spawn(self, name: str, command: list[str]) -> None:
        self.processes[name] = spawn(command, self.env, self.folder / f"{name}.log")

    def _healthy(self) -> bool:
        self._check_alive()
        try:
            return self.prefect.get("/health").is_success
        except httpx.TransportError:
            return False

    def _found(self, path: str) -> Any:
        self._check_alive()
        response = self.prefect.get(path)
        return None if response.status_code == httpx.codes.NOT_FOUND else answer(response)

    def _check_alive(self) -> None:
        for name, process in self.processes.items():
            if process.poll() is not None:
                text = tail(self.folder / f"{name}.log")
                raise BenchError(f"{name} of {self.name} ended: {text}")


class ServeSubject(PrefectSubject):
    """`flow.serve()`: a process per flow run, started by the serving script."""

    name = "flow.serve()"

    def start_runner(self, slots: int) -> None:
        """The serving script."""
        self._spawn("runner", [*SERVED, "serve", "--limit", str(slots)])


class ProcessWorkerSubject(PrefectSubject):
    """`prefect worker start --type process`: a process per flow run, started by the worker."""

    name = "process worker"

    def start_runner(self, slots: int) -> None:
        """The worker, which makes its pool; then the deployment."""
        options = ["--pool", POOL, "--type", "process", "--limit", str(slots)]
        self._spawn("worker", [*PREFECT, "worker", "start", *options])
        until(lambda: self._found(f"/work_pools/{POOL}"), "the pool is there", START_SECONDS, 0.1)
        done = subprocess.run(
            [*SERVED, "deploy"], env=self.env, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise BenchError(f"deploying for {self.name} failed: {done.stderr[-2000:]}")
