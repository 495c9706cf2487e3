"""A Prefect server of a team's own, with things of theirs on it, and how people use it."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.support.pace import patient
from tests.support.server import command_environment, end_politely, wait_for
from wildloop.flows.settings import POOL_NAME
from wildloop.shim.net import free_ports

TABLES = (
    "work_pools",
    "deployments",
    "flows",
    "v2/concurrency_limits",
    "concurrency_limits",
    "variables",
    "block_documents",
    "automations",
)
CLOCKS = ("updated", "last_polled", "status", "last_heartbeat", "active_slots")
OURS = ("wildloop", "research-loop", "experiment", "digest", "nightly", "morning")
# Flows of which a session's graph is made.
PARTS = ("planning", "iteration", "reflection", "evo-sweep", "runs")


class TeamServer:
    """A `prefect server start` of a team's.

    Args:
        folder: of its files.
        database: its connection URL; None: Prefect's own SQLite file.
        auth: its auth string; None: anybody may.
        by_profile: whether its users name it by a profile, rather than by variables.
    """

    def __init__(
        self, folder: Path, database: str | None, auth: str | None, by_profile: bool
    ) -> None:
        self.folder, self.port = folder, free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}/api"
        self.http = httpx.Client(
            base_url=self.url,
            auth=httpx.BasicAuth(*auth.split(":")) if auth else None,
            timeout=patient(60),
        )
        # What its users have; they are not told where its database is.
        self.extra = {"PREFECT_HOME": str(folder / "prefect")}
        named = {"PREFECT_API_URL": self.url} | ({"PREFECT_API_AUTH_STRING": auth} if auth else {})
        server = command_environment(folder) | {
            "PREFECT_HOME": str(folder / "server"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
        }
        if database is not None:
            server["PREFECT_API_DATABASE_CONNECTION_URL"] = database
        if auth is not None:
            server["PREFECT_SERVER_API_AUTH_STRING"] = auth
        if by_profile:
            self._make_profile(named)
        else:
            self.extra |= named
        self.env = command_environment(folder / "home") | self.extra
        with (folder / "server.log").open("wb") as log:
            self.process = subprocess.Popen(
                [_prefect(), "server", "start", "--port", str(self.port)],
                env=server,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _make_profile(self, named: Mapping[str, str]) -> None:
        env = command_environment(self.folder) | self.extra
        settings = [f"{name}={value}" for name, value in named.items()]
        for words in (["profile", "create", "lab"], ["profile", "use", "lab"]):
            subprocess.run([_prefect(), *words], env=env, capture_output=True)
        subprocess.run([_prefect(), "config", "set", *settings], env=env, check=True)

    def answers(self) -> bool:
        """Whether it does."""
        assert self.process.poll() is None, (self.folder / "server.log").read_text()
        try:
            return self.http.get("/health").is_success
        except httpx.TransportError:
            return False

    def prefect(self, *arguments: str, cwd: Path | None = None) -> str:
        """Run the prefect command as its users do."""
        return self._run([_prefect(), "--no-prompt", *arguments], cwd, {}, 0).stdout

    def wildloop(
        self, *arguments: str, code: int = 0, **extra: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run the wildloop command as its users do; `extra`: variables."""
        words = [sys.executable, "-P", "-m", "wildloop.shim.cli.main", *arguments]
        return self._run(words, None, extra, code)

    def _run(
        self, words: list[str], cwd: Path | None, extra: Mapping[str, str], code: int
    ) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            words,
            env=self.env | extra,
            cwd=cwd or self.folder,
            capture_output=True,
            text=True,
            timeout=patient(120),
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == code, done.stderr + done.stdout
        return done

    def post(self, path: str, body: Any = None) -> Any:
        """POST to Prefect's API, with success; SQLite is busy now and then."""
        answer = self.http.post(path, json=body if body is not None else {})
        for _ in range(20):
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            time.sleep(0.5)
            answer = self.http.post(path, json=body if body is not None else {})
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def is_left_paused(self, flow_run_id: str) -> bool:
        """Whether a pause has been noted by the worker: it is to last until it is resumed."""
        details = self.flow_run(flow_run_id)["state"]["state_details"]
        return bool(details["pause_reschedule"])

    def furnish(self) -> None:
        """Put things of the team's on it."""
        self.post("/work_pools/", {"name": "theirs", "type": "process", "concurrency_limit": 3})
        self.post("/work_pools/theirs/queues", {"name": "quick", "concurrency_limit": 1})
        flow = self.post("/flows/", {"name": "their-flow"})
        self.post(
            "/deployments/",
            {"name": "their", "flow_id": flow["id"], "work_pool_name": "theirs", "tags": ["gpu"]},
        )
        self.post("/v2/concurrency_limits/", {"name": "their-database", "limit": 4})
        self.post("/concurrency_limits/", {"tag": "their-tag", "concurrency_limit": 2})
        self.post("/variables/", {"name": "their_variable", "value": "x"})

    def others(self) -> dict[str, Any]:
        """All on it that is not Wildloop's; what changes by itself is left out."""
        return {table: self._theirs(table) for table in TABLES}

    def _theirs(self, table: str) -> list[str]:
        rows = [
            {name: value for name, value in row.items() if name not in CLOCKS}
            for row in self.post(f"/{table}/filter")
        ]
        if table == "work_pools":
            for row in [row for row in rows if row["name"] != POOL_NAME]:
                queues = self.post(f"/work_pools/{row['name']}/queues/filter")
                row["queues"] = [(one["name"], one["concurrency_limit"]) for one in queues]
        told = [json.dumps(row, sort_keys=True) for row in rows if not _is_ours(row)]
        return sorted(told)

    def flow_run(self, id: str) -> dict[str, Any]:
        """As it is now."""
        return dict(self.http.get(f"/flow_runs/{id}").json())

    def reaches(self, id: str, *types: str) -> dict[str, Any]:
        """The flow run, once it is in one of these states."""

        def look() -> dict[str, Any] | None:
            found = self.flow_run(id)
            return found if found["state_type"] in types else None

        return wait_for(look, f"flow run {id} is {types}", 120)


def _is_ours(row: Mapping[str, Any]) -> bool:
    """Whether a record has one of Wildloop's names, or hangs on one of its flows."""
    name = str(row.get("name", ""))
    return name.startswith(OURS) or name in PARTS


def _prefect() -> str:
    return str(Path(sys.executable).with_name("prefect"))


@contextmanager
def team_server(
    folder: Path, database: str | None = None, auth: str | None = None, by_profile: bool = False
) -> Iterator[TeamServer]:
    """A server that answers, with things of the team's on it."""
    server = TeamServer(folder, database, auth, by_profile)
    try:
        wait_for(server.answers, "the team's Prefect server", 120)
        server.furnish()
        yield server
    finally:
        end_politely(server.process)
