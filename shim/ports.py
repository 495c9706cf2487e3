"""The ports of a Wildloop server: claimed before they are named, and the same at the next start."""

import socket
from collections.abc import Iterator
from pathlib import Path

from wildloop.flows.errors import WildloopError
from wildloop.shim.net import claim_port, free_ports, is_loopback, port_fault
from wildloop.shim.plan import LOOPBACK, PREFECT_PORT

TRIES = 20


class PortFault(WildloopError):
    """A port cannot be had; the text says why, and by which option another is given."""


class Ports:
    """The claims of one `up`, held for as long as the object lives."""

    def __init__(self, home: Path) -> None:
        self._kept = home / "prefect-port"
        self._claims: list[socket.socket] = []

    @property
    def descriptors(self) -> list[int]:
        """Of the claims, for whoever is to hold them on."""
        return [claim.fileno() for claim in self._claims]

    def take(self, host: str, port: int, option: str) -> int:
        """Claim this very port.

        Raises:
            PortFault: it is taken.
        """
        if fault := port_fault(host, port):
            elsewhere = "" if is_loopback(host) else " or --host"
            raise PortFault(f"port {port} on {host}: {fault}: give another by {option}{elsewhere}")
        if not self._claim(port):
            raise PortFault(
                f"port {port} on {host}: another `wildloop up` of this machine has it: give "
                f"another by {option}"
            )
        return port

    def take_for_prefect(self, wanted: int | None, port: int) -> int:
        """Claim a port for the embedded Prefect server, other than the API's, and keep it in mind.

        That of the last time comes first, so that links to its UI stay good; then 4200; then any
        free one.

        Raises:
            PortFault: the one that is wanted is taken.
        """
        if wanted is not None and wanted == port:
            raise PortFault(f"--port and --prefect-port are both {port}: give two different ones")
        found = (
            self._found(port) if wanted is None else self.take(LOOPBACK, wanted, "--prefect-port")
        )
        self._kept.write_text(f"{found}\n", encoding="utf-8")
        return found

    def _found(self, port: int) -> int:
        for candidate in self._candidates():
            free = candidate != port and port_fault(LOOPBACK, candidate) is None
            if free and self._claim(candidate):
                return candidate
        raise PortFault("no port is free for the Prefect server: give one by --prefect-port")

    def _candidates(self) -> Iterator[int]:
        yield from self._last()
        yield PREFECT_PORT
        yield from free_ports(TRIES)

    def _last(self) -> list[int]:
        try:
            text = self._kept.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return []
        return [int(text)] if text.isdecimal() and 0 < int(text) < 65536 else []

    def _claim(self, port: int) -> bool:
        claim = claim_port(port)
        if claim is None:
            return False
        self._claims.append(claim)
        return True
