"""A long history: `python -m bench.scale`, on an idle machine.

A fresh home is filled with 10,000 ended runs in 200 sweeps, and `wildloop up` started anew on it:
what the first and the later lists take, and a grid of 1,000 runs. Prints Markdown.
"""

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import httpx
from prefect.client.orchestration import PrefectClient

from bench import history
from bench.engine import interrupt
from bench.figures import percentile
from bench.processes import BenchError, MachineWatch
from bench.report import table_head, table_row
from bench.subjects import WildloopSubject, answer
from wildloop.flows.models.sweep import SweepRecord
from wildloop.flows.settings import Settings
from wildloop.flows.store.base import CLOCK_SLACK
from wildloop.flows.store.sweeps import SweepStore

SEED_SECONDS = 1800.0
SLOTS = 2
TIMES = 20
LISTS = ("/runs", "/sweeps", "/sweeps?limit=1000", "/wild/v2/system-health")
_SWEEPS = UUID("b1e6e7f2-4f0b-5a7e-9a54-0f6f0c5f9d11")


def sweep_id(number: int) -> str:
    """The id of recorded sweep `number`."""
    return str(uuid5(_SWEEPS, str(number)))


def fill(subject: WildloopSubject, runs: int, sweeps: int) -> None:
    """Record the runs, each sweep with as many of them.

    Raises:
        BenchError: there was not enough time.
    """
    project = subject.folder / "project"
    ids = [sweep_id(number) for number in range(sweeps)]
    history.fill(subject, runs, SEED_SECONDS, ids)
    asyncio.run(_record_sweeps(subject.prefect_api_url, project, ids))


async def _record_sweeps(url: str, project: Path, ids: Sequence[str]) -> None:
    settings = Settings(home=project, server_url="http://bench", token=None, workdir=project)
    async with PrefectClient(url) as client:
        store = SweepStore(client, settings)
        for id in ids:
            record = SweepRecord(
                id=id, name=f"recorded {id[:8]}", workdir=str(project), created_at=time.time()
            )
            await store.write(record, [])


def measure(subject: WildloopSubject, grid: int) -> list[str]:
    """The lines of the table, of a server that has just been started."""
    api = subject.started_api
    rows = [_line("GET /sweeps, at the ready line (s)", [_timed(api, "/sweeps") / 1000])]
    for path in LISTS:
        rows.append(_line(f"GET {path} (ms)", [_timed(api, path) for _ in range(TIMES)]))
    began = time.monotonic()
    body: dict[str, Any] = {
        "name": "grid",
        "base_command": "true",
        "parameters": {"seed": list(range(grid))},
        "max_runs": grid,
    }
    made = answer(api.post("/sweeps", json=body, timeout=600))
    if len(made["run_ids"]) != grid:
        raise BenchError(f"the grid has {len(made['run_ids'])} runs")
    rows.append(_line(f"POST /sweeps, a grid of {grid} (s)", [time.monotonic() - began]))
    return rows


def _timed(api: httpx.Client, path: str) -> float:
    """Milliseconds of one request."""
    began = time.perf_counter()
    response = api.get(path, timeout=120)
    if not response.is_success:
        raise BenchError(f"GET {path}: {response.status_code} {response.text[:200]}")
    return (time.perf_counter() - began) * 1000


def _line(name: str, values: Sequence[float]) -> str:
    shown = "{:.2f}" if max(values) < 100 else "{:.0f}"
    cells = [shown.format(percentile(values, part)) for part in (50, 100)]
    return table_row([name, *cells] if len(values) > 1 else [name, cells[0], ""])


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill a home, start anew, measure at once and after a rest; print the table."""
    options = parse(arguments)
    # Ended by a time-out, it still ends what it has started.
    signal.signal(signal.SIGTERM, interrupt)
    watch = MachineWatch()
    with WildloopSubject(options.database) as subject:
        subject.start(SLOTS)
        fill(subject, options.runs, options.sweeps)
        subject.stop()
        # A long history is an old one: what was created a moment ago is asked for again.
        time.sleep(CLOCK_SLACK.total_seconds())
        subject.start(SLOTS)
        lines = measure(subject, options.grid)
        subject.stop()
        subject.start(SLOTS)
        time.sleep(options.rest_s)
        rested = _timed(subject.started_api, "/sweeps") / 1000
    lines.append(_line(f"GET /sweeps, first, {options.rest_s:g} s after the start (s)", [rested]))
    print(f"{options.runs:,} runs, {options.sweeps} sweeps; others {watch.cores_of_others():.2f}")
    print("\n".join([*table_head(["", "median", "max"]), *lines]))
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    add = parser.add_argument
    add("--runs", type=int, default=10_000, help="recorded runs (default: %(default)s)")
    add("--sweeps", type=int, default=200, help="recorded sweeps (default: %(default)s)")
    add("--grid", type=int, default=1000, help="runs of the grid (default: %(default)s)")
    add("--rest-s", type=float, default=20.0, help="rest after the last start")
    add("--database", choices=("postgres", "sqlite"), help="(default: as `up`)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
