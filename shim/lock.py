"""One server a home: a lock file that its holder, and the guard after it, keep locked."""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from wildloop.shim.supervisor import POLL_S, is_alive

LOCK_WAIT_S = 45.0


class AlreadyRuns(Exception):
    """Another process holds the lock; `pid` is its process id."""

    def __init__(self, pid: str) -> None:
        super().__init__(f"already running as pid {pid}")
        self.pid = pid


@contextlib.contextmanager
def only_one(path: Path, say: Callable[[str], None]) -> Iterator[int]:
    """Hold the lock file `path`, yielding its descriptor; the kernel frees it however we end.

    The guard of a killed supervisor holds it too until the children have ended: that is waited for.

    Raises:
        AlreadyRuns: a living process holds it.
    """
    with path.open("a+") as file:
        deadline, said = time.monotonic() + LOCK_WAIT_S, False
        while not _try_lock(file.fileno()):
            file.seek(0)
            pid = file.read().strip()
            if _runs(pid) or time.monotonic() > deadline:
                raise AlreadyRuns(pid or "unknown")
            if not said:
                say(f"waiting for what the killed `up` (pid {pid}) had started to end")
                said = True
            time.sleep(POLL_S)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield file.fileno()


def holder_of(path: Path) -> int | None:
    """The pid of the process that holds the lock file `path`; None if none does."""
    try:
        with path.open("r+") as file:
            if _try_lock(file.fileno()):
                return None
            pid = file.read().strip()
    except FileNotFoundError:
        return None
    return int(pid) if _runs(pid) else None


def wait_until_free(path: Path, seconds: float) -> bool:
    """Wait until nobody holds the lock file `path`, its guard included; False if not in time."""
    deadline = time.monotonic() + seconds
    with path.open("r+") as file:
        while not _try_lock(file.fileno()):
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
    return True


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _runs(pid: str) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return pid.isdigit() and is_alive(psutil.Process(int(pid)))
    return False
