"""What is measured: each subject takes a shell command and runs it when a slot is free."""

import shutil
import sys
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Self

import httpx
import psutil

from bench.processes import BenchError, PartUsage, clean_environment, end, spawn, until, usage
from wildloop.shim.database import find_postgres
from wildloop.shim.net import free_ports

START_SECONDS = 600.0
REQUEST_SECONDS = 60.0
LOOPBACK = "127.0.0.1"


class Subject(ABC):
    """One engine under measurement.

    Procedure: `start`, then any number of `submit` and `ended`, then `stop`; `start` after `stop`
    goes on with the same history. `close` removes what is left. `poll_s` is how long its own poll
    may hold a request back: pauses between requests are spread over it. `refused` counts the
    requests that it answered with 503 and that were made again.
    """

    name: str
    poll_s: float = 1.0
    api: httpx.Client | None = None
    slots: int | None = None
    refused: int = 0

    @abstractmethod
    def start(self, slots: int) -> None:
        """Start it and return when it takes commands, `slots` of them at a time.

        Raises:
            BenchError: it does not start.
        """

    @abstractmethod
    def stop(self) -> None:
        """End every process of it."""

    @abstractmethod
    def submit(self, command: str) -> str:
        """Ask for a command; return the run's id.

        Raises:
            BenchError: it was refused.
        """

    @abstractmethod
    def ended(self, run_id: str) -> bool:
        """Whether the run has ended well.

        Raises:
            BenchError: it has failed.
        """

    def parts(self) -> list[PartUsage]:
        """What each of its parts uses; empty where that cannot be seen."""
        return []

    def close(self) -> None:
        """Stop it and remove its files."""
        self.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class RunsApi(Subject):
    """A subject that speaks `POST /runs` and `GET /runs/{id}`."""

    @property
    def started_api(self) -> httpx.Client:
        """The client of a started subject."""
        assert self.api is not None, f"{self.name} has not been started"
        return self.api

    def submit(self, command: str) -> str:
        """`POST /runs` with `auto_start`."""
        body = {"name": "bench", "command": command, "auto_start": True}
        return str(answer(self.started_api.post("/runs", json=body))["id"])

    def ended(self, run_id: str) -> bool:
        """By the status word of `GET /runs/{id}`."""
        run = answer(self.started_api.get(f"/runs/{run_id}"))
        if run["status"] in ("failed", "stopped"):
            raise BenchError(f"run {run_id} is {run['status']}: {run.get('error')}")
        return bool(run["status"] == "finished")


class WildloopSubject(RunsApi):
    """A `wildloop up` in a fresh home: server, database, worker and API."""

    name = "wildloop"

    def __init__(self, database: str | None = None, home: Path | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="wildloop-bench-"))
        self.home = home or self.folder / "home"
        self.database = database
        self.port, self.prefect_port = free_ports(2)
        self.process: Any = None
        (self.folder / "project").mkdir()

    def start(self, slots: int) -> None:
        """`wildloop up --slots`; returns at its ready line."""
        command = [sys.executable, "-P", "-m", "wildloop.shim.cli.main", "up", "--no-token"]
        command += ["--port", str(self.port), "--prefect-port", str(self.prefect_port)]
        command += ["--slots", str(slots), "--workdir", str(self.folder / "project")]
        if self.database is not None:
            command += ["--database", self.database]
        log = self.folder / "up.log"
        log.unlink(missing_ok=True)
        env = clean_environment(WILDLOOP_HOME=str(self.home), WILDLOOP_RUNS_PER_MINUTE="0")
        self.process, self.slots = spawn(command, env, log), slots
        process = self.process

        def ready() -> bool:
            if process.poll() is not None:
                raise BenchError(f"`wildloop up` ended with {process.returncode}: {tail(log)}")
            return "Wildloop ready:" in log.read_text()

        until(ready, "`wildloop up` is ready", START_SECONDS, 0.05)
        self.api = client(f"http://{LOOPBACK}:{self.port}")

    def stop(self) -> None:
        """Ctrl-C, as a user would."""
        if self.process is not None:
            end(self.process)
            self.process = None
        if self.api is not None:
            self.api.close()

    def close(self) -> None:
        """Stop it and remove its home."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def prefect_api_url(self) -> str:
        """The API of its Prefect server."""
        return f"http://{LOOPBACK}:{self.prefect_port}/api"

    @property
    def database_url(self) -> str:
        """Its PostgreSQL, as Prefect takes it."""
        return find_postgres(self.home).url

    def parts(self) -> list[PartUsage]:
        """Server, database, worker and API; the commands count with the worker."""
        found: dict[str, list[int]] = {"up": []}
        for child in psutil.Process(self.process.pid).children():
            found.setdefault(part_name(child.cmdline()), []).append(child.pid)
        # `up` itself has the others as children: its own reading would count them twice.
        del found["up"]
        return [usage(name, pids) for name, pids in sorted(found.items())]


class PeerSubject(RunsApi):
    """A server that runs already and speaks the same API; on this host, for its clock and files."""

    name = "peer"

    def __init__(self, base_url: str, token: str | None = None, pid: int | None = None) -> None:
        self.base_url, self.token, self.pid = base_url.rstrip("/"), token, pid

    def start(self, slots: int) -> None:
        """Only looks whether it answers: its slots are what its owner has set."""
        self.api = client(self.base_url, {"X-Auth-Token": self.token} if self.token else {})
        try:
            answer(self.started_api.get("/runs", params={"limit": 1}), listed=True)
        except httpx.HTTPError as error:
            raise BenchError(f"peer {self.base_url} does not answer: {error}") from error

    def stop(self) -> None:
        """Leaves it running."""
        if self.api is not None:
            self.api.close()

    def parts(self) -> list[PartUsage]:
        """The tree of the process id given, if one was."""
        return [usage("peer", [self.pid])] if self.pid is not None else []


def part_name(cmdline: list[str]) -> str:
    """The part of `wildloop up` that a child is."""
    line = " ".join(cmdline)
    names = {
        "wildloop.shim.prefect_server": "prefect server",
        "postgres": "database",
        "wildloop.flows.worker.main": "worker",
        "wildloop.shim.main": "api",
        "stop_leftovers": "guard",
    }
    return next((name for word, name in names.items() if word in line), "other")


def client(base_url: str, headers: dict[str, str] | None = None) -> httpx.Client:
    """A client of one subject, straight to it whatever proxy is set."""
    return httpx.Client(
        base_url=base_url, headers=headers, timeout=REQUEST_SECONDS, trust_env=False
    )


def answer(response: httpx.Response, listed: bool = False) -> Any:
    """The JSON of a response.

    Raises:
        BenchError: it is an error, or not of the expected shape.
    """
    if not response.is_success:
        request = response.request
        raise BenchError(
            f"{request.method} {request.url.path}: {response.status_code} {response.text[:300]}"
        )
    body = response.json()
    if isinstance(body, list) is not listed:
        raise BenchError(f"{response.request.url.path}: unexpected answer {response.text[:100]}")
    return body


def tail(log: Path) -> str:
    """The end of a log."""
    return log.read_text(errors="replace")[-2000:]
