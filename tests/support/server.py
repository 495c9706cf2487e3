"""A real `wildloop up` as a subprocess, and a client that waits for conditions."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

from shim.net import free_ports

T = TypeVar("T")
START_SECONDS = 120.0


def wait_for(
    look: Callable[[], T | None], what: str, seconds: float = 60.0, pause: float = 0.1
) -> T:
    """Look until something is found, or fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(pause)
    raise AssertionError(f"not within {seconds:g} s: {what}")


@dataclass
class Server:
    """A running `wildloop up`."""

    home: Path
    workdir: Path
    port: int
    prefect_port: int
    env: dict[str, str]
    process: "subprocess.Popen[bytes]"
    http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.url = f"http://127.0.0.1:{self.port}"
        self.token = (self.home / "token").read_text().strip()
        self.http = httpx.Client(
            base_url=self.url, headers={"X-Auth-Token": self.token}, timeout=60
        )
        self.prefect = httpx.Client(
            base_url=f"http://127.0.0.1:{self.prefect_port}/api",
            auth=("wildloop", self.token),
            timeout=60,
        )

    def get(self, path: str, **params: Any) -> Any:
        """GET with success, as JSON."""
        response = self.http.get(path, params=params)
        assert response.is_success, response.text
        return response.json()

    def post(self, path: str, body: Any = None) -> Any:
        """POST with success, as JSON."""
        response = self.http.post(path, json=body)
        assert response.is_success, response.text
        return response.json()

    def run(self, command: str, **fields: Any) -> dict[str, Any]:
        """Create a queued run."""
        body = {"name": "test", "command": command, "auto_start": True, **fields}
        return dict(self.post("/runs", body))

    def ended(self, run_id: str, seconds: float = 60.0) -> dict[str, Any]:
        """The run, once it has its outcome."""

        def look() -> dict[str, Any] | None:
            run = dict(self.get(f"/runs/{run_id}"))
            return run if run["status"] in ("finished", "failed", "stopped") else None

        return wait_for(look, f"run {run_id} ends", seconds)

    def stop_runs(self) -> None:
        """Stop every run that is not over, and wait until it is."""
        active = [
            run["id"]
            for status in ("ready", "queued", "launching", "running")
            for run in self.get("/runs", status=status, limit=1000)
        ]
        for run_id in active:
            # It may end by itself meanwhile, which is as good.
            answer = self.http.post(f"/runs/{run_id}/stop")
            assert answer.is_success or answer.status_code == 409, answer.text
        for run_id in active:
            self.ended(run_id)

    def reaches(self, run_id: str, status: str, seconds: float = 30.0) -> dict[str, Any]:
        """The run, once it has this status."""

        def look() -> dict[str, Any] | None:
            run = dict(self.get(f"/runs/{run_id}"))
            return run if run["status"] == status else None

        return wait_for(look, f"run {run_id} is {status}", seconds)

    def start(self, workdir: Path, agent: str, **fields: Any) -> str:
        """Start a session; return its id."""
        body = {
            "goal": "Raise the score",
            "workdir": str(workdir),
            "agent": agent,
            "wait_seconds": 5,
            **fields,
        }
        return str(self.post("/wild/v2/start", body)["session_id"])

    def steps(self, session_id: str) -> list[dict[str, Any]]:
        """The flow runs within a session, as the Prefect UI shows them."""
        return self._records("flow_runs", {"parent_flow_run_id": {"any_": [session_id]}})

    def tasks(self, flow_run_id: str) -> list[dict[str, Any]]:
        """The task runs of a flow run, as the Prefect UI shows them."""
        return self._records("task_runs", {"flow_run_id": {"any_": [flow_run_id]}})

    def _records(self, table: str, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        response = self.prefect.post(f"/{table}/filter", json={table: wanted})
        assert response.is_success, response.text
        return list(response.json())

    def session(self, session_id: str) -> dict[str, Any]:
        """The session as it is."""
        return dict(self.get("/wild/v2/status", session_id=session_id))

    def session_ended(self, session_id: str, seconds: float = 120.0) -> dict[str, Any]:
        """The session, once it has ended."""

        def look() -> dict[str, Any] | None:
            session = self.session(session_id)
            return None if session["is_active"] else session

        return wait_for(look, f"session {session_id} ends", seconds)

    def child(self, module: str) -> psutil.Process:
        """The child process that runs this module."""

        def look() -> psutil.Process | None:
            for process in psutil.Process(self.process.pid).children():
                if module in process.cmdline():
                    return process
            return None

        return wait_for(look, f"a child runs {module}")

    def process_tree(self) -> list[psutil.Process]:
        """The children of `up`."""
        return psutil.Process(self.process.pid).children()

    def stop(self) -> int:
        """Ctrl-C; return the exit code."""
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(60)
        finally:
            self.process.kill()


def command_environment(home: Path) -> dict[str, str]:
    """The environment of a user whose Wildloop lives in `home`."""
    env = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PREFECT_", "WILDLOOP_"))
    }
    env["WILDLOOP_HOME"] = str(home)
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    return env


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not reaped does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def start_server(
    home: Path, workdir: Path, slots: int | None, extra: dict[str, str] | None = None
) -> Server:
    """Start `wildloop up` and wait for its ready line."""
    port, prefect_port = free_ports(2)
    # Tests that share a server would share its rate too.
    env = {"WILDLOOP_RUNS_PER_MINUTE": "0"} | command_environment(home) | (extra or {})
    command = [sys.executable, "-P", "-m", "shim.cli.main", "up", "--port", str(port)]
    command += ["--prefect-port", str(prefect_port)]
    command += ["--slots", str(slots)] if slots is not None else []
    home.mkdir(parents=True, exist_ok=True)
    log = home / "up.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, env=env, cwd=workdir, stdout=file, stderr=subprocess.STDOUT
        )

    def look() -> bool:
        assert process.poll() is None, log.read_text()
        return f"Wildloop ready: http://127.0.0.1:{port}" in log.read_text()

    wait_for(look, "`wildloop up` is ready", START_SECONDS)
    return Server(
        home=home, workdir=workdir, port=port, prefect_port=prefect_port, env=env, process=process
    )
