"""The measures: functions of a started subject, giving figures.

A command tells its own first byte: it writes its clock into a file, so nothing that the harness
does to look for it is part of the figure.
"""

import asyncio
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import httpx

from bench.figures import Figure, Row, hand_over_gaps, most_at_once
from bench.processes import BenchError, until
from bench.subjects import Subject

FIRST_BYTE_SECONDS = 120.0
RUN_SECONDS = 300.0
BURST = 10
CLIENTS = 8
GAP_COMMAND_SECONDS = 0.3
LOOK_SECONDS = 0.1
SETTLE_SECONDS = 0.5
QUIET_SECONDS = 45.0
QUIET_LOOKS = 6
QUIET_CPU = 0.15
GOLDEN = 0.6180339887


@dataclass
class Probe:
    """A command that writes when it starts and, if it takes its time, when it ends."""

    folder: Path
    seconds: float = 0.0
    name: str = field(default_factory=lambda: uuid4().hex)

    @property
    def command(self) -> str:
        """The clock goes first and last; the file is complete once it has its name."""
        text = f"date +%s.%N > {self._path('start')}"
        if self.seconds:
            text += f"; sleep {self.seconds}; date +%s.%N > {self._path('end')}"
        return text

    def _path(self, what: str) -> Path:
        return self.folder / f"{self.name}.{what}"

    def read(self, what: str) -> float | None:
        """The clock at the start or at the end; None before it."""
        path = self._path(what)
        text = path.read_text() if path.exists() else ""
        return float(text) if text.endswith("\n") else None


def warm_up(subject: Subject, folder: Path, count: int = 2) -> None:
    """Runs that are not counted: imports, caches, connections."""
    for _ in range(count):
        probe = Probe(folder)
        await_end(subject, subject.submit(probe.command))


def settle(subject: Subject, seconds: float = QUIET_SECONDS) -> None:
    """Wait until the subject has finished what it does after a start, at most `seconds`."""
    deadline, looks, spent = time.monotonic() + seconds, 0, _cpu_seconds(subject)
    while looks < QUIET_LOOKS and time.monotonic() < deadline:
        time.sleep(1.0)
        before, spent = spent, _cpu_seconds(subject)
        looks = looks + 1 if spent - before < QUIET_CPU else 0


def _cpu_seconds(subject: Subject) -> float:
    return sum(part.cpu_seconds for part in subject.parts())


def await_end(subject: Subject, run_id: str, seconds: float = RUN_SECONDS) -> None:
    """Wait until the subject has recorded the end of a run."""
    until(lambda: subject.ended(run_id), f"run {run_id} ends", seconds, LOOK_SECONDS)


def first_byte(subject: Subject, folder: Path, count: int) -> list[Figure]:
    """Request to first byte, each asked for after the one before has ended."""
    values: list[float] = []
    for number in range(count):
        # Spread over the subject's own poll, so that no phase of it is met more than others.
        time.sleep(SETTLE_SECONDS + subject.poll_s * (number * GOLDEN % 1))
        probe, asked = Probe(folder), time.time()
        run_id = subject.submit(probe.command)
        values.append(_clock(probe, "start") - asked)
        await_end(subject, run_id)
    return [Figure(row=Row.FIRST_BYTE, subject=subject.name, values=values)]


def burst(subject: Subject, folder: Path, rounds: int) -> list[Figure]:
    """Ten requests at once: each one's own time from its request to its first byte.

    Raises:
        BenchError: every request was refused.
    """
    values: list[float] = []
    refused, failed = subject.refused, []
    with ThreadPoolExecutor(BURST) as pool:
        for _ in range(rounds):
            time.sleep(SETTLE_SECONDS)
            asked = list(pool.map(lambda probe: _ask(subject, probe), _probes(folder, BURST)))
            taken = [one for one in asked if one.run_id is not None]
            failed += [one.fault for one in asked if one.run_id is None]
            values += [_clock(one.probe, "start") - one.at for one in taken]
            for one in taken:
                await_end(subject, one.run_id or "")
    if not values:
        raise BenchError(failed[0])
    note = noted(subject, refused)
    failures = len(failed)
    return [
        Figure(row=Row.BURST, subject=subject.name, values=values, failures=failures, note=note)
    ]


@dataclass
class Asked:
    """A request for a probe's command, made at `at`; `run_id` is None if it was refused."""

    probe: Probe
    at: float
    run_id: str | None = None
    fault: str = ""


def _ask(subject: Subject, probe: Probe) -> Asked:
    asked = Asked(probe, time.time())
    try:
        asked.run_id = subject.submit(probe.command)
    except (BenchError, httpx.HTTPError) as error:
        asked.fault = str(error) or type(error).__name__
    return asked


def _probes(folder: Path, count: int) -> list[Probe]:
    return [Probe(folder) for _ in range(count)]


def gap(subject: Subject, folder: Path, count: int) -> list[Figure]:
    """A slot's being freed to the next queued command's first byte, with a queue all along.

    Raises:
        BenchError: more commands ran at once than there are slots.
    """
    probes = [Probe(folder, GAP_COMMAND_SECONDS) for _ in range(count + 1)]
    run_ids = [subject.submit(probe.command) for probe in probes]
    ends = [_clock(probe, "end") for probe in probes]
    starts = [_clock(probe, "start") for probe in probes]
    for run_id in run_ids:
        await_end(subject, run_id)
    most = most_at_once(starts, ends)
    if subject.slots is not None and most > subject.slots:
        raise BenchError(f"{most} commands ran at once, with {subject.slots} slots")
    slots = subject.slots or most
    note = "" if slots == 1 else f"{slots} slots"
    values = hand_over_gaps(starts, ends, slots)
    return [Figure(row=Row.GAP, subject=subject.name, values=values, note=note)]


def throughput(subject: Subject, count: int) -> list[Figure]:
    """`true`, `count` times, all asked for at once by eight clients; and what each costs.

    The rate counts from the first request to the recorded end of the last run. CPU-seconds count
    every process of the subject, the commands' own included, until it has settled.
    """
    refused = subject.refused
    before, began = {part.name: part.cpu_seconds for part in subject.parts()}, time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        run_ids = list(pool.map(subject.submit, ["true"] * count))
    # The last is looked at until it has ended, the others once: looking costs the subject too.
    for run_id in reversed(run_ids):
        await_end(subject, run_id, seconds=RUN_SECONDS + 10.0 * count)
    seconds = time.monotonic() - began
    time.sleep(SETTLE_SECONDS * 4)
    rate = Figure(
        row=Row.PER_MINUTE,
        subject=subject.name,
        values=[count / seconds * 60],
        note=f"{count} runs, {noted(subject, refused)}",
    )
    spent = {p.name: (p.cpu_seconds - before.get(p.name, 0.0)) / count for p in subject.parts()}
    if not spent:
        return [rate]
    shown = [f"{name} {value:.2f}" for name, value in spent.items() if value >= 0.005]
    cpu = Figure(
        row=Row.CPU_PER_RUN,
        subject=subject.name,
        values=[sum(spent.values())],
        note=", ".join(shown),
    )
    return [rate, cpu]


def noted(subject: Subject, refused: int) -> str:
    """The slots, and the requests refused since there were `refused`."""
    shown = f"{subject.slots} slots" if subject.slots else "slots as its owner set them"
    again = subject.refused - refused
    return f"{shown}, {again} requests answered 503 and made again" if again else shown


def idle(subject: Subject, seconds: float) -> list[Figure]:
    """CPU and memory with nothing to do."""
    if not subject.parts():
        return []
    before, began = _cpu_seconds(subject), time.monotonic()
    time.sleep(seconds)
    parts = subject.parts()
    cpu = (sum(p.cpu_seconds for p in parts) - before) / (time.monotonic() - began)
    note = ", ".join(f"{part.name} {part.rss_mb:.0f}" for part in parts)
    figures = [
        Figure(row=Row.IDLE_CPU, subject=subject.name, values=[cpu * 100], note=f"{seconds:g} s"),
        Figure(
            row=Row.IDLE_RSS,
            subject=subject.name,
            values=[sum(part.rss_mb for part in parts)],
            note=note,
        ),
    ]
    once = [part.pss_mb for part in parts if part.pss_mb is not None]
    if len(once) == len(parts):
        figures.append(Figure(row=Row.IDLE_PSS, subject=subject.name, values=[sum(once)]))
    return figures


def create_load(subject: Subject, requests: int) -> list[Figure]:
    """`POST /runs` of `ready` runs, so that creation alone is measured."""
    return _load(subject, Row.CREATE, "POST", "/runs", requests)


def list_load(subject: Subject, requests: int) -> list[Figure]:
    """`GET /runs` as it comes: the newest 100."""
    return _load(subject, Row.LIST, "GET", "/runs", requests)


def list_alone(subject: Subject, requests: int) -> list[Figure]:
    """The same from one client, a tenth as often."""
    return _load(subject, Row.LIST_ONE, "GET", "/runs", max(10, requests // 10), clients=1)


def health_load(subject: Subject, requests: int) -> list[Figure]:
    """`GET /wild/v2/system-health`."""
    return _load(subject, Row.HEALTH, "GET", "/wild/v2/system-health", requests)


def _load(
    subject: Subject, row: Row, method: str, path: str, requests: int, clients: int = CLIENTS
) -> list[Figure]:
    """`requests` in all from `clients`, each of which asks again as soon as it is answered."""
    if subject.api is None:
        return []
    if method == "GET" and subject.api.get(path).status_code == httpx.codes.NOT_FOUND:
        return []
    load = Load(method, path, clients, requests, subject.api.base_url, subject.api.headers)
    values, refused = asyncio.run(load.run())
    if not values:
        raise BenchError(f"{method} {path}: all failed: {_counted(refused)}")
    name, failures = subject.name, len(refused)
    note = _counted(refused)
    return [Figure(row=row, subject=name, values=values, failures=failures, note=note)]


@dataclass
class Load:
    """`requests` of one kind from `clients` at once."""

    method: str
    path: str
    clients: int
    requests: int
    base_url: httpx.URL
    headers: httpx.Headers
    values_ms: list[float] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    async def run(self) -> tuple[list[float], list[str]]:
        """Milliseconds of the answered requests, and what the others met."""
        share, more = divmod(self.requests, self.clients)
        shares = [share + (number < more) for number in range(self.clients)]
        await asyncio.gather(*map(self._ask, shares))
        return self.values_ms, self.refused

    async def _ask(self, count: int) -> None:
        body = {"name": "bench", "command": "true"} if self.method == "POST" else None
        async with httpx.AsyncClient(
            base_url=self.base_url, headers=self.headers, timeout=60, trust_env=False
        ) as http:
            for _ in range(count):
                began = time.perf_counter()
                try:
                    response = await http.request(self.method, self.path, json=body)
                except httpx.HTTPError as error:
                    self.refused.append(type(error).__name__)
                    continue
                if response.is_success:
                    self.values_ms.append((time.perf_counter() - began) * 1000)
                else:
                    self.refused.append(str(response.status_code))


def _counted(words: Iterable[str]) -> str:
    found = list(words)
    return ", ".join(f"{found.count(word)} x {word}" for word in dict.fromkeys(found))


def _clock(probe: Probe, what: str) -> float:
    seconds = FIRST_BYTE_SECONDS if what == "start" else RUN_SECONDS
    return until(lambda: probe.read(what), f"the {what} of a command", seconds)
