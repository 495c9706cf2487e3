"""Which processes of this host belong to a launch, told safely across pid reuse and reboots."""

import os
import sys
from contextlib import suppress
from pathlib import Path

import psutil

from blocks.launchers.record import ProcessRecord

MARKER = "WILDLOOP_LAUNCH_ID"
# Outside Linux the wrapper notes its start by the clock, a little after the kernel does.
CLOCK_TOLERANCE_S = 2.0
_ON_LINUX = sys.platform == "linux"
_NOT_OURS = (psutil.NoSuchProcess, psutil.AccessDenied, ProcessLookupError, PermissionError)


def boot_id() -> str:
    """The boot that start marks count from; empty where they are absolute times."""
    if not _ON_LINUX:
        return ""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def start_mark(pid: int) -> tuple[float, bool] | None:
    """When a process started, and whether it is a zombie; None if there is no such process.

    Clock ticks since boot on Linux, Unix seconds elsewhere.
    """
    if not _ON_LINUX:
        with suppress(*_NOT_OURS):
            process = psutil.Process(pid)
            return process.create_time(), process.status() == psutil.STATUS_ZOMBIE
        return None
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field, the name, may hold spaces and brackets; the state and the start time are
    # the third and the twenty-second.
    fields = stat.rpartition(b")")[2].split()
    return float(fields[19]), fields[0] in (b"Z", b"X")


def is_alive(record: ProcessRecord) -> bool:
    """Whether the wrapper of a launch lives: same boot, same pid, same start, not a zombie."""
    return _find(record) is True


def reap(record: ProcessRecord) -> None:
    """Collect the wrapper if it is a dead child of this process, so that no zombie stays."""
    if _find(record) is False:
        with suppress(ChildProcessError):
            os.waitpid(record.pid, os.WNOHANG)


def members(record: ProcessRecord) -> list[psutil.Process]:
    """Every live process of a launch: its session, those that bear its marker, their children.

    A member of the session without the marker counts only while the wrapper leads the session:
    later the number could be another session's.
    """
    if record.boot != boot_id():
        return []
    led = is_alive(record)
    found: dict[int, psutil.Process] = {}
    others: dict[int, list[psutil.Process]] = {}
    for process in psutil.process_iter():
        with suppress(*_NOT_OURS):
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            if (led and os.getsid(process.pid) == record.pid) or _is_marked(process, record):
                found[process.pid] = process
            else:
                others.setdefault(process.ppid(), []).append(process)
    open_ends = list(found)
    while open_ends:
        for child in others.pop(open_ends.pop(), []):
            found[child.pid] = child
            open_ends.append(child.pid)
    return list(found.values())


def launched_pids() -> frozenset[int]:
    """The pids of every process of this host that stems from a launch and can be seen."""
    found = set()
    for process in psutil.process_iter():
        with suppress(*_NOT_OURS, OSError):
            if MARKER in process.environ():
                found.add(process.pid)
    return frozenset(found)


def _find(record: ProcessRecord) -> bool | None:
    """True: alive; False: a zombie; None: gone, or another process has the number."""
    if record.boot != boot_id():
        return None
    mark = start_mark(record.pid)
    if mark is None:
        return None
    start, zombie = mark
    if abs(start - record.start) > (0 if _ON_LINUX else CLOCK_TOLERANCE_S):
        return None
    return not zombie


def _is_marked(process: psutil.Process, record: ProcessRecord) -> bool:
    with suppress(*_NOT_OURS, OSError):
        return process.environ().get(MARKER) == record.marker
    return False
