"""A server behind the terminal: started there, outliving it, and stopped from another."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from wildloop.blocks.interpreter import own_command
from wildloop.flows.errors import WildloopError

READY = "Wildloop ready:"
LOOK_S = 0.1


class NotStarted(WildloopError):
    """The server behind the terminal ended before it was ready; its words were shown."""


def stop_event(*more: signal.Signals) -> threading.Event:
    """Set by SIGINT, SIGTERM, and `more`."""
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, *more):
        signal.signal(number, lambda *_: stopping.set())
    return stopping


def hold_on(log: Path) -> None:
    """Go on when the terminal is gone (SIGHUP), and speak into `log` from then on."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return

    def turn(*_: object) -> None:
        log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for standard in (1, 2):
            os.dup2(descriptor, standard)
        os.close(descriptor)

    signal.signal(signal.SIGHUP, turn)


def start_detached(home: Path, options: Sequence[str], say: Callable[[str], None]) -> None:
    """Start `wildloop up` behind the terminal, and pass on what it says until it is ready.

    Raises:
        NotStarted: it ended before.
    """
    log = home / "logs" / "up.log"
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with log.open("ab") as file, log.open(encoding="utf-8", errors="replace") as reader:
        reader.seek(0, os.SEEK_END)
        process = subprocess.Popen(
            own_command("wildloop", "up", *options),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        while True:
            ended = process.poll() is not None
            # Looked at before it is read: of one that has ended, no line is missed.
            for line in iter(reader.readline, ""):
                say(line.rstrip("\n"))
                if line.startswith(READY):
                    say(f"it goes on behind this terminal (pid {process.pid}); `wildloop down`")
                    return
            if ended:
                raise NotStarted(f"`wildloop up` ended with exit code {process.returncode}: {log}")
            time.sleep(LOOK_S)
