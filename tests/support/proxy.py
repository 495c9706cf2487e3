"""A proxy that notes what it is asked for, and refuses it."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

REFUSED = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
SECRET = re.compile(r"^(authorization|x-auth-token):", re.IGNORECASE | re.MULTILINE)
VARIABLES = ("http_proxy", "https_proxy", "all_proxy")


@dataclass
class Proxy:
    """What a listening proxy has seen: the first line of each request, and which bore a secret."""

    port: int
    asked: list[str] = field(default_factory=list)
    with_secret: list[str] = field(default_factory=list)

    def environment(self, *variables: str, scheme: str = "http") -> dict[str, str]:
        """The variables (default: all there are) that name this proxy, and no exception from it."""
        names = variables or (*VARIABLES, *map(str.upper, VARIABLES))
        url = f"{scheme}://user:password@127.0.0.1:{self.port}"
        return dict.fromkeys(names, url) | {"NO_PROXY": "", "no_proxy": ""}

    def serve(self, listener: socket.socket) -> None:
        """Answer until the listener is closed."""
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        with client:
            client.settimeout(10)
            head = client.recv(65536).decode("latin1")
            line = head.partition("\r\n")[0]
            self.asked.append(line)
            if SECRET.search(head):
                self.with_secret.append(line)
            client.sendall(REFUSED)


@contextmanager
def listening_proxy() -> Iterator[Proxy]:
    """A proxy on a free port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = Proxy(listener.getsockname()[1])
        threading.Thread(target=proxy.serve, args=(listener,), daemon=True).start()
        yield proxy
