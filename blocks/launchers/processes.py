"""Which processes of this host belong to a launch, told safely across pid reuse and reboots."""

import ctypes
import os
import resource
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from wildloop.blocks.launchers.record import ProcessRecord

MARKER = "WILDLOOP_LAUNCH_ID"
# Outside Linux the wrapper notes its start by the clock, a little after the kernel does.
CLOCK_TOLERANCE_S = 2.0
_ON_LINUX = sys.platform == "linux"
_PR_SET_CHILD_SUBREAPER = 36
# Found before any fork: a child of a process with threads must not look for it.
_PRCTL = ctypes.CDLL(None).prctl if _ON_LINUX else None
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


@dataclass(frozen=True)
class Collected:
    """What the kernel tells of a wrapper that has ended, to its parent alone.

    `status` is its exit status, negative for a signal; `peak_memory` what the largest process among
    it and its children had at its peak, in bytes. The kernel counts the process that it was forked
    from too: what is not above this one's own peak is not known here, see `launchers.memory`.
    """

    status: int
    peak_memory: int | None


def reap(record: ProcessRecord) -> Collected | None:
    """Collect the wrapper if it is a dead child of this process, so that no zombie stays.

    None where it is no child.
    """
    if _find(record) is not False:
        return None
    with suppress(ChildProcessError):
        pid, status, usage = os.wait4(record.pid, os.WNOHANG)
        if pid == record.pid:
            own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            peak = usage.ru_maxrss * (1024 if _ON_LINUX else 1) if usage.ru_maxrss > own else None
            return Collected(os.waitstatus_to_exitcode(status), peak)
    return None


def oom_kills() -> int | None:
    """How many processes the kernel has ended for want of memory since the boot, if it says."""
    with suppress(OSError, ValueError):
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
        return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)
    return None


def adopt_orphans() -> None:
    """Have the orphans among this process's descendants become its own children (Linux).

    So they stay to be found, whatever they do to session and environment. An exec keeps it, a fork
    does not pass it on.
    """
    if _PRCTL is not None:
        _PRCTL(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def members(record: ProcessRecord, left: Iterable[tuple[int, float]] = ()) -> list[psutil.Process]:
    """Every live process of a launch: its session, those that bear its marker, their children.

    A member of the session without the marker counts only while the wrapper leads the session:
    later the number could be another session's.

    Args:
        record: the launch.
        left: pid and start mark of what the wrapper had for children at its end.
    """
    if record.boot != boot_id():
        return []
    still = {pid for pid, start in left if (start, False) == start_mark(pid)}
    led = is_alive(record)
    found: dict[int, psutil.Process] = {}
    others: list[psutil.Process] = []
    for process in psutil.process_iter():
        with suppress(*_NOT_OURS):
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            of_session = led and os.getsid(process.pid) == record.pid
            if of_session or process.pid in still or _is_marked(process, record):
                found[process.pid] = process
            else:
                others.append(process)
    # As a rule nothing is left, and whose child each process of the host is need not be asked.
    return [*found.values(), *_descendants(list(found), others)] if found else []


def _descendants(open_ends: list[int], others: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those of `others` that stem from the processes of these pids."""
    by_parent: dict[int, list[psutil.Process]] = {}
    for process in others:
        with suppress(*_NOT_OURS):
            by_parent.setdefault(process.ppid(), []).append(process)
    found: list[psutil.Process] = []
    while open_ends:
        children = by_parent.pop(open_ends.pop(), [])
        found += children
        open_ends += [child.pid for child in children]
    return found


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
