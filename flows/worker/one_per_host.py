"""One worker of a work pool per host: two would each count the host's slots as free."""

import asyncio
import logging
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

from wildloop.flows.settings import wildloop_home

logger = logging.getLogger("wildloop.worker")

LOOK_SECONDS = 0.5


class HostHold:
    """Held by the one worker of a pool that takes work on this host.

    The kernel frees it however the worker ends. On Linux it is a name in the abstract socket
    namespace, which no clean-up of temporary files can remove and which all users of the host
    share; elsewhere a lock file in WILDLOOP_HOME.
    """

    def __init__(self, pool_id: UUID) -> None:
        # Containers may share a network, and with it the names, and yet be hosts of their own.
        self._name = f"wildloop-worker-{pool_id}-{socket.gethostname()}"
        self._socket: socket.socket | None = None
        self._file: int | None = None

    def try_take(self) -> bool:
        """Take it; False if another worker holds it."""
        return self._bind() if sys.platform == "linux" else self._lock()

    async def take(self, waiting: Callable[[], None]) -> None:
        """Wait for it; `waiting` is called once if another worker holds it now."""
        if self.try_take():
            return
        logger.warning("another worker of this pool runs on this host: standing by until it ends")
        waiting()
        while not self.try_take():  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(LOOK_SECONDS)
        logger.warning("the other worker has ended: taking over")

    def _bind(self) -> bool:
        held = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            held.bind("\0" + self._name)
        except OSError:
            held.close()
            return False
        self._socket = held
        return True

    def _lock(self) -> bool:
        import fcntl
        import os

        path = Path(wildloop_home()) / f"{self._name}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        held = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(held)
            return False
        self._file = held
        return True
