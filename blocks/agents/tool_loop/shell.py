"""The shell tool: commands of bash, one after the other, in a folder that they may change."""

import os
import signal
import subprocess
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import psutil

from blocks.agents.tool_loop.output import Tail
from blocks.agents.tool_loop.settings import Clock

CWD_VARIABLE = "WILDLOOP_TOOL_LOOP_CWD"
# Left to the command is a trap of its own; a folder that is gone leaves the note as it is.
SCRIPT = f'trap \'pwd -P > "${CWD_VARIABLE}" 2>/dev/null\' EXIT; eval "$1"'
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
        self._environ = {**environ, **QUIET}
        self._output_characters = output_characters
        self._clock = clock
        self._folder = TemporaryDirectory(prefix="wildloop-shell-")

    def __enter__(self) -> "Shell":
        return self

    def __exit__(self, *_: object) -> None:
        _end(_leftovers(self._folder.name))
        self._folder.cleanup()

    def run(self, command: str, seconds: float) -> ShellResult:
        """Run one command, at most so many seconds and never into the time of the last answer.

        Raises:
            OSError: bash does not start.
        """
        limit = max(LEAST_SECONDS, min(seconds, self._clock.left_for_work()))
        if not self.cwd.is_dir():
            self.cwd = self._workdir
        note = Path(self._folder.name) / "cwd"
        note.unlink(missing_ok=True)
        tail = Tail(4 * self._output_characters)
        process = subprocess.Popen(
            ["bash", "-c", SCRIPT, "bash", command],
            cwd=self.cwd,
            env={**self._environ, CWD_VARIABLE: str(note)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
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
        with suppress(FileNotFoundError):
            # Empty where the command has removed the folder that it was in.
            noted = note.read_text(encoding="utf-8", errors="surrogateescape").removesuffix("\n")
            self.cwd = Path(noted) if noted else self._workdir
        text = tail.text(self._output_characters)
        return ShellResult("\n".join([*filter(None, [text.rstrip()]), *notes]), code, self.cwd)


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


def _leftovers(folder: str) -> list[psutil.Process]:
    """Every process that bears this shell's mark in its environment."""
    found = []
    mark = f"{folder}/cwd"
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(CWD_VARIABLE) == mark:
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
