"""Who drives a flow run: written on it as `infrastructure_pid`, read after a crash."""

import os
import socket

import psutil
from pydantic import BaseModel, ConfigDict


class WorkerIdentity(BaseModel):
    """A worker process, told apart from a later one that got the same pid."""

    model_config = ConfigDict(frozen=True)

    host: str
    pid: int
    started: int

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}:{self.started}"

    @classmethod
    def parse(cls, text: str | None) -> "WorkerIdentity | None":
        """The identity in `text`; None if it is of another kind."""
        try:
            host, pid, started = (text or "").rsplit(":", 2)
            return cls(host=host, pid=int(pid), started=int(started))
        except ValueError:
            return None

    def is_dead(self) -> bool | None:
        """Whether the process is gone; None if it is on another host."""
        if self.host != socket.gethostname():
            return None
        try:
            process = psutil.Process(self.pid)
            return (
                int(process.create_time()) != self.started
                or process.status() == psutil.STATUS_ZOMBIE
            )
        except psutil.NoSuchProcess:
            return True


def worker_identity() -> WorkerIdentity:
    """The identity of this process."""
    return WorkerIdentity(
        host=socket.gethostname(),
        pid=os.getpid(),
        started=int(psutil.Process().create_time()),
    )
