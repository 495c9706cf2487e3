"""A proxy in front of a Prefect server that lets it be away, in one way or another, for a spell."""

import select
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from tests.support.server import command_environment
from tests.support.waiting import wait_for
from wildloop.shim.net import free_ports

KINDS = ("503", "500", "429", "reset", "half", "lost", "late")
"""Answers; connections reset; half answers, none, or a late one to what is carried out."""
ANSWER = "HTTP/1.1 {} Away\r\ncontent-type: application/json\r\ncontent-length: 2\r\n"
LOOK_SECONDS = 0.1
TIMEOUT_SECONDS = 60.0


class FaultyProxy:
    """Stands between a Prefect server and whoever asks it.

    A spell is begun by writing `KIND SECONDS` into the file `spell`, as any script can.
    """

    def __init__(self, upstream: int, spell: Path) -> None:
        self._upstream, self.spell = upstream, spell
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._listener.getsockname()[1]
        self.met: dict[str, int] = {}

    @property
    def url(self) -> str:
        """For PREFECT_API_URL."""
        return f"http://127.0.0.1:{self.port}/api"

    def fault(self) -> str | None:
        """The kind of the spell that lasts now."""
        try:
            kind, _, seconds = self.spell.read_text().strip().partition(" ")
            lasts = time.time() < self.spell.stat().st_mtime + float(seconds)
        except (OSError, ValueError):
            return None
        return kind if lasts and kind in KINDS else None

    def serve(self) -> None:
        """Answer until closed."""
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._one, args=(client,), daemon=True).start()

    def close(self) -> None:
        """Take no further connection."""
        self._listener.close()

    def _one(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            client.settimeout(TIMEOUT_SECONDS)
            request = _read_request(client)
            if request is None:
                return
            is_websocket = b"\r\nupgrade: websocket" in request.lower()
            fault = self.fault()
            if fault is not None:
                self.met[fault] = self.met.get(fault, 0) + 1
                if not is_websocket:
                    self._fail(client, request, fault)
                return
            with socket.create_connection(("127.0.0.1", self._upstream)) as server:
                server.sendall(request if is_websocket else _closing(request))
                self._relay(client, server, cut=is_websocket)

    def _fail(self, client: socket.socket, request: bytes, fault: str) -> None:
        if fault.isdigit():
            client.sendall(ANSWER.format(fault).encode() + b"connection: close\r\n\r\n{}")
        elif fault == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            while fault == "late" and self.fault() is not None:
                time.sleep(LOOK_SECONDS)
            answer = self._carry_out(request)
            if fault == "half":
                client.sendall(answer[: -max(1, len(answer) // 4)])

    def _carry_out(self, request: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self._upstream)) as server:
            server.settimeout(TIMEOUT_SECONDS)
            server.sendall(_closing(request))
            return b"".join(iter(lambda: server.recv(65536), b""))

    def _relay(self, client: socket.socket, server: socket.socket, cut: bool) -> None:
        """Both ways, until one side is done; `cut`: or until a spell begins."""
        while not (cut and self.fault()):
            for side in select.select([client, server], [], [], LOOK_SECONDS)[0]:
                data = side.recv(65536)
                if not data:
                    return
                (server if side is client else client).sendall(data)


def _read_request(client: socket.socket) -> bytes | None:
    """Head and body."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = client.recv(65536)
        if not part:
            return None
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"\r\ncontent-length:")[2].split(b"\r\n")[0] or 0)
    while len(body) < length:
        body += client.recv(65536)
    return head + b"\r\n\r\n" + body


def _closing(request: bytes) -> bytes:
    """The request as the only one of its connection."""
    head, _, body = request.partition(b"\r\n\r\n")
    lines = [one for one in head.split(b"\r\n") if not one.lower().startswith(b"connection:")]
    return b"\r\n".join([*lines, b"connection: close"]) + b"\r\n\r\n" + body


@contextmanager
def prefect_behind_a_proxy(folder: Path) -> Iterator[tuple[FaultyProxy, httpx.Client]]:
    """A Prefect server on SQLite, a proxy before it, and a client that goes past the proxy."""
    (port,) = free_ports(1)
    env = command_environment(folder) | {
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
        "NO_PROXY": "127.0.0.1",
    }
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-P", "-m", "wildloop.shim.prefect_server", "--port", str(port)],
            env=env,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    proxy = FaultyProxy(port, folder / "spell")
    threading.Thread(target=proxy.serve, daemon=True).start()
    direct = httpx.Client(base_url=f"http://127.0.0.1:{port}/api", timeout=TIMEOUT_SECONDS)

    def answers() -> bool:
        with suppress(httpx.TransportError):
            return direct.get("/health").is_success
        return False

    try:
        wait_for(answers, "the Prefect server answers", 60, pauses=(0.2, 0.5))
        yield proxy, direct
    finally:
        proxy.close()
        server.terminate()
        server.wait()
