"""A real `wildloop up` as a subprocess, and a client that waits for conditions."""

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

from tests.support.migrated import give_database
from tests.support.pace import patient
from tests.support.waiting import Sign, wait_for
from wildloop.shim.net import free_ports

T = TypeVar("T")
NEEDS = ("server", "e2e", "slurm", "browser", "agent_cli")
"""Marks of the tests that `make check` leaves out."""
MAY_START = "WILDLOOP_TEST_MAY_START_A_SERVER"
START_SECONDS = 120.0
HANG_SECONDS = 300.0
"""For one request: whether it comes at all, not how fast."""
PAUSES = (0.2, 2.0)
"""Between two looks by HTTP, each of which costs the server 20 to 40 ms of a core."""
OVER = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
BY_THE_API = 8
"""Of so many looks for a session's end, one asks the API, which costs five requests to Prefect."""


class Tail:
    """What is added to a log from now on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._skipped = path.stat().st_size if path.exists() else 0

    def text(self) -> str:
        """All of it; the whole log, where that was begun anew."""
        data = self._path.read_bytes()
        return data[self._skipped if len(data) >= self._skipped else 0 :].decode()


class Server:
    """A `wildloop up` that runs; after its end it can be launched again on the same home."""

    def __init__(
        self, home: Path, workdir: Path, slots: int | None, extra: dict[str, str] | None = None
    ) -> None:
        self.home, self.workdir = home, workdir
        self._slots, self._extra = slots, extra or {}
        self.options: list[str] = []
        home.mkdir(parents=True, exist_ok=True)
        # A Prefect server that others have started has a database of its own.
        if not {"PREFECT_HOME", "PREFECT_API_URL"} & self._extra.keys():
            give_database(home)
        self.launch()

    def launch(self) -> None:
        """Start it, under free ports, and wait for its ready line."""
        assert os.environ.get(MAY_START) != "no", f"mark the test: one of {', '.join(NEEDS)}"
        self.port, self.prefect_port = free_ports(2)
        # Tests that share a server would share its rate too.
        # Prefect's own block types take a server as long as a fifth of its start.
        self.env = {
            "WILDLOOP_RUNS_PER_MINUTE": "0",
            "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
            **command_environment(self.home),
            **self._extra,
        }
        command = [sys.executable, "-P", "-m", "wildloop.shim.cli.main", "up"]
        command += ["--port", str(self.port)]
        # Asking for a port asks for a Prefect server of its own; these use the one of a profile.
        if "PREFECT_HOME" not in self._extra:
            command += ["--prefect-port", str(self.prefect_port)]
        command += ["--slots", str(self._slots)] if self._slots is not None else []
        command += self.options
        log = self.home / "up.log"
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                command, env=self.env, cwd=self.workdir, stdout=file, stderr=subprocess.STDOUT
            )

        def look() -> bool:
            assert self.process.poll() is None, log.read_text()
            return f"Wildloop ready: http://127.0.0.1:{self.port}" in log.read_text()

        try:
            wait_for(look, "`wildloop up` is ready", START_SECONDS, sign=lambda: log.stat().st_size)
        except AssertionError:
            self.end()
            raise
        self._connect()

    def _connect(self) -> None:
        self.url = f"http://127.0.0.1:{self.port}"
        self.token = (self.home / "token").read_text().strip()
        self.http = httpx.Client(
            base_url=self.url, headers={"X-Auth-Token": self.token}, timeout=HANG_SECONDS
        )
        self.prefect = httpx.Client(
            base_url=f"http://127.0.0.1:{self.prefect_port}/api",
            auth=("wildloop", self.token),
            timeout=HANG_SECONDS,
        )

    def pulse(self) -> tuple[int, ...]:
        """A sign of life: each step of a run or a session, and each restart, is in these logs."""
        logs = (self.home / "up.log", self.home / "logs" / "worker.log")
        return tuple(log.stat().st_size if log.exists() else 0 for log in logs)

    def wait_for(
        self,
        look: Callable[[], T | None],
        what: str,
        seconds: float = 60.0,
        sign: Sign | None = None,
    ) -> T:
        """Look, by HTTP, until something is found; fails `seconds` after the last sign of life."""

        def signs() -> object:
            return self.pulse(), sign() if sign else None

        return wait_for(look, what, seconds, sign=signs, pauses=PAUSES)

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

        return self.wait_for(look, f"run {run_id} ends", seconds)

    def stop_runs(self) -> None:
        """Stop every run that is not over, and wait until it is."""
        active = [
            run["id"]
            for status in ("ready", "queued", "launching", "running")
            for run in self.get("/runs", status=status, archived="all", limit=1000)
        ]
        for run_id in active:
            # It may end by itself meanwhile, which is as good.
            answer = self.http.post(f"/runs/{run_id}/stop")
            assert answer.is_success or answer.status_code == 409, answer.text
        for run_id in active:
            self.ended(run_id)

    def stop_all(self) -> None:
        """Stop every session and every run, and wait until they are over."""
        sessions = [one for one in self.get("/wild/v2/sessions") if one["is_active"]]
        for session in sessions:
            self.http.post("/wild/v2/stop", json={"session_id": session["session_id"]})
        for session in sessions:
            self.session_ended(session["session_id"])
        self.stop_runs()

    def reaches(self, run_id: str, status: str, seconds: float = 60.0) -> dict[str, Any]:
        """The run, once it has this status."""

        def look() -> dict[str, Any] | None:
            run = dict(self.get(f"/runs/{run_id}"))
            return run if run["status"] == status else None

        return self.wait_for(look, f"run {run_id} is {status}", seconds)

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
        """The steps of a session, as the Prefect UI shows them below it; its runs are none."""
        found = self._records("flow_runs", {"parent_flow_run_id": {"any_": [session_id]}})
        return [one for one in found if one["name"] != "of the session"]

    def tasks(self, flow_run_id: str) -> list[dict[str, Any]]:
        """The task runs of a flow run, as the Prefect UI shows them."""
        return self._records("task_runs", {"flow_run_id": {"any_": [flow_run_id]}})

    def _records(self, table: str, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        response = self.prefect.post(f"/{table}/filter", json={table: wanted})
        assert response.is_success, response.text
        return list(response.json())

    def session(self, session_id: str) -> dict[str, Any]:
        """The session as it is, with every call of its agent."""
        return dict(self.get("/wild/v2/status", session_id=session_id, history="all"))

    def session_ended(
        self, session_id: str, seconds: float = 120.0, sign: Sign | None = None
    ) -> dict[str, Any]:
        """The session, once it has ended; `sign`: of an agent that is at work for long."""

        looks = itertools.count(1)

        def look() -> dict[str, Any] | None:
            if not self.is_over(session_id) and next(looks) % BY_THE_API:
                return None
            session = self.session(session_id)
            return None if session["is_active"] else session

        return self.wait_for(look, f"session {session_id} ends", seconds, sign)

    def is_over(self, flow_run_id: str) -> bool:
        """Whether Prefect says that a flow run has ended; if Prefect says nothing, perhaps."""
        try:
            answer = self.prefect.get(f"/flow_runs/{flow_run_id}")
        except httpx.TransportError:
            return True
        return not answer.is_success or answer.json()["state_type"] in OVER

    def child(self, module: str) -> psutil.Process:
        """The child process that runs this module."""

        def look() -> psutil.Process | None:
            for process in psutil.Process(self.process.pid).children():
                if module in process.cmdline():
                    return process
            return None

        return wait_for(look, f"a child runs {module}")

    def tail(self, log: str) -> Tail:
        """What `up`, `worker` or another part logs from now on."""
        return Tail(self.home / "up.log" if log == "up" else self.home / "logs" / f"{log}.log")

    def process_tree(self) -> list[psutil.Process]:
        """The children of `up`."""
        return psutil.Process(self.process.pid).children()

    def kill(self) -> None:
        """End `up` itself with -9."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ctrl-C; return the exit code."""
        self.end()
        return self.process.returncode

    def end(self) -> None:
        """Ctrl-C, where it runs."""
        end_politely(self.process)


def end_politely(process: "subprocess.Popen[Any]", seconds: float = 60.0) -> None:
    """Ctrl-C, so that it ends its children, too; KILL if that is not enough."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(patient(seconds))
    finally:
        process.kill()


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
    return Server(home, workdir, slots, extra)
