"""The embedded Prefect server on each database, side by side.

By hand, on an idle machine: `python -m bench.database [--postgres-bin DIR]...` (each DIR another
build of PostgreSQL). It prints, per database: seconds from nothing to an answering server, the
same on the second start, `create flow run` one at a time, ten at once, and ten at once while four
clients carry runs through their states as a worker does; and how many requests were answered 503.
"""

import argparse
import asyncio
import os
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from wildloop.shim.children import answers
from wildloop.shim.database import find_postgres, postgres_environment
from wildloop.shim.net import free_ports

START_SECONDS = 120.0
LOOPBACK = "127.0.0.1"
OURS = (sys.executable, "-P", "-m", "wildloop.shim.prefect_server")
STOCK = (sys.executable, "-P", "-m", "prefect", "server", "start")


@dataclass(frozen=True)
class Variant:
    """A server on a database; `binaries` None and `postgres` set: those of the wheel."""

    name: str
    server: tuple[str, ...] = OURS
    postgres: bool = False
    binaries: Path | None = None


@dataclass
class Figures:
    """Seconds, and the 503 responses among `requests`."""

    first_start: float = 0.0
    second_start: float = 0.0
    single: list[float] = field(default_factory=list)
    burst: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)
    refused: int = 0
    requests: int = 0

    def row(self, name: str) -> str:
        """One line of the table."""
        return (
            f"{name:<26}{self.first_start:>8.1f}{self.second_start:>8.1f}"
            f"{statistics.median(self.single) * 1000:>9.0f} /{max(self.single) * 1000:>6.0f}"
            f"{statistics.median(self.burst) * 1000:>9.0f} /{max(self.burst) * 1000:>6.0f}"
            f"{statistics.median(self.busy) * 1000:>9.0f} /{max(self.busy) * 1000:>6.0f}"
            f"{self.refused:>7} of {self.requests}"
        )


def main() -> None:
    """Measure each variant and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--singles", type=int, default=40)
    parser.add_argument("--bursts", type=int, default=5, help="of ten each")
    parser.add_argument("--only", default="", help="variants whose name has this word")
    parser.add_argument("--postgres-bin", type=Path, action="append", default=[])
    options = parser.parse_args()
    variants = [
        Variant("sqlite, as Prefect ships", server=STOCK),
        Variant("sqlite, begin immediate"),
        Variant("postgres, its wheel", postgres=True),
        *(Variant(f"postgres, {d}"[:26], postgres=True, binaries=d) for d in options.postgres_bin),
    ]
    print(f"{'create, ms: p50 / max':<26}{'start s':>8}{'again s':>8}", end="")
    print(f"{'one by one':>16}{'ten at once':>16}{'ten, busy':>16}    503")
    for variant in variants:
        if options.only and options.only not in variant.name:
            continue
        with tempfile.TemporaryDirectory(prefix="wildloop-bench-") as folder:
            print(measure(variant, Path(folder), options.singles, options.bursts).row(variant.name))


def measure(variant: Variant, home: Path, singles: int, bursts: int) -> Figures:
    """Start the variant twice on an empty `home`; create runs on the second start."""
    figures = Figures()
    with running(variant, home) as (_, figures.first_start):
        time.sleep(8)
    with running(variant, home) as (client_options, figures.second_start):
        time.sleep(8)
        asyncio.run(create_runs(client_options, figures, singles, bursts))
    return figures


async def create_runs(
    client_options: tuple[str, tuple[str, str]], figures: Figures, singles: int, bursts: int
) -> None:
    """Create flow runs of one deployment, one at a time and ten at once."""
    url, auth = client_options
    async with httpx.AsyncClient(base_url=url, auth=auth, timeout=120, trust_env=False) as client:
        flow = (await client.post("/flows/", json={"name": "bench"})).raise_for_status().json()
        body = {"name": "bench", "flow_id": flow["id"], "enforce_parameter_schema": False}
        deployment = (await client.post("/deployments/", json=body)).raise_for_status().json()
        path = f"/deployments/{deployment['id']}/create_flow_run"

        async def post(path: str, body: object) -> httpx.Response:
            answer = await client.post(path, json=body)
            figures.requests += 1
            if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                figures.refused += 1
            else:
                answer.raise_for_status()
            return answer

        async def create() -> float:
            began = time.perf_counter()
            await post(path, {"state": {"type": "SCHEDULED"}})
            return time.perf_counter() - began

        async def carry() -> None:
            while True:
                answer = await post(path, {"state": {"type": "SCHEDULED"}})
                if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                    continue
                for state in ("PENDING", "RUNNING", "COMPLETED"):
                    run = f"/flow_runs/{answer.json()['id']}"
                    await post(f"{run}/set_state", {"state": {"type": state}, "force": True})

        await asyncio.gather(*(create() for _ in range(3)))
        for _ in range(singles):
            figures.single.append(await create())
        for _ in range(bursts):
            figures.burst += await asyncio.gather(*(create() for _ in range(10)))
        others = [asyncio.create_task(carry()) for _ in range(4)]
        for _ in range(bursts):
            await asyncio.sleep(0.5)
            figures.busy += await asyncio.gather(*(create() for _ in range(10)))
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)


@contextmanager
def running(variant: Variant, home: Path) -> Iterator[tuple[tuple[str, tuple[str, str]], float]]:
    """A server of this variant; yields its API's address and login, and its start in seconds."""
    (port,) = free_ports(1)
    password = secrets.token_urlsafe(16)
    env = {key: value for key, value in os.environ.items() if key[:8] != "PREFECT_"} | {
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_SERVER_API_AUTH_STRING": f"wildloop:{password}",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
    }
    began, processes = time.monotonic(), []
    try:
        if variant.postgres:
            postgres = find_postgres(home, variant.binaries)
            postgres.create()
            processes.append(start(postgres.command(), postgres_environment(), home))
            while not postgres.is_ready():
                time.sleep(0.02)
            env["PREFECT_API_DATABASE_CONNECTION_URL"] = postgres.url
        processes.append(start([*variant.server, "--port", str(port)], env, home))
        url = f"http://{LOOPBACK}:{port}/api"
        while not answers(f"{url}/health"):
            if processes[-1].poll() is not None or time.monotonic() - began > START_SECONDS:
                sys.exit(f"the server did not start:\n{(home / 'log').read_text()[-2000:]}")
            time.sleep(0.02)
        yield (url, ("wildloop", password)), time.monotonic() - began
    finally:
        for process in reversed(processes):
            process.send_signal(signal.SIGINT)
            process.wait(30)


def start(command: list[str], env: dict[str, str], home: Path) -> "subprocess.Popen[bytes]":
    """Start a process that logs to `home`/log."""
    with (home / "log").open("ab") as log:
        return subprocess.Popen(
            command, env=env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )


if __name__ == "__main__":
    main()
