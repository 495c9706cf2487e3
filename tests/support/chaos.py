"""Runs that testify for themselves, and a hand that kills Wildloop's processes at random."""

import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from tests.support.project import make_project
from tests.support.server import PAUSES, Server, start_server, wait_for

ROUNDS = 20
RUNS, SLOTS = 60, 3
MODULES = ("wildloop.flows.worker.main", "wildloop.shim.main", "wildloop.shim.prefect_server")


@dataclass(frozen=True)
class Witness:
    """One run's own account of itself, in a folder that Wildloop does not know."""

    folder: Path
    exit_code: int
    seconds: float

    @property
    def command(self) -> str:
        """Counts its start, holds a place for a while, notes its end and ends as planned."""
        place = f"'{self.folder}'"
        return (
            f"date +%s%N >> {place}/starts; echo line 1; sleep {self.seconds}; "
            f"echo line 2 >&2; date +%s%N >> {place}/ends; exit {self.exit_code}"
        )

    def times(self, name: str) -> list[int]:
        """Nanoseconds of its `starts` or `ends`."""
        path = self.folder / name
        return [int(line) for line in path.read_text().split()] if path.exists() else []


def witnesses(folder: Path, count: int, chance: random.Random) -> list[Witness]:
    """Witnesses with exit codes and durations drawn by `chance`."""
    made = []
    for number in range(count):
        place = folder / f"{number:03d}"
        place.mkdir(parents=True)
        code = chance.choice([0, 0, 0, 1, 3, 42])
        made.append(Witness(place, code, round(chance.uniform(0.2, 2.5), 2)))
    return made


def create_surely(server: Server, name: str, witness: Witness, seconds: float = 300.0) -> str:
    """Create a run as a careful client does: try again with the same Idempotency-Key."""

    def attempt() -> str | None:
        with suppress(httpx.TransportError):
            answer = server.http.post(
                "/runs",
                json={"name": name, "command": witness.command, "auto_start": True},
                headers={"Idempotency-Key": f"chaos-{name}"},
                timeout=20,
            )
            if answer.is_success:
                return str(answer.json()["id"])
            assert answer.status_code >= 500, answer.text
        return None

    return wait_for(attempt, f"run {name} is created", seconds, pauses=PAUSES)


@dataclass
class Killer:
    """Kills with -9, every few seconds, one of the processes or all at once, `ROUNDS` times."""

    server: Server
    chance: random.Random
    kills: list[str] = field(default_factory=list)

    def kill(self, modules: tuple[str, ...]) -> None:
        """Kill those of `modules` that run now."""
        with suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self.server.process.pid).children():
                with suppress(psutil.NoSuchProcess):
                    words = process.cmdline()
                    if found := [module for module in modules if module in words]:
                        process.kill()
                        self.kills += found

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Kill while the block runs."""
        ended = threading.Event()

        def work() -> None:
            # Each once at least, however soon the runs have ended.
            first = self.chance.sample(MODULES, len(MODULES))
            for number in range(ROUNDS):
                if ended.wait(self.chance.uniform(3.0, 8.0)):
                    return
                if number < len(first):
                    self.kill((first[number],))
                else:
                    everything = self.chance.random() < 0.2
                    self.kill(MODULES if everything else (self.chance.choice(MODULES),))

        thread = threading.Thread(target=work, name="killer")
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def most_at_once(intervals: list[tuple[int, int]]) -> int:
    """The largest number of intervals that share a moment."""
    moments = sorted([(start, 1) for start, _ in intervals] + [(end, -1) for _, end in intervals])
    most = now = 0
    for _, change in moments:
        now += change
        most = max(most, now)
    return most


def read_run(server: Server, run_id: str) -> dict[str, object] | None:
    """A run, or None while the API is down."""
    with suppress(httpx.TransportError):
        answer = server.http.get(f"/runs/{run_id}", timeout=20)
        if answer.is_success:
            return dict(answer.json())
        assert answer.status_code >= 500, answer.text
    return None


def wait_until_all_ended(
    server: Server, run_ids: list[str], seconds: float
) -> dict[str, dict[str, object]]:
    """Every run with its outcome; fails `seconds` after the last one that has come to its own."""
    ended: dict[str, dict[str, object]] = {}

    def look() -> bool:
        assert server.process.poll() is None, (server.home / "up.log").read_text()
        for run_id in run_ids:
            if run_id not in ended:
                run = read_run(server, run_id)
                if run is None or run["status"] not in ("finished", "failed", "stopped"):
                    return False
                ended[run_id] = run
        return True

    wait_for(look, "all have an outcome", seconds, sign=lambda: len(ended), pauses=PAUSES)
    return ended


def check_survival(tmp_path: Path, seed: int, runs: int = RUNS) -> None:
    """Runs on three slots while processes are killed: each has one true outcome."""
    chance = random.Random(seed)
    made = witnesses(tmp_path / "witnesses", runs, chance)
    server = start_server(tmp_path / "home", make_project(tmp_path / "project"), slots=SLOTS)
    killer = Killer(server, chance)
    try:
        with killer.at_work():
            ids = [
                create_surely(server, f"run-{number:03d}", witness)
                for number, witness in enumerate(made)
            ]
            assert len(set(ids)) == runs
            ended = wait_until_all_ended(server, ids, 180)
        wait_for(lambda: read_run(server, ids[0]), "all answer again", 120)
        listed = server.get("/runs", limit=1000)
        health = server.get("/wild/v2/system-health")
    finally:
        server.stop()

    assert set(killer.kills) == set(MODULES), Counter(killer.kills)
    outcomes = {run["id"]: (run["status"], run["exit_code"]) for run in listed}
    assert outcomes == {id: (run["status"], run["exit_code"]) for id, run in ended.items()}
    assert (health["total"], health["running"], health["queued"]) == (runs, 0, 0)
    intervals = []
    for run_id, witness in zip(ids, made, strict=True):
        run = ended[run_id]
        assert (witness.times("starts"), len(witness.times("ends"))) == (
            witness.times("starts")[:1],
            1,
        ), run
        assert run["exit_code"] == witness.exit_code, run
        assert run["status"] == ("failed" if witness.exit_code else "finished"), run
        assert (Path(str(run["run_dir"])) / "run.log").read_text() == "line 1\nline 2\n"
        intervals.append((witness.times("starts")[0], witness.times("ends")[0]))
    assert most_at_once(intervals) <= SLOTS
