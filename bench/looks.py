"""What single looks cost with a long queue: `python -m bench.looks [--database sqlite]`.

Prefect's server, its client and the caller in one process, beside PostgreSQL's own: what workers
and the API ask again and again, in CPU-milliseconds, with more and more queued runs. Nothing else
runs, so that another load of the machine changes these less than times. Prints Markdown.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench.processes import clean_environment, family
from bench.queued import queue_copies
from bench.report import number, table_head, table_row
from wildloop.shim.database import find_postgres, postgres_environment, sqlite_file

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

SLOTS = 40
FREE = 4
TIMES = 4
HOME = "WILDLOOP_HOME"
Look = Callable[[], Awaitable[object]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Start a database, and this command anew with Prefect's settings for it."""
    options = parse(arguments)
    if options.inner:
        rows = asyncio.run(measure(options.queued))
        head = table_head(["queued", *(f"{queued:,}" for queued in options.queued)])
        print("\n".join([*head, *(table_row([name, *cells]) for name, cells in rows.items())]))
        return 0
    with (
        tempfile.TemporaryDirectory(prefix="wildloop-bench-") as folder,
        database(Path(folder), options.database) as url,
    ):
        env = clean_environment(
            WILDLOOP_HOME=folder,
            PREFECT_HOME=f"{folder}/prefect",
            PREFECT_API_DATABASE_CONNECTION_URL=url,
            PREFECT_LOGGING_LEVEL="ERROR",
            PREFECT_LOGGING_SERVER_LEVEL="ERROR",
            PREFECT_SERVER_ANALYTICS_ENABLED="false",
            PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS="120",
        )
        queued = ",".join(map(str, options.queued))
        command = [sys.executable, "-m", "bench.looks", "--inner", "--queued", queued]
        return subprocess.run(command, env=env, check=False).returncode


@contextmanager
def database(home: Path, kind: str) -> Iterator[str]:
    """An empty one; yields its URL."""
    (home / "prefect").mkdir()
    if kind == "sqlite":
        yield f"sqlite+aiosqlite:///{sqlite_file(home)}"
        return
    postgres = find_postgres(home)
    postgres.create()
    process = subprocess.Popen(
        postgres.command(),
        env=postgres_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    (home / "pid").write_text(str(process.pid))
    try:
        while not postgres.is_ready():
            time.sleep(0.05)
        yield postgres.url
    finally:
        process.terminate()
        process.wait()


async def measure(lengths: Sequence[int]) -> dict[str, list[str]]:
    """CPU-milliseconds of each look, by the length of the queue."""
    from prefect.client.orchestration import PrefectClient
    from prefect.server.api.server import create_app
    from prefect.server.database import provide_database_interface

    from wildloop.flows.prefect_inside.dialect import read_once
    from wildloop.flows.prefect_inside.schemas import check_once
    from wildloop.flows.prefect_inside.sqlite import begin_immediately

    begin_immediately()
    read_once()
    check_once()
    rows: dict[str, list[str]] = {}
    app = create_app(ephemeral=True)
    await provide_database_interface().create_db()
    async with PrefectClient(app) as client:
        template, made = await _begin(client), 0
        for length in lengths:
            await asyncio.to_thread(
                queue_copies, Path(os.environ[HOME]), template, length - made, made
            )
            made = length
            for name, (look, times) in looks(client).items():
                if times > 1:
                    await look()
                cell = number(await _cpu_ms(look, times))
                rows.setdefault(name, []).append(cell)
    return rows


async def _begin(client: "PrefectClient") -> str:
    """Register all, have nearly all slots held, and one run wait; its id."""
    from prefect.states import Running, Scheduled

    from wildloop.flows.models.run import RunSpec
    from wildloop.flows.settings import POOL_NAME, RUNS_QUEUE
    from wildloop.flows.store.run_mapping import run_tags
    from wildloop.flows.worker.deployments import ensure_deployments

    await ensure_deployments(client)
    queue = await client.read_work_queue_by_name(RUNS_QUEUE, POOL_NAME)
    await client.update_work_queue(queue.id, concurrency_limit=SLOTS)
    deployment = await client.read_deployment_by_name("experiment/wildloop")
    spec = RunSpec(name="looked-at", command="sleep 20", workdir="/tmp")
    fields = {
        "parameters": {"spec": spec.model_dump(mode="json", exclude_defaults=True)},
        "tags": run_tags(spec),
        "work_queue_name": RUNS_QUEUE,
    }
    create = client.create_flow_run_from_deployment
    for _ in range(SLOTS - FREE):
        await create(deployment.id, state=Running(), **fields)
    return str((await create(deployment.id, state=Scheduled(), **fields)).id)


def looks(client: "PrefectClient") -> dict[str, tuple[Look, int]]:
    """What is asked, and how often it is done here."""
    from wildloop.flows.settings import CPU_QUEUE, POOL_NAME, RUNS_QUEUE
    from wildloop.flows.store.flow_run_pages import EVERY, FlowRunPages
    from wildloop.flows.store.picture import Picture
    from wildloop.flows.store.run_mapping import EXPERIMENT_TAG, PRIORITY_TAG
    from wildloop.flows.worker import admission, reconcile

    picture, pages = Picture(client), FlowRunPages(client)
    queues = [RUNS_QUEUE, CPU_QUEUE]
    return {
        f"a worker looks for work, {FREE} of {SLOTS} slots free": (
            lambda: client.get_scheduled_flow_runs_for_work_pool(POOL_NAME, queues),
            TIMES,
        ),
        "and for those with a priority": (
            lambda: admission._queued(client, [EXPERIMENT_TAG, PRIORITY_TAG]),
            TIMES,
        ),
        "and, where there are some, for the oldest 200": (
            lambda: admission._queued(client, [EXPERIMENT_TAG]),
            TIMES,
        ),
        "a worker reads what is active": (lambda: reconcile.active(client), TIMES),
        "the API counts": (lambda: pages.count(), TIMES),
        "the API reads the newest 200": (lambda: pages.page(EVERY), TIMES),
        "the API reads all that is open": (
            lambda: picture._open_or_young(time.monotonic(), datetime.now(UTC)),
            1,
        ),
    }


async def _cpu_ms(look: Look, times: int) -> float:
    before = time.process_time() + _database_seconds()
    for _ in range(times):
        await look()
    return (time.process_time() + _database_seconds() - before) / times * 1000


def _database_seconds() -> float:
    """What PostgreSQL has computed; SQLite computes in this process."""
    pid = Path(os.environ[HOME]) / "pid"
    if not pid.exists():
        return 0.0
    times = [process.cpu_times() for process in family(int(pid.read_text()))]
    return sum(one.user + one.system for one in times)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.looks", description=__doc__)
    parser.add_argument("--database", choices=("postgres", "sqlite"), default="postgres")
    parser.add_argument("--queued", type=_numbers, default=[100, 1000, 10_000])
    parser.add_argument("--inner", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
