"""The shell tool: commands of bash, one after the other, in a folder that they may change."""

import fcntl
import os
import signal
import subprocess
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import IO
from uuid import uuid4

import psutil

from wildloop.blocks.agents.tool_loop.output import Tail
from wildloop.blocks.agents.tool_loop.settings import Clock

MARK = "WILDLOOP_TOOL_LOOP_SHELL"
# The folder at the end goes into a pipe of its own: a file would stay if the loop is killed.
SCRIPT = 'trap "pwd -P >&{fd} 2>/dev/null" EXIT; eval "$1"'
QUIET = {
    "TERM": "dumb",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_EDITOR": "true",
    "PYTHONUNBUFFERED": "1",
}
DEFAULT_SECONDS = 120.0
LEAST_SECONDS = 0.5
GRACE_SECONDS = 2.0
DRAIN_SECONDS = 0.3
CHUNK_BYTES = 64 * 1024
FIRST_FD = 100


@dataclass(frozen=True)
class ShellResult:
    """What came of a command; `exit_code` None: it was ended at its time limit."""

    text: str
    exit_code: int | None
    cwd: Path


class Shell:
    """Runs commands. A context manager: what commands leave running is ended at the end.

    Commands stay in the session of the call, in process groups of their own, so that who ends
    the call finds them too.
    """

    def __init__(
        self, workdir: Path, environ: Mapping[str, str], output_characters: int, clock: Clock
    ) -> None:
        self.cwd = workdir
        self._workdir = workdir
        self._mark = uuid4().hex
        self._environ = {**environ, **QUIET, MARK: self._mark}
        self._output_characters = output_characters
        self._clock = clock

    def __enter__(self) -> "Shell":
        return self

    def __exit__(self, *_: object) -> None:
        _end(_leftovers(self._mark))

    def run(self, command: str, seconds: float) -> ShellResult:
        """Run one command, at most so many seconds and never into the time of the last answer.

        Raises:
            OSError: bash does not start.
        """
        limit = max(LEAST_SECONDS, min(seconds, self._clock.left_for_work()))
        if not self.cwd.is_dir():
            self.cwd = self._workdir
        tail = Tail(4 * self._output_characters)
        reading, low = os.pipe()
        # Out of the way of the numbers that commands use themselves.
        writing = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, FIRST_FD)
        os.close(low)
        with os.fdopen(reading, "rb", buffering=0) as folder:
            try:
                process = self._start(command, writing)
            finally:
                os.close(writing)
            notes, code = self._finish(process, tail, limit)
            self.cwd = self._folder(folder)
        text = tail.text(self._output_characters)
        return ShellResult("\n".join([*filter(None, [text.rstrip()]), *notes]), code, self.cwd)

    def _start(self, command: str, folder: int) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            ["bash", "-c", SCRIPT.format(fd=folder), "bash", command],
            cwd=self.cwd,
            env=self._environ,
            pass_fds=(folder,),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
        )

    def _finish(
        self, process: "subprocess.Popen[bytes]", tail: Tail, limit: float
    ) -> tuple[list[str], int | None]:
        """Wait for a command; what is to be said of its end, and its exit code if it has one."""
        assert process.stdout is not None
        # The reader goes on for what the command leaves in the background, or that would block.
        reader = threading.Thread(target=_drain, args=(process.stdout, tail), daemon=True)
        reader.start()
        notes = []
        code: int | None = None
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            _end_group(process)
            notes.append(f"[ended after {limit:.0f} s: its time was up]")
        reader.join(DRAIN_SECONDS)
        if code is not None and reader.is_alive():
            notes.append("[something still runs in the background]")
        return notes, code

    def _folder(self, pipe: FileIO) -> Path:
        """Where the command has ended: nothing is said where it was killed, or is gone itself."""
        os.set_blocking(pipe.fileno(), False)
        noted = (pipe.read(CHUNK_BYTES) or b"").removesuffix(b"\n")
        return Path(os.fsdecode(noted)) if noted else self.cwd


def _drain(pipe: IO[bytes], tail: Tail) -> None:
    with pipe:
        while data := os.read(pipe.fileno(), CHUNK_BYTES):
            tail.add(data)


def _end_group(process: "subprocess.Popen[bytes]") -> None:
    """End a command with all that it started: by group, and by descent for those that left it."""
    descent: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        descent = psutil.Process(process.pid).children(recursive=True)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    _end(descent)
    process.wait()


def _leftovers(mark: str) -> list[psutil.Process]:
    """Every process that bears this shell's mark in its environment."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == mark:
                found.append(process)
    return found


def _end(found: list[psutil.Process]) -> None:
    for process in found:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(found, GRACE_SECONDS)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
