"""Processes of a subject: started together, measured as a tree, ended to the last one."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import psutil
from pydantic import BaseModel

T = TypeVar("T")
MEGABYTE = 1024 * 1024
STOP_SECONDS = 60.0


class BenchError(Exception):
    """A measure could not be taken; the text says of what, and why."""


class PartUsage(BaseModel):
    """What one part of a subject (its server, its worker...) uses.

    `cpu_seconds` counts user and system time of its whole tree since its start, ended children
    included. `pss_mb` counts shared memory once; None where the system does not tell.
    """

    name: str
    cpu_seconds: float
    rss_mb: float
    pss_mb: float | None


def until(look: Callable[[], T | None], what: str, seconds: float, pause: float = 0.01) -> T:
    """Look until something is found.

    Raises:
        BenchError: nothing was found within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while True:
        if found := look():
            return found
        if time.monotonic() > deadline:
            raise BenchError(f"not within {seconds:g} s: {what}")
        time.sleep(pause)


def clean_environment(**extra: str) -> dict[str, str]:
    """This environment without what would lead a subject to another server or home."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "WILDLOOP_"))}
    return kept | extra


def spawn(command: Sequence[str], env: Mapping[str, str], log: Path) -> "subprocess.Popen[bytes]":
    """Start a process that logs to `log`, out of reach of the terminal's Ctrl-C."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        return subprocess.Popen(
            command,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def end(process: "subprocess.Popen[bytes]", seconds: float = STOP_SECONDS) -> None:
    """Ctrl-C for the process; KILL for whatever of its tree is left after `seconds`."""
    tree = family(process.pid)
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    _, alive = psutil.wait_procs([one for one in tree if one.pid != process.pid], timeout=2.0)
    for left in alive:
        with suppress(psutil.NoSuchProcess):
            left.kill()
    if process.poll() is None:
        process.kill()
        process.wait()


def family(pid: int) -> list[psutil.Process]:
    """A process and its descendants; nothing where it has gone."""
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    return []


def usage(name: str, pids: Iterable[int]) -> PartUsage:
    """What the trees of `pids` use, the trees being disjoint."""
    cpu = rss = 0.0
    pss: float | None = 0.0
    for process in (member for pid in pids for member in family(pid)):
        # What ends between the listing and the reading is counted in its parent's next reading.
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            times = process.cpu_times()
            cpu += times.user + times.system + times.children_user + times.children_system
            rss += process.memory_info().rss
            shared = getattr(process.memory_full_info(), "pss", None)
            pss = None if pss is None or shared is None else pss + shared
    return PartUsage(
        name=name,
        cpu_seconds=cpu,
        rss_mb=rss / MEGABYTE,
        pss_mb=None if pss is None else pss / MEGABYTE,
    )


class MachineWatch:
    """How busy processes beside this one and its children kept the machine since it was made."""

    def __init__(self) -> None:
        self._busy, self._own, self._began = _busy_seconds(), _own_seconds(), time.monotonic()

    def cores_of_others(self) -> float:
        """In cores: figures taken with a large part of one in use are disturbed."""
        others = _busy_seconds() - self._busy - (_own_seconds() - self._own)
        return max(0.0, others / (time.monotonic() - self._began))


def _busy_seconds() -> float:
    """Of all cores together."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0))


def _own_seconds() -> float:
    """Of this process and all its ended children."""
    return sum(os.times()[:4])
