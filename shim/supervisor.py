"""Starts child processes, keeps them running, and stops them in order."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from pydantic import BaseModel, Field

LOG_LIMIT_BYTES = 20 * 1024 * 1024
LOG_TAIL_LINES = 15
RESTARTS = 5
RESTART_WINDOW_S = 60.0
KILL_WAIT_S = 3.0


class ChildFailed(Exception):
    """A child ended at start, or again and again; the text has the end of its log."""


class LeftoverChild(BaseModel):
    """A child as written down for a later `up`."""

    name: str
    pid: int
    created: float


class LeftoverChildren(BaseModel):
    """Contents of run/children.json."""

    children: list[LeftoverChild] = Field(default_factory=list)


@dataclass
class Child:
    """One child process.

    `ready` says whether it answers; `grace_s` is its time between TERM and KILL.
    """

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    log: Path
    ready: Callable[[], bool]
    grace_s: float = 5.0
    stop_signal: signal.Signals = signal.SIGTERM
    process: "subprocess.Popen[bytes] | None" = None
    restarts: list[float] = field(default_factory=list)

    def start(self) -> None:
        """Start it; its output goes to its log."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
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

    def exit_code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self.process.poll() if self.process else None

    def log_tail(self) -> str:
        """The last lines of its log."""
        with contextlib.suppress(FileNotFoundError):
            text = self.log.read_text(encoding="utf-8", errors="replace")
            return "\n".join(text.splitlines()[-LOG_TAIL_LINES:])
        return ""

    def stop(self) -> None:
        """TERM, then KILL after the grace."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(self.grace_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(KILL_WAIT_S)


class Supervisor:
    """Keeps children running. `record` is where they are written down for a later start."""

    def __init__(self, record: Path, say: Callable[[str], None]) -> None:
        self.children: list[Child] = []
        self._record = record
        self._say = say

    def start(self, child: Child) -> None:
        """Start a child and watch it from now on."""
        child.start()
        self.children.append(child)
        self._write_down()

    def wait_ready(
        self, children: Sequence[Child], timeout_s: float, stopped: Callable[[], bool]
    ) -> bool:
        """Wait until all of `children` answer; False if `stopped` meanwhile.

        Raises:
            ChildFailed: one has ended, or does not answer in time.
        """
        deadline, waiting = time.monotonic() + timeout_s, list(children)
        while waiting:
            if stopped():
                return False
            for child in waiting:
                if child.exit_code() is not None:
                    raise ChildFailed(
                        f"{child.name} ended at start with exit code {child.exit_code()}; the end "
                        f"of {child.log}:\n{child.log_tail()}"
                    )
            waiting = [child for child in waiting if not child.ready()]
            if waiting and time.monotonic() > deadline:
                names = ", ".join(child.name for child in waiting)
                raise ChildFailed(
                    f"{names} did not answer within {timeout_s:g} s; the end of "
                    f"{waiting[0].log}:\n{waiting[0].log_tail()}"
                )
            time.sleep(0.05)
        return True

    def keep(self) -> None:
        """Start children again that have ended.

        Raises:
            ChildFailed: one has ended more than five times in a minute.
        """
        for child in self.children:
            code = child.exit_code()
            if code is None:
                continue
            now = time.monotonic()
            child.restarts = [at for at in child.restarts if now - at < RESTART_WINDOW_S] + [now]
            if len(child.restarts) > RESTARTS:
                raise ChildFailed(
                    f"{child.name} has ended {len(child.restarts)} times in a minute; the end of "
                    f"{child.log}:\n{child.log_tail()}"
                )
            self._say(f"{child.name} ended with exit code {code}: starting it again")
            child.start()
            self._write_down()

    def stop(self) -> None:
        """Stop all children, last started first."""
        for child in reversed(self.children):
            child.stop()
        self._record.unlink(missing_ok=True)

    def stop_leftovers(self) -> list[str]:
        """Stop the children of a supervisor that was killed; return their names."""
        if not self._record.exists():
            return []
        stopped = []
        known = LeftoverChildren.model_validate_json(self._record.read_bytes())
        for child in reversed(known.children):
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(child.pid)
                if abs(process.create_time() - child.created) > 1.0:
                    continue
                process.terminate()
                stopped.append(child.name)
                try:
                    process.wait(10)
                except psutil.TimeoutExpired:
                    process.kill()
        self._record.unlink(missing_ok=True)
        return stopped

    def _write_down(self) -> None:
        known = [
            LeftoverChild(
                name=child.name,
                pid=child.process.pid,
                created=psutil.Process(child.process.pid).create_time(),
            )
            for child in self.children
            if child.process is not None and child.process.poll() is None
        ]
        temporary = self._record.with_suffix(".tmp")
        temporary.write_text(LeftoverChildren(children=known).model_dump_json(), encoding="utf-8")
        temporary.replace(self._record)
