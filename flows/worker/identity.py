"""Who drives a flow run: written on it as `infrastructure_pid`, read after a crash."""

import os
import socket

from pydantic import BaseModel, ConfigDict

from wildloop.blocks.launchers import processes


class WorkerIdentity(BaseModel):
    """A worker process, told apart from a later one that got the same pid.

    `started` names the boot and the start within it, not the time of day: a clock that is set
    must not make a living worker look dead.
    """

    model_config = ConfigDict(frozen=True)

    host: str
    pid: int
    started: str

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}:{self.started}"

    @classmethod
    def parse(cls, text: str | None) -> "WorkerIdentity | None":
        """The identity in `text`; None if it is of another kind."""
        try:
            host, pid, started = (text or "").rsplit(":", 2)
            return cls(host=host, pid=int(pid), started=started)
        except ValueError:
            return None

    def is_dead(self) -> bool | None:
        """Whether the process is gone; None if it is on another host."""
        if self.host != socket.gethostname():
            return None
        return _start_of(self.pid) != self.started


def worker_identity() -> WorkerIdentity:
    """The identity of this process."""
    pid = os.getpid()
    started = _start_of(pid)
    assert started is not None, "this process is alive"
    return WorkerIdentity(host=socket.gethostname(), pid=pid, started=started)


def _start_of(pid: int) -> str | None:
    mark = processes.start_mark(pid)
    if mark is None or mark[1]:
        return None
    return f"{processes.boot_id()[:8]}-{mark[0]:.0f}"
