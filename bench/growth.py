"""Growth: `python -m bench.growth`, on an idle machine: several hosts and a long queue.

A `wildloop up` and workers under further host names, all on this machine, with runs that sleep.
The queue is filled to each of `--queued`, looked at for `--window` seconds (how much of the slots'
time commands ran, what each part computed), then asked: lists, creation, status. Prints Markdown.
"""

import argparse
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bench.engine import interrupt
from bench.figures import percentile
from bench.many_hosts import HostsSubject, command_of, spans
from bench.night import make_project, say
from bench.processes import BenchError, MachineWatch, until
from bench.queued import database_bytes, queue_copies
from bench.report import number, table_head, table_row
from bench.subjects import answer

TIMES = 8
GRID = 1000
WARM_SECONDS = 10.0
REQUEST_SECONDS = 300.0
LISTS = ("/runs", "/runs?status=queued&limit=1000", "/cluster", "/wild/v2/status", "/sweeps")


class Level:
    """What is told of one length of the queue, in the order in which it is measured."""

    def __init__(self) -> None:
        self.cells: dict[str, str] = {}

    def note(self, name: str, value: str) -> None:
        """Keep one cell, and show it at once."""
        self.cells[name] = value
        say([f"  {name}: {value}"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill, look, ask, for each length; print the table."""
    options = parse(arguments)
    signal.signal(signal.SIGTERM, interrupt)
    watch = MachineWatch()
    levels: dict[int, Level] = {}
    with HostsSubject(options.devices, options.database) as subject:
        make_project(subject.folder / "project", subject.folder / "agent")
        subject.start_all()
        begin_session(subject)
        template = subject.submit(command_of(subject.witnesses, options.run_seconds))
        made = 0
        for queued in options.queued:
            say([f"{queued} queued"])
            made += fill(subject, template, queued, made)
            levels[queued] = Level()
            look(subject, levels[queued], options.window)
            if not options.no_requests:
                ask(subject, levels[queued])
        if options.grid and not options.no_requests:
            make_grid(subject, levels[options.queued[-1]], options.grid)
        if options.keep:
            say([f"kept: {options.keep}"])
            shutil.copytree(subject.home / "logs", options.keep, dirs_exist_ok=True)
    print(
        f"{len(options.devices)} hosts, {sum(options.devices)} slots, runs of "
        f"{options.run_seconds:g} s, {options.database or 'postgres'}; others "
        f"{watch.cores_of_others():.2f} cores"
    )
    print("\n".join(table(levels)))
    return 0


def begin_session(subject: HostsSubject) -> None:
    """A session whose agent thinks all the while, for its status to be asked."""
    body = {"goal": "raise the score", "agent": "command:sleep 100000", "max_iterations": 1}
    answer(subject.started_api.post("/wild/v2/start", json=body))


def fill(subject: HostsSubject, template: str, queued: int, made: int) -> int:
    """Make the queue as long; return how many were added."""
    waiting = counted(subject)["queued"]
    wanted = max(0, queued + sum(subject.devices) * (not made) - waiting)
    queue_copies(subject.home, template, wanted, made)
    before = counted(subject)["queued"]
    began = time.monotonic()
    # What was put there behind everybody's back is found by a comparison.
    until(
        lambda: counted(subject)["queued"] >= min(queued, before + wanted) * 0.9,
        f"{queued} queued runs are seen",
        REQUEST_SECONDS,
        1.0,
    )
    say([f"  {wanted} added, seen after {time.monotonic() - began:.0f} s"])
    time.sleep(WARM_SECONDS)
    return wanted


def counted(subject: HostsSubject) -> dict[str, int]:
    """How many runs have each status."""
    summary = answer(subject.started_api.get("/cluster", timeout=REQUEST_SECONDS))
    return dict(summary["run_summary"])


def look(subject: HostsSubject, level: Level, window: float) -> None:
    """What the slots and the parts do for so many seconds while nobody asks."""
    before = {part.name: part.cpu_seconds for part in subject.parts()}
    size, began = database_bytes(subject.home), time.time()
    time.sleep(window)
    now = time.time()
    cpu = {part.name: part.cpu_seconds - before[part.name] for part in subject.parts()}
    ran = spans(subject.witnesses, now)
    used = [
        sum(max(0.0, min(end, upto) - max(start, since)) for start, end in ran)
        / (sum(subject.devices) * (upto - since))
        for since, upto in _quarters(began, now)
    ]
    begun = sum(began <= start < now for start, _ in ran)
    level.note("slots in use", f"{sum(used) / len(used):.0%}")
    level.note("by quarters of the time", " ".join(f"{one:.0%}" for one in used))
    level.note("runs begun a minute", number(begun / (now - began) * 60))
    level.note("cores busy with it", number(sum(cpu.values()) / (now - began)))
    for name, seconds in sorted(cpu.items()):
        if name != "guard":
            level.note(f"CPU-s a run, {name}", number(seconds / max(1, begun)))
    level.note("database (MB)", number(database_bytes(subject.home) / 1e6))
    level.note(
        "grown by (kB a run)", number((database_bytes(subject.home) - size) / max(1, begun) / 1e3)
    )


def _quarters(began: float, ended: float) -> list[tuple[float, float]]:
    part = (ended - began) / 4
    return [(began + part * k, began + part * (k + 1)) for k in range(4)]


def ask(subject: HostsSubject, level: Level) -> None:
    """Lists, status and creation, from one client, while runs go on."""
    for path in LISTS:
        level.note(f"GET {path} (ms)", _taken(subject, path))
    body = {"name": "asked", "command": "true"}
    taken = [_timed(subject, "POST", "/runs", body) for _ in range(TIMES)]
    level.note("POST /runs (ms)", _median(taken))


def make_grid(subject: HostsSubject, level: Level, size: int) -> None:
    """A grid by one request, and lists while it is being made."""
    body = {
        "name": "grid",
        "base_command": "true",
        "parameters": {"seed": list(range(size))},
        "max_runs": size,
        # Ten thousand are as many as may be queued.
        "auto_start": False,
    }
    lists: list[float] = []
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(_timed, subject, "POST", "/sweeps", body)
        while not made.done():
            lists.append(_timed(subject, "GET", "/runs", None))
        level.note(f"POST /sweeps, a grid of {size} (s)", number(made.result() / 1000))
    level.note("GET /runs meanwhile (ms)", _median(lists))


def _taken(subject: HostsSubject, path: str) -> str:
    return _median([_timed(subject, "GET", path, None) for _ in range(TIMES)])


def _median(values: Sequence[float]) -> str:
    return " / ".join(number(percentile(values, part)) for part in (50, 100))


def _timed(subject: HostsSubject, method: str, path: str, body: dict[str, Any] | None) -> float:
    """Milliseconds of one request."""
    began = time.perf_counter()
    response = subject.started_api.request(method, path, json=body, timeout=REQUEST_SECONDS)
    if not response.is_success:
        raise BenchError(f"{method} {path}: {response.status_code} {response.text[:200]}")
    taken = (time.perf_counter() - began) * 1000
    # A pause, so that what one request leaves in a memory is not all that the next one meets.
    time.sleep(0.4)
    return taken


def table(levels: dict[int, Level]) -> list[str]:
    """A line for each figure, a column for each length of the queue."""
    names = dict.fromkeys(name for level in levels.values() for name in level.cells)
    head = table_head(["queued", *(f"{queued:,}" for queued in levels)])
    rows = [
        table_row([name, *(level.cells.get(name, "-") for level in levels.values())])
        for name in names
    ]
    return [*head, *rows]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__)
    add = parser.add_argument
    add("--hosts", type=int, default=5, help="how many hosts (default: %(default)s)")
    add("--devices", type=_numbers, default=[8], help="slots of each host, or 2,2,4")
    add("--queued", type=_numbers, default=[100, 1000, 10_000], help="lengths of the queue")
    add("--run-seconds", type=float, default=20.0, help="(default: %(default)s)")
    add("--window", type=float, default=60.0, help="seconds of each look (default: %(default)s)")
    add("--grid", type=int, default=GRID, help="runs of the grid; 0: none")
    add("--database", choices=("postgres", "sqlite"), help="(default: as `up`)")
    add("--no-requests", action="store_true", help="only look")
    add("--keep", help="a folder for the servers' logs")
    options = parser.parse_args(arguments)
    if len(options.devices) == 1:
        options.devices *= options.hosts
    return options


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
