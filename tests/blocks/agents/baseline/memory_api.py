"""The HTTP API, kept in memory: runs wait until a test lets them end."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.blocks.agents.baseline.agent_forks import Forks
from wildloop.flows.evidence.account import Account, Contract
from wildloop.flows.evidence.target import target_of
from wildloop.flows.evidence.view import view_of
from wildloop.flows.models.run import Run
from wildloop.flows.project import MetricConfig

Body = dict[str, Any]
# Fills in status, metrics, exit_code and error of a run.
Execute = Callable[[Body], None]
TOKEN = "a-secret"


class MemoryApi:
    """Runs and sweeps of one server. Attributes may be changed while it serves."""

    def __init__(self) -> None:
        self.runs: list[Body] = []
        self.sweeps: list[Body] = []
        self.evo_sweep: Body | None = None
        self.goal = "Get val_accuracy above 0.97"
        self.metric = MetricConfig(name="val_accuracy")
        self.slots = 2
        self.code = "the code"
        self.requests: list[str] = []
        # Answers to give instead of the real ones, by "METHOD /path", first to last.
        self.refusals: dict[str, list[int]] = {}
        # Called after a run was created, before the answer; False: no answer is sent.
        self.answering: Callable[[Body], bool] = lambda run: True
        self.lock = threading.Lock()
        self.url = ""
        # Who calls the agent; None: each call is a process from its start.
        self.forks: Forks | None = None

    def finish_runs(self, execute: Execute, parallel: int = 1) -> int:
        """Let every run that has not ended end; return how many there were."""
        waiting = [run for run in self.runs if run["status"] == "queued"]
        with ThreadPoolExecutor(parallel) as pool:
            list(pool.map(execute, waiting))
        return len(waiting)

    def names(self, prefix: str = "") -> list[str]:
        """Names of the runs, in order of creation."""
        return [run["name"] for run in self.runs if run["name"].startswith(prefix)]

    def answer(self, method: str, target: str, body: Body) -> tuple[int, Any] | None:
        """(status, body) of one request; None: the connection is dropped."""
        url = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        with self.lock:
            self.requests.append(f"{method} {url.path}")
            refusals = self.refusals.get(f"{method} {url.path}", [])
            if refusals:
                return refusals.pop(0), {"detail": "refused by the test"}
            match method, url.path:
                case "POST", "/runs":
                    run = self._run(body)
                    return (201, run) if self.answering(run) else None
                case "POST", "/sweeps/wild":
                    self.sweeps.append(body | {"id": f"sweep-{len(self.sweeps)}"})
                    return 201, self.sweeps[-1]
                case "GET", "/runs":
                    mine = self._of_session(self.runs, query)
                    start = int(query.get("offset", 0))
                    return 200, mine[start : start + int(query["limit"])]
                case "GET", "/sweeps":
                    return 200, self.sweeps[::-1][: int(query["limit"])]
                case "GET", "/cluster":
                    return 200, self._cluster()
                case "GET", "/wild/v2/status":
                    return 200, {"session_id": query["chat_session_id"], "goal": self.goal}
                case "GET", path if path.startswith("/wild/v2/evidence/"):
                    return 200, self._evidence(path.rpartition("/")[2])
                case "GET", path if path.startswith("/wild/v2/evo-sweep/") and self.evo_sweep:
                    return 200, self.evo_sweep
                case "GET", path if path in ("/health", "/wild/v2/system-health"):
                    return 200, {"ok": True}
                case "GET", path if path.startswith("/prompt-skills/"):
                    return 200, {"id": path.rpartition("/")[2], "template": "..."}
        return 404, {"detail": f"no {method} {url.path}"}

    def _evidence(self, session_id: str) -> Body:
        """The account of the session's runs, as the real API makes it."""
        mine = [
            Run.model_validate({"workdir": "/p", "run_dir": "/p", **run})
            for run in self.runs
            if run["chat_session_id"] == session_id
        ]
        texts = {sweep["id"]: f"{sweep['name']} {sweep['goal']}" for sweep in self.sweeps}
        contract = Contract(self.metric, target=target_of(self.goal, self.metric.direction))
        account = Account(mine, contract, sweep_texts=texts)
        return view_of(account, session_id).model_dump(mode="json")

    def _run(self, body: Body) -> Body:
        number = len(self.runs)
        fields = {"id": f"run-{number}", "status": "queued", "created_at": 1000.0 + number}
        fields |= {"code": self.code}
        self.runs.append(body | fields | {"metrics": {}, "exit_code": None, "error": None})
        return self.runs[-1]

    def _of_session(self, found: list[Body], query: dict[str, str]) -> list[Body]:
        names = ("chat_session_id", "status")
        asked = {name: query[name] for name in names if name in query}
        return [one for one in found[::-1] if asked.items() <= one.items()]

    def _cluster(self) -> Body:
        held = sum(run["status"] == "running" for run in self.runs)
        return {
            "cluster": {"type": "cpu_only", "label": "CPU only"},
            "capacity": {"g": self.slots, "r": held, "q": 0, "max_new_runs": 0},
        }


@contextmanager
def serving(api: MemoryApi) -> Iterator[MemoryApi]:
    """Serve `api` on a free port of the loopback."""

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            open_to_all = self.path.startswith(("/health", "/prompt-skills", "/wild/v2/system"))
            if open_to_all or self.headers.get("X-Auth-Token") == TOKEN:
                found = api.answer(self.command, self.path, body)
            else:
                found = 401, {"detail": "the token is missing or wrong"}
            if found is None:
                self.close_connection = True
                self.connection.close()
                return
            content = json.dumps(found[1]).encode()
            self.send_response(found[0])
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _serve

        def log_message(self, format: str, *args: Any) -> None:
            """Keep the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    api.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
