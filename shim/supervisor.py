"""Starts child processes, keeps them running, and stops them in order."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from pydantic import BaseModel, Field

from wildloop.blocks.interpreter import own_python

LOG_LIMIT_BYTES = 20 * 1024 * 1024
LOG_TAIL_BYTES = 64 * 1024
LOG_TAIL_LINES = 15
RESTARTS_AT_START = 2
RESTART_WINDOW_S = 60.0
BACK_OFF_S = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
LONGEST_AFTER_KILL_S = 4.0
LOG_TOLD_AFTER = 5
POLL_S = 0.05
KILL_WAIT_S = 3.0
GUARD_WAIT_S = 60.0
WORD_AFTER_S = 20.0
TRACEBACK = "Traceback (most recent call last)"
# It waits for the end of the pipe before it imports anything: it must not cost a start any time.
GUARD = (
    "import sys; sys.stdin.buffer.read(); "
    "from wildloop.shim.supervisor import stop_leftovers; from pathlib import Path; "
    "stop_leftovers(Path(sys.argv[1]))"
)


class ChildFailed(Exception):
    """A child ended before it had answered at all; the text has the end of its log."""


class LeftoverChild(BaseModel):
    """A child as written down for whoever finds the supervisor dead."""

    name: str
    pid: int
    created: float
    stop_signal: int
    grace_s: float


class LeftoverChildren(BaseModel):
    """Contents of run/children.json."""

    children: list[LeftoverChild] = Field(default_factory=list)


@dataclass
class Child:
    """One child process.

    `ready` says whether it answers; `grace_s` is its time between TERM and KILL, in seconds.
    """

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    log: Path
    ready: Callable[[], bool]
    grace_s: float = 5.0
    stop_signal: signal.Signals = signal.SIGTERM
    process: "subprocess.Popen[bytes] | None" = None
    was_ready: bool = False
    ends: list[float] = field(default_factory=list)
    start_at: float | None = None
    log_offset: int = 0

    def start(self) -> None:
        """Start it; its output goes to its log."""
        if self.process is None:
            self._open_log()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env=dict(self.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A terminal's Ctrl-C is for the supervisor, which stops the children in order.
                start_new_session=True,
            )
        self.start_at = None

    def _open_log(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        self.log_offset = self.log.stat().st_size if self.log.exists() else 0

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self.process is not None and self.process.poll() is None

    def end(self) -> str:
        """How its process ended."""
        code = self.process.poll() if self.process else None
        if code is not None and code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"

    @property
    def was_killed(self) -> bool:
        """Whether someone else has ended it: the user, or the kernel for want of memory."""
        code = self.process.poll() if self.process else None
        return code in (-signal.SIGKILL, -signal.SIGTERM)

    def log_tail(self) -> str:
        """The last lines that it has logged since its first start."""
        with contextlib.suppress(FileNotFoundError), self.log.open("rb") as file:
            size = self.log.stat().st_size
            file.seek(max(self.log_offset, size - LOG_TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
            return "\n".join(text.splitlines()[-LOG_TAIL_LINES:])
        return ""

    def stop(self) -> None:
        """TERM, then KILL after the grace."""
        if self.process is None or not self.running:
            return
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(self.grace_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(KILL_WAIT_S)


class Supervisor:
    """Keeps children running. `record` is where they are written down for `stop_leftovers`.

    `children` are in the order of their needs: each may use those before it, and is stopped first.
    """

    def __init__(self, record: Path, say: Callable[[str], None]) -> None:
        self.children: list[Child] = []
        self._record = record
        self._say = say
        self._unwritten = ""

    def start(self, child: Child, before: Child | None = None) -> None:
        """Start a child and watch it from now on; `before` names a child that needs it."""
        child.start()
        place = len(self.children) if before is None else self.children.index(before)
        self.children.insert(place, child)
        self._write_down()

    def drop(self, child: Child) -> None:
        """Stop a child and watch it no longer."""
        child.stop()
        self.children.remove(child)
        self._write_down()

    def wait_ready(self, children: Sequence[Child], stopped: Callable[[], bool]) -> bool:
        """Wait until all of `children` answer, saying so; False if `stopped` meanwhile.

        One that lives is waited for, however slow the machine is.

        Raises:
            ChildFailed: one ends again and again.
        """
        began, waiting = time.monotonic(), [child for child in children if not child.was_ready]
        next_word = began + WORD_AFTER_S
        while waiting:
            if stopped():
                return False
            self.keep()
            for child in waiting:
                child.was_ready = child.running and child.ready()
                if child.was_ready:
                    self._say(f"{child.name} answers, after {time.monotonic() - began:.1f} s")
            waiting = [child for child in waiting if not child.was_ready]
            if waiting and time.monotonic() > next_word:
                names = ", ".join(child.name for child in waiting)
                self._say(
                    f"{names}: no answer yet after {time.monotonic() - began:.0f} s, waiting on; "
                    f"see {waiting[0].log}"
                )
                next_word += WORD_AFTER_S
            if waiting:
                time.sleep(POLL_S)
        return True

    def keep(self) -> None:
        """Start children again that have ended, each after a wait: 15 s at most, 4 s if killed.

        One that has answered before is started for ever: a night's runs must not be left alone
        because something out there kills, or a disk is full for an hour.

        Raises:
            ChildFailed: one has ended more than twice before it answered at all.
        """
        for child in self.children:
            if child.running:
                continue
            now = time.monotonic()
            if child.start_at is None:
                child.start_at = now + self._back_off(child, now)
            elif now >= child.start_at:
                self._start_again(child, now)
        if self._unwritten:
            self._write_down()

    def _start_again(self, child: Child, now: float) -> None:
        try:
            child.start()
        except OSError as error:
            # Its log cannot be made, or there is no memory for a process: that may pass.
            self._say(f"{child.name} cannot be started now ({error}): trying again")
            child.start_at = now + BACK_OFF_S[-1]
            return
        self._write_down()

    def _back_off(self, child: Child, now: float) -> float:
        """Seconds to wait before an ended child is started again."""
        child.ends = [at for at in child.ends if now - at < RESTART_WINDOW_S] + [now]
        count = len(child.ends)
        if count > RESTARTS_AT_START and not child.was_ready:
            raise ChildFailed(
                f"{child.name} {child.end()}, {count} times at start; {_log_of(child)}"
            )
        self._say(f"{child.name} {child.end()}: starting it again")
        if count == LOG_TOLD_AFTER and not child.was_killed:
            self._say(f"{child.name} has ended {count} times in a minute; {_log_of(child)}")
        wait = BACK_OFF_S[min(count, len(BACK_OFF_S)) - 1]
        # Who is killed is not at fault: others wait for it.
        return min(wait, LONGEST_AFTER_KILL_S) if child.was_killed else wait

    def stop(self) -> None:
        """Stop all children, the last of the list first."""
        for child in reversed(self.children):
            child.stop()
        self._record.unlink(missing_ok=True)

    def _write_down(self) -> None:
        known = []
        for child in self.children:
            if child.process is None or not child.running:
                continue
            with contextlib.suppress(psutil.NoSuchProcess):
                known.append(
                    LeftoverChild(
                        name=child.name,
                        pid=child.process.pid,
                        created=psutil.Process(child.process.pid).create_time(),
                        stop_signal=child.stop_signal,
                        grace_s=child.grace_s,
                    )
                )
        try:
            write_record(self._record, LeftoverChildren(children=known).model_dump_json())
        except OSError as error:
            # A full disk ends nothing: it is written as soon as it can be.
            if not self._unwritten:
                self._say(f"the children cannot be written down in {self._record} ({error})")
            self._unwritten = str(error)
        else:
            self._unwritten = ""


def write_record(path: Path, text: str) -> None:
    """Replace a small file; where there is no room for another, write over what it has.

    Raises:
        OSError: neither can be done.
    """
    temporary = path.with_suffix(".tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError:
        # The block that it has is kept: opening it anew would give that away.
        with path.open("r+", encoding="utf-8") as file:
            file.write(text)
            file.truncate()


def _log_of(child: Child) -> str:
    """The end of its log; of a traceback, only what it says."""
    tail = child.log_tail()
    if TRACEBACK in tail or tail.startswith(" "):
        return f"{tail.splitlines()[-1]}; see {child.log}"
    return f"the end of {child.log}:\n{tail}"


def stop_leftovers(record: Path) -> list[str]:
    """Stop the children of a supervisor that was killed; return their names.

    A process counts only if its pid and its start time are the ones written down.
    """
    if not record.exists():
        return []
    stopped = []
    known = LeftoverChildren.model_validate_json(record.read_bytes())
    for child in reversed(known.children):
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(child.pid)
            if abs(process.create_time() - child.created) > 1.0:
                continue
            stopped.append(child.name)
            end_process(process, child.stop_signal, child.grace_s)
    record.unlink(missing_ok=True)
    return stopped


def end_process(process: psutil.Process, stop_signal: int, grace_s: float) -> None:
    """End a process that is not a child of this one: `stop_signal`, then KILL after the grace."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(stop_signal)
        if not _gone(process, grace_s):
            process.kill()
            _gone(process, KILL_WAIT_S)


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs; a container's first process may never clear away its dead."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _gone(process: psutil.Process, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while is_alive(process):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


@contextlib.contextmanager
def guarded(record: Path, hold: Sequence[int] = ()) -> Iterator[None]:
    """Have a process beside this one that stops the children if this one is killed with -9.

    It waits on a pipe that only this process holds open, so it needs no polling and works on any
    Unix. `hold` are file descriptors (a lock) that it keeps open until it is done.
    """
    with record.with_name("guard.log").open("wb") as log:
        guard = subprocess.Popen(
            [*own_python(), "-c", GUARD, str(record)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=tuple(hold),
            start_new_session=True,
        )
    try:
        yield
    finally:
        if guard.stdin is not None:
            guard.stdin.close()
        guard.wait(GUARD_WAIT_S)
